"""The documented effects of the lending world: who applies, what refusing hides, and what its events do."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from monitoring.evaluation.drift import SCORE, FeatureDrift, drift, reference_of
from monitoring.lifecycle.causes import broken_sources
from services.core.predictions import NO_ACTION
from services.core.records import Judged
from services.core.training import TrainingSet
from services.core.world import Caller, World, WorldEvent
from services.models.loan_approval.decide import LOSS_GIVEN_DEFAULT, MARGIN, REFUSE, THRESHOLD
from services.models.loan_approval.spec import SPEC
from services.models.loan_approval.world import build_world
from services.serving.availability import availability, blocking
from tests.models.conftest import ORIGIN, SEED, frame, training_set
from tests.toy import prediction

RECESSION_DAY = 28
CALLS = 200
WINDOW_DAYS = SPEC.drift.window.days


def callers_on(world: World, days: range) -> list[Caller]:
    return [caller for day in days for caller in world.day(day, calls=CALLS)]


def features_of(callers: Sequence[Caller]) -> list[dict[str, Any]]:
    return [
        dict(each.request) | {name: reading.value for name, reading in each.feed.items() if reading.value is not None}
        for each in callers
    ]


def defaulted(world: World, callers: Sequence[Caller]) -> np.ndarray:
    """Who would default, were everybody lent to."""
    return np.array([world.truth(each, action=NO_ACTION).value == SPEC.task.positive for each in callers])


def scores(estimator: Any, callers: Sequence[Caller]) -> np.ndarray:
    return np.asarray(estimator.predict_proba(frame(SPEC, features_of(callers)))[:, 1])


def event(name: str, *, starts: float = 0.0) -> World:
    return build_world(seed=SEED, origin=ORIGIN, events=[WorldEvent(name=name, starts=starts)])


class Lender:
    """A world with a recession on day 28, the model trained on its history, and a version trained after it."""

    def __init__(self) -> None:
        self.world = event("recession", starts=RECESSION_DAY)
        self.before = callers_on(self.world, range(14))
        self.after = callers_on(self.world, range(RECESSION_DAY + 20, RECESSION_DAY + 30))
        self.history = self.world.history(rows=3000)
        self.old = SPEC.train(training_set(SPEC, self.history))
        self.new = self.trained(callers_on(self.world, range(RECESSION_DAY, RECESSION_DAY + 9)))

    def trained(self, callers: Sequence[Caller], *, control: float = SPEC.experiment.control) -> Any:
        """A version as the loop trains it on what the old one decided: refused loans weigh nothing."""
        risky = scores(self.old, callers) >= THRESHOLD
        granted = np.random.default_rng(SEED).random(len(callers)) < control
        weights = np.where(risky, granted / control if control else 0.0, 1.0)
        target = defaulted(self.world, callers).astype(float)
        return SPEC.train(TrainingSet(frame(SPEC, features_of(callers)), target, weights))

    def auc(self, estimator: Any, callers: Sequence[Caller]) -> float:
        return float(roc_auc_score(defaulted(self.world, callers), scores(estimator, callers)))

    def profit(self, refused: np.ndarray, callers: Sequence[Caller]) -> float:
        """EUR per applicant."""
        amounts = np.array([each.request["loan_amount"] for each in callers], dtype=float)
        earned = np.where(defaulted(self.world, callers), -LOSS_GIVEN_DEFAULT, MARGIN) * amounts
        return float(np.mean(np.where(refused, 0.0, earned)))

    def drifted(self, world: World, days: range) -> set[str]:
        """The columns that the monitor finds drifted in a window of these days, with the first model's scores."""
        reference = frame(SPEC, [case.features for case in self.history])
        reference[SCORE] = self.old.predict_proba(reference)[:, 1]
        rows = judged(callers_on(world, days), self.old)
        found = drift(SPEC, reference=reference_of(SPEC, "v1", reference), rows=rows)
        assert all(isinstance(each, FeatureDrift) for each in found.values())
        return {name for name, each in found.items() if isinstance(each, FeatureDrift) and each.drifted}


def judged(callers: Sequence[Caller], estimator: Any) -> list[Judged]:
    """The model's answers to these callers as the monitor reads them."""
    return [
        Judged(prediction(number, model=SPEC.name, score=float(score), features=verdicts_on(caller)))
        for number, (caller, score) in enumerate(zip(callers, scores(estimator, callers), strict=True))
    ]


def verdicts_on(caller: Caller) -> dict[str, Any]:
    return availability(SPEC, given=caller.request, readings=caller.feed, now=caller.asked_at, started_at=None)


@pytest.fixture(scope="module")
def lender() -> Lender:
    return Lender()


def test_one_applicant_in_six_has_no_credit_score_and_newcomers_and_the_young_most_often(lender: Lender) -> None:
    without = {True: 0, False: 0}
    all_ = {True: 0, False: 0}
    for each in lender.before:
        little_known = each.request["residence"] == "under 2 years" or each.request["age_band"] == "18-24"
        all_[little_known] += 1
        without[little_known] += "credit_score" not in each.request
    assert sum(without.values()) / len(lender.before) == pytest.approx(1 / 6, abs=0.03)
    assert without[True] / all_[True] > 2 * without[False] / all_[False]


def test_an_applicant_without_a_score_has_an_empty_file_and_the_model_may_answer(lender: Lender) -> None:
    for caller in lender.before:
        empty = caller.feed["bureau_file"].value == "none"
        assert empty == ("credit_score" not in caller.request) == (caller.feed["card_utilisation"].value is None)
        assert blocking(SPEC, verdicts_on(caller)) == ()


def test_a_refused_loan_cannot_default(lender: Lender) -> None:
    assert defaulted(lender.world, lender.before).sum() > 100
    truths = [lender.world.truth(each, action=REFUSE) for each in lender.before]
    assert {truth.value for truth in truths} == {SPEC.task.negative}


def test_a_default_is_known_once_the_first_instalment_is_due(lender: Lender) -> None:
    for caller in lender.before:
        truth = lender.world.truth(caller, action=NO_ACTION)
        waited = truth.known_at - caller.asked_at
        if truth.value == SPEC.task.positive:
            assert timedelta(days=14) <= waited <= SPEC.task.outcome_delay
        else:
            assert waited == SPEC.task.outcome_delay


def test_refusing_by_the_model_earns_more_than_the_rule_and_than_lending_to_everybody(lender: Lender) -> None:
    rule = np.array([SPEC.rule(each).action == REFUSE for each in features_of(lender.before)])  # type: ignore[union-attr]  # it answers to all of them
    model = scores(lender.old, lender.before) >= THRESHOLD
    nobody = np.zeros(len(lender.before), dtype=bool)
    by_model, by_rule, by_nobody = (lender.profit(each, lender.before) for each in (model, rule, nobody))
    assert by_model > by_rule + 15
    assert by_model > by_nobody + 25


def test_the_recession_takes_the_old_model_s_skill_and_retraining_brings_it_back(lender: Lender) -> None:
    assert lender.auc(lender.old, lender.before) > 0.79
    assert lender.auc(lender.old, lender.after) < 0.62
    assert lender.auc(lender.new, lender.after) > 0.79


def test_the_recession_costs_money_and_retraining_recovers_some_of_it(lender: Lender) -> None:
    before, after = (
        lender.profit(scores(lender.old, each) >= THRESHOLD, each) for each in (lender.before, lender.after)
    )
    recovered = lender.profit(scores(lender.new, lender.after) >= THRESHOLD, lender.after)
    assert after < before - 400
    assert recovered > after + 200


def test_learning_from_granted_loans_alone_makes_applicants_look_safer_than_they_are(lender: Lender) -> None:
    learnt_from, judged_by = lender.before, callers_on(lender.world, range(14, 28))
    true = defaulted(lender.world, judged_by).mean()
    granted_alone = scores(lender.trained(learnt_from, control=0.0), judged_by).mean()
    with_control = scores(lender.trained(learnt_from), judged_by).mean()
    assert granted_alone < true - 0.01
    assert abs(with_control - true) < abs(granted_alone - true)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_an_event_no_column_drifts(lender: Lender, seed: int) -> None:
    quiet = build_world(seed=seed, origin=ORIGIN, events=())
    for day in (0, 20, 60):
        assert lender.drifted(quiet, range(day, day + WINDOW_DAYS)) == set()


def test_the_recession_shows_in_the_debts_within_days(lender: Lender) -> None:
    assert "debt_to_income" in lender.drifted(lender.world, range(RECESSION_DAY - 2, RECESSION_DAY + 3))


def test_scores_that_applicants_never_had_are_no_broken_source(lender: Lender) -> None:
    rows = judged(lender.before, lender.old)
    assert broken_sources(SPEC, SPEC.feature_names, rows) == ()


def test_during_an_outage_of_the_bureau_the_rule_answers_for_who_has_no_recent_report() -> None:
    callers = event("bureau_outage").day(1, calls=CALLS)
    for caller in callers:
        assert "credit_score" not in caller.request
        assert blocking(SPEC, verdicts_on(caller)) == ("bureau_file is missing",)
        assert SPEC.rule(caller.request) is not None


@pytest.mark.parametrize("name", ["bureau_outage", "campus_campaign"])
def test_what_the_bureau_or_advertising_does_changes_nobody_s_behaviour(name: str) -> None:
    quiet = build_world(seed=SEED, origin=ORIGIN, events=())
    eventful = event(name)
    callers = eventful.day(1, calls=CALLS)
    assert all(quiet.truth(a, action=NO_ACTION) == eventful.truth(a, action=NO_ACTION) for a in callers)


def test_a_campaign_brings_young_applicants_and_some_without_a_score(lender: Lender) -> None:
    callers = callers_on(event("campus_campaign"), range(WINDOW_DAYS))
    young = np.mean([each.request["age_band"] == "18-24" for each in callers])
    unscored = np.mean(["credit_score" not in each.request for each in callers])
    assert young > 0.5
    assert unscored > 0.2


def test_a_person_stays_the_same_and_asks_for_something_else(lender: Lender) -> None:
    met: dict[str, Caller] = {}
    again = [(met.setdefault(each.entity_id, each), each) for each in callers_on(lender.world, range(28))]
    pairs = [(first, later) for first, later in again if first.asked_at.date() != later.asked_at.date()]
    assert len(pairs) > 100
    for first, later in pairs:
        for name in ("age_band", "residence", "employment", "monthly_income", "credit_score"):
            assert first.request.get(name) == later.request.get(name)
    assert np.mean([first.request["loan_amount"] != later.request["loan_amount"] for first, later in pairs]) > 0.9
