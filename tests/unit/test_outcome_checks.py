"""Outcomes that contradict champion and rule at once are doubted; what real changes do is not."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from monitoring.evaluation.outcome_checks import Answers, Arrivals, Doubt, Kind, Was, answers_of, doubts, too_early
from monitoring.evaluation.unknown import NotEnoughData
from services.core.records import Judged, VersionRecord
from tests.toy import NOON, toy_spec
from tests.toy_traffic import flipped, toy_rows, world_of_moods

SPEC = toy_spec()
WAS = Was(champion=0.78, rule=0.63)
EVERY = timedelta(minutes=10)
FROM = NOON + 1500 * EVERY
"""When what happens in these worlds begins; 1,500 answers lie before it and as many behind."""


def stream(*, seed: int = 1, then: Callable[[Judged], Judged] = lambda row: row) -> list[Judged]:
    return [then(row) if row.prediction.made_at >= FROM else row for row in toy_rows(3000, seed=seed, every=EVERY)]


def looked_at(rows: Sequence[Judged], *, since: datetime = NOON, was: Was = WAS) -> tuple[Doubt, ...]:
    found = doubts(with_plans(rows), since=since, was=was, arrivals=lambda: Arrivals.of(rows))
    assert not isinstance(found, NotEnoughData)
    return found


def with_plans(rows: Sequence[Judged]) -> Answers:
    """With a slice that has nothing to do with what happens: whose feed it was."""
    answers = answers_of(SPEC, rows)
    counted = [row for row in rows if row.prediction.weight > 0 and row.outcome is not None]
    groups = {"feed": [feed_of(row) for row in counted]}
    return Answers(
        made_at=answers.made_at,
        target=answers.target,
        weight=answers.weight,
        champion=answers.champion,
        rule=answers.rule,
        groups=groups,
    )


def feed_of(row: Judged) -> str:
    return "north" if int(row.prediction.entity_id.removeprefix("user-")) % 2 == 0 else "south"


def answered(row: Judged, outcome: str) -> Judged:
    return msgspec.structs.replace(row, outcome=outcome)


def test_flipped_outcomes_look_inverted_since_about_when_they_began_to_be() -> None:
    (doubt,) = looked_at(stream(then=flipped))

    assert doubt.kind is Kind.INVERTED
    assert abs(doubt.since - FROM) < 50 * EVERY
    assert doubt.evidence["flipped_share"] > 0.9
    assert doubt.reason.startswith(f"outcomes look inverted since {doubt.since:%Y-%m-%d %H:%M} UTC: champion's AUC 0.")
    assert "(was 0." in doubt.reason


def test_flipped_outcomes_of_all_that_is_known_are_held_against_the_promotion() -> None:
    (doubt,) = looked_at(stream(then=flipped), since=FROM)
    (blind,) = looked_at([row for row in stream(then=flipped) if row.prediction.made_at >= FROM])

    assert (doubt.kind, blind.kind) == (Kind.INVERTED, Kind.INVERTED)
    assert blind.evidence["champion"]["before"] == WAS.champion


def test_outcomes_that_were_flipped_before_the_change_and_have_healed_are_believed() -> None:
    rows = [flipped(row) if row.prediction.made_at < FROM - 300 * EVERY else row for row in stream()]

    assert looked_at(rows, since=FROM) == ()


def test_the_outcomes_of_one_feed_are_named_by_its_group() -> None:
    (doubt,) = looked_at(stream(then=lambda row: flipped(row) if feed_of(row) == "north" else row), since=FROM)

    assert (doubt.kind, doubt.reason.count("where feed is north")) == (Kind.INVERTED, 1)
    assert doubt.evidence["group"] == "feed is north"
    assert abs(doubt.since - FROM) < 100 * EVERY


def test_a_group_that_turns_round_while_the_others_change_too_is_a_real_change() -> None:
    def turned(row: Judged) -> Judged:
        return flipped(row) if feed_of(row) == "north" else world_of_moods([row], seed=2)[0]

    assert looked_at(stream(then=turned), since=FROM) == ()


@pytest.mark.parametrize("seed", range(12))
def test_a_world_that_stays_as_it_is_is_believed(seed: int) -> None:
    assert looked_at(stream(seed=seed)) == ()


@pytest.mark.parametrize("seed", range(12))
def test_a_world_that_really_changes_is_believed(seed: int) -> None:
    """Half of what the champion knew is useless; the rule still holds."""
    rows = stream(seed=seed)
    changed = [row for row in rows if row.prediction.made_at < FROM] + world_of_moods(
        [row for row in rows if row.prediction.made_at >= FROM], seed=seed
    )

    assert looked_at(changed, since=FROM) == ()


@pytest.mark.parametrize("seed", range(12))
def test_outcomes_about_which_nobody_knows_anything_any_more_are_believed(seed: int) -> None:
    chance = np.random.default_rng(seed)
    tossed = lambda row: answered(row, "left" if chance.random() < 0.5 else "stayed")  # noqa: E731

    assert looked_at(stream(seed=seed, then=tossed)) == ()


def test_a_champion_that_is_wrong_where_the_rule_is_right_is_the_champion_s_fault() -> None:
    def by_plan_alone(row: Judged) -> Judged:
        """The visits say the opposite of what they said, more strongly; the plan says the same."""
        values = {name: verdict.value for name, verdict in row.prediction.features.items()}
        risk = (0.4 if values["plan"] == "monthly" else -0.4) + 0.8 * (float(values["visits"] or 0) - 5)
        return answered(row, "left" if risk > 0 else "stayed")

    rows = stream(then=by_plan_alone)
    answers = with_plans(rows)
    assert np.corrcoef(answers.champion[-900:], answers.target[-900:])[0, 1] < -0.3

    assert looked_at(rows) == ()


def test_a_rule_that_never_ranked_is_no_witness() -> None:
    rows = stream(then=flipped)
    answers = with_plans(rows)
    blind = Answers(
        made_at=answers.made_at,
        target=answers.target,
        weight=answers.weight,
        champion=answers.champion,
        rule=np.full(len(answers), 0.5),
    )

    assert doubts(blind, since=NOON, was=Was(champion=0.78, rule=0.5), arrivals=lambda: Arrivals.of(rows)) == ()


def test_too_few_outcomes_are_no_reason_to_believe_them() -> None:
    rows = toy_rows(90)
    found = doubts(with_plans(rows), since=NOON, was=WAS, arrivals=lambda: Arrivals.of(rows))

    assert isinstance(found, NotEnoughData)
    assert found.needed == 100


def test_a_default_that_was_filled_in_is_seen_as_outcomes_of_one_class() -> None:
    (doubt,) = looked_at(stream(then=lambda row: answered(row, "stayed")))

    assert doubt.kind is Kind.ONE_CLASS
    assert abs(doubt.since - FROM) < 20 * EVERY
    assert re.search(r": (\d+) of \1, among which \d+ of the other were to be expected", doubt.reason)


@pytest.mark.parametrize("place", [-1, -40, -700])
def test_an_odd_outcome_does_not_hide_a_default(place: int) -> None:
    rows = stream(then=lambda row: answered(row, "stayed"))
    rows[place] = answered(rows[place], "left")

    (doubt,) = looked_at(rows)

    assert (doubt.kind, doubt.evidence["odd"]) == (Kind.ONE_CLASS, 1)
    assert abs(doubt.since - FROM) < 20 * EVERY


def test_outcomes_of_which_one_class_comes_late_are_believed() -> None:
    """Who left is known at once; who stayed is sent in one file, which has not come."""
    late = lambda row: row if row.outcome == "left" else msgspec.structs.replace(row, outcome=None)  # noqa: E731

    assert looked_at(stream(then=late)) == ()


def test_a_default_is_seen_where_outcomes_are_always_missing() -> None:
    def lossy(row: Judged) -> Judged:
        return msgspec.structs.replace(row, outcome=None) if int(row.prediction.entity_id[-1]) % 2 else row

    (doubt,) = looked_at([lossy(row) for row in stream(then=lambda row: answered(row, "stayed"))])

    assert doubt.kind is Kind.ONE_CLASS


def test_a_short_run_of_one_class_is_chance() -> None:
    rows = stream()
    cut = rows[-150].prediction.made_at

    assert looked_at([answered(row, "stayed") if row.prediction.made_at >= cut else row for row in rows]) == ()


def test_outcomes_from_before_their_question_are_another_question_s() -> None:
    def early(row: Judged) -> Judged:
        return msgspec.structs.replace(row, observed_at=row.prediction.made_at - timedelta(days=3))

    doubt = too_early(stream(then=early))

    assert doubt is not None
    assert (doubt.kind, doubt.since) == (Kind.TOO_EARLY, FROM)


def test_outcomes_whose_feed_knows_the_day_alone_are_believed() -> None:
    def midnight(row: Judged) -> Judged:
        return msgspec.structs.replace(row, observed_at=row.prediction.made_at.replace(hour=0, minute=0))

    assert too_early(stream(then=midnight)) is None
    assert too_early(stream()[:50]) is None


def test_what_was_is_read_from_the_evidence_of_the_promotion() -> None:
    evidence: dict[str, Any] = {"auc": {"challenger": {"value": 0.8}, "rule": {"value": 0.6}}}
    version = VersionRecord(
        model="toy",
        version="v1",
        registered_at=NOON,
        training_set="",
        training_set_sha256="",
        training_rows=1,
        evidence=evidence,
    )

    assert Was.recorded([version], "v1") == Was(0.8, 0.6)
    assert Was.recorded([version], "v2") == Was.recorded([], None) == Was(None, None)
