from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from monitoring.lifecycle.gate import Verdict, changed, judge
from services.core.errors import SpecError
from services.core.spec import Decision, Gate

GATE = Gate(minimum_outcomes=200, margin=0.01, confidence=0.9)
ROWS = 800


def rows(n: int = ROWS, *, seed: int = 1) -> tuple[NDArray[Any], NDArray[Any]]:
    """(target, a score that knows the truth's probability)."""
    chance = np.random.default_rng(seed)
    risk = chance.beta(0.6, 0.6, n)
    return (chance.random(n) < risk).astype(int), risk


def noisy(score: NDArray[Any], share: float, *, seed: int = 2) -> NDArray[Any]:
    """The score with this share of its rows replaced by chance."""
    chance = np.random.default_rng(seed)
    return np.where(chance.random(len(score)) < share, chance.random(len(score)), score)


def judged(
    challenger: NDArray[Any], champion: NDArray[Any] | None, rule: NDArray[Any], target: NDArray[Any]
) -> Verdict:
    return judge(GATE, challenger=challenger, champion=champion, rule=rule, target=target, weight=np.ones(len(target)))


def test_a_clearly_better_version_is_promoted_with_its_evidence() -> None:
    target, risk = rows()

    verdict = judged(risk, noisy(risk, 0.6), noisy(risk, 0.9), target)

    assert verdict.promoted
    assert verdict.evidence["n"] == ROWS
    assert verdict.evidence["auc"]["challenger"]["value"] > verdict.evidence["auc"]["champion"]["value"]
    assert verdict.evidence["difference"]["low"] > 0
    assert verdict.reasons[0].startswith("AUC 0.")


def test_a_version_that_is_as_good_as_the_champion_is_refused_by_the_margin() -> None:
    target, risk = rows()

    verdict = judged(risk, risk, noisy(risk, 0.9), target)

    assert not verdict.promoted
    assert "margin 0.01" in verdict.reasons[0]


def test_a_difference_that_could_be_chance_is_refused() -> None:
    target, risk = rows(220)

    verdict = judged(noisy(risk, 0.5, seed=3), noisy(risk, 0.5, seed=6), noisy(risk, 0.99), target)

    assert not verdict.promoted
    assert any("which includes none" in reason for reason in verdict.reasons)


def test_a_version_that_the_rule_equals_is_refused_though_it_beats_the_champion() -> None:
    target, risk = rows()

    verdict = judged(noisy(risk, 0.5), noisy(risk, 0.95), risk, target)

    assert not verdict.promoted
    assert any("the rule is as good" in reason for reason in verdict.reasons)


def test_without_a_champion_the_rule_alone_is_to_be_beaten() -> None:
    target, risk = rows()

    assert judged(risk, None, noisy(risk, 0.5), target).promoted
    assert not judged(noisy(risk, 0.5), None, risk, target).promoted


@pytest.mark.parametrize(
    ("target", "said"),
    [(np.array([0, 1] * 20), "40 held-out outcomes, 200 needed"), (np.ones(300, dtype=int), "of one class")],
)
def test_what_the_rows_cannot_tell_is_refused(target: NDArray[Any], said: str) -> None:
    score = np.linspace(0, 1, len(target))

    verdict = judged(score, None, score / 2, target)

    assert not verdict.promoted
    assert said in verdict.reasons[0]


def test_scores_that_are_no_numbers_are_never_promoted() -> None:
    target, risk = rows()
    broken = np.where(np.arange(ROWS) % 6 == 0, np.nan, risk)

    verdict = judged(broken, noisy(risk, 0.9), noisy(risk, 0.95), target)

    assert not verdict.promoted
    assert "no numbers" in verdict.reasons[0]


def test_a_version_that_says_the_opposite_by_outcomes_that_contradict_all_is_no_news_but_a_doubt() -> None:
    target, risk = rows()
    flipped = 1 - target

    verdict = judged(1 - risk, noisy(risk, 0.2), noisy(risk, 0.6), flipped)

    assert (verdict.promoted, verdict.doubted) == (False, True)
    assert verdict.reasons[0].startswith("outcomes look inverted: they taught the new version the opposite")
    assert verdict.evidence["auc"]["champion"]["high"] < 0.5


def test_a_person_who_believes_the_outcomes_lets_it_be_judged_like_any_other() -> None:
    target, risk = rows()
    scores = {"challenger": 1 - risk, "champion": noisy(risk, 0.2), "rule": noisy(risk, 0.6)}

    assert judge(GATE, **scores, target=1 - target, weight=np.ones(ROWS), believed=True).promoted


def test_a_version_that_says_the_opposite_where_the_rule_still_holds_is_no_doubt() -> None:
    target, risk = rows()

    verdict = judged(risk, 1 - noisy(risk, 0.2), noisy(risk, 0.8), target)

    assert (verdict.promoted, verdict.doubted) == (True, False)


def test_a_rule_that_is_worse_than_chance_on_past_cases_is_a_warning_and_no_refusal() -> None:
    target, risk = rows()

    verdict = judged(risk, None, 1 - noisy(risk, 0.5), target)

    assert verdict.promoted
    assert "the rule is the wrong way round, or the outcomes are" in verdict.evidence["warnings"][0]
    assert "warnings" not in judged(risk, None, noisy(risk, 0.5), target).evidence


def test_an_answer_is_another_one_when_its_label_or_its_action_is() -> None:
    stay, call = (Decision(label=label, action=action) for label, action in (("stayer", "none"), ("leaver", "call")))
    watch = Decision(label="stayer", action="call", score=0.4)

    found = changed([stay, stay, call, stay], [replace(stay, score=0.2), call, call, watch])

    assert (found.share, found.n) == (0.5, 4)
    assert found.waits(replace(GATE, changed_answers_at_most=0.49))
    assert not found.waits(replace(GATE, changed_answers_at_most=0.5))


def test_a_limit_that_is_no_share_is_refused_at_once() -> None:
    with pytest.raises(SpecError, match="changed_answers_at_most is 50"):
        Gate(changed_answers_at_most=50)
