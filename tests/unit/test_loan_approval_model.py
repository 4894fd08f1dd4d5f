"""The loan model: its money, its rule, and what it may know of an applicant."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.lifecycle.domain import permitted_rows
from monitoring.lifecycle.packaging import serve
from services.core.artifacts import ServedForm
from services.core.features import FeatureVerdict, Reading, Status, Value
from services.core.predictions import NO_ACTION, Arm
from services.core.records import Judged
from services.core.spec import Categorical, Decision, Numeric, Source, Unavailable
from services.core.training import TrainingSet
from services.core.world import PastCase
from services.models.discovery import world_of
from services.models.loan_approval.decide import ACCEPTABLE, LOSS_GIVEN_DEFAULT, MARGIN, REFUSE, THRESHOLD, TOO_RISKY
from services.models.loan_approval.features import KEPT_FROM_THE_MODEL
from services.models.loan_approval.measures import USUAL_LOAN, interest_earned, losses_from_default
from services.models.loan_approval.spec import SPEC
from services.models.loan_approval.train import RISES
from services.serving.availability import availability, blocking
from tests.models.conftest import ORIGIN, SEED, training_set
from tests.toy import prediction, verdicts


@pytest.fixture(scope="module")
def cases() -> list[PastCase]:
    return world_of(SPEC.name)(seed=SEED, origin=ORIGIN, events=()).history(rows=2500)


@pytest.fixture(scope="module")
def estimator(cases: list[PastCase]) -> Any:
    return SPEC.train(training_set(SPEC, cases[:1500]))


@pytest.fixture(scope="module")
def unseen(cases: list[PastCase]) -> TrainingSet:
    return training_set(SPEC, cases[1500:])


def scores(estimator: Any, features: pd.DataFrame) -> np.ndarray:
    return np.asarray(estimator.predict_proba(features))[:, 1]


def judged(*, acted: bool, outcome: str | None, features: Mapping[str, FeatureVerdict]) -> Judged:
    made = prediction(
        model=SPEC.name,
        arm=Arm.TREATMENT,
        intended_action=REFUSE,
        action=REFUSE if acted else NO_ACTION,
        features=dict(features),
    )
    return Judged(made, outcome)


def by_rule(**features: Value) -> Decision:
    decision = SPEC.rule(features)
    assert decision is not None
    return decision


def categories_of(name: str) -> tuple[str, ...]:
    kind = SPEC.feature(name).kind
    assert isinstance(kind, Categorical)
    return kind.categories


def test_a_loan_is_refused_from_the_score_at_which_lending_loses_money() -> None:
    assert pytest.approx(THRESHOLD * LOSS_GIVEN_DEFAULT) == (1 - THRESHOLD) * MARGIN
    assert SPEC.decide(THRESHOLD).action == REFUSE
    assert SPEC.decide(THRESHOLD - 0.001).action == NO_ACTION


@pytest.mark.parametrize(
    ("acted", "outcome", "earned", "lost"),
    [
        (False, "not_defaulted", 5000 * MARGIN, 0.0),
        (False, "defaulted", 0.0, 5000 * LOSS_GIVEN_DEFAULT),
        (True, "not_defaulted", 0.0, 0.0),
        (False, None, 0.0, 0.0),
    ],
)
def test_a_loan_that_was_made_counts_by_its_amount_and_in_one_measure(
    acted: bool, outcome: str | None, earned: float, lost: float
) -> None:
    case = judged(acted=acted, outcome=outcome, features=verdicts(loan_amount=5000.0))
    assert (interest_earned(case), losses_from_default(case)) == pytest.approx((earned, lost))


def test_a_loan_whose_amount_could_not_be_used_counts_as_a_usual_one() -> None:
    case = judged(
        acted=False, outcome="defaulted", features={"loan_amount": FeatureVerdict(Status.INVALID, -1.0, problem="low")}
    )
    assert losses_from_default(case) == LOSS_GIVEN_DEFAULT * USUAL_LOAN


@pytest.mark.parametrize(("score", "label"), [(300.0, TOO_RISKY), (399.0, TOO_RISKY), (400.0, ACCEPTABLE)])
def test_the_rule_refuses_a_credit_score_under_400_whatever_else_is_known(score: float, label: str) -> None:
    decision = by_rule(credit_score=score, debt_to_income=0.9, employment="not employed")
    assert decision.label == label
    assert decision.reasons == (f"credit score {score:g}",)


@pytest.mark.parametrize(
    ("known", "label", "reason"),
    [
        ({"debt_to_income": 0.25}, ACCEPTABLE, "no credit score; 25% of the income goes into debts"),
        ({"debt_to_income": 0.5}, TOO_RISKY, "no credit score; 50% of the income goes into debts"),
        ({"employment": "student"}, ACCEPTABLE, "no credit score, debts unknown; student"),
        ({"employment": "not employed"}, TOO_RISKY, "no credit score, debts unknown; not employed"),
    ],
)
def test_the_rule_has_an_answer_for_applicants_without_a_credit_score(
    known: dict[str, Value], label: str, reason: str
) -> None:
    decision = by_rule(**known)
    assert (decision.label, decision.reasons) == (label, (reason,))


def test_the_rule_only_gives_up_without_score_debts_and_employment() -> None:
    assert SPEC.rule({"monthly_income": 2000.0, "bureau_file": "full"}) is None
    assert SPEC.last_resort.label not in (ACCEPTABLE, TOO_RISKY)


def test_the_rule_knows_every_kind_of_employment() -> None:
    assert all(by_rule(employment=each).score for each in categories_of("employment"))


def test_the_score_is_optional_and_so_are_the_figures_of_a_file_that_may_be_empty() -> None:
    optional = {each.name for each in SPEC.features if each.if_unavailable is Unavailable.OPTIONAL}
    assert optional == {
        "credit_score",
        "missed_payments_24m",
        "card_utilisation",
        "enquiries_90d",
        *KEPT_FROM_THE_MODEL,
    }
    assert SPEC.feature("credit_score").source is Source.REQUEST


def why_not_by_the_model(case: PastCase, *, lacking: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What keeps the model from answering about the case when some of its values are gone."""
    known = {name: value for name, value in case.features.items() if name not in lacking}
    readings = {
        each.name: Reading(known[each.name], case.asked_at) for each in SPEC.online_features if each.name in known
    }
    return blocking(SPEC, availability(SPEC, given=known, readings=readings, now=case.asked_at, started_at=None))


def test_the_model_answers_for_whom_the_bureau_does_not_know_and_the_rule_when_the_bureau_is_down(
    cases: list[PastCase],
) -> None:
    unknown = next(case for case in cases if case.features["bureau_file"] == "none")
    assert "credit_score" not in unknown.features
    assert why_not_by_the_model(unknown) == ()
    assert why_not_by_the_model(unknown, lacking=("bureau_file",)) == ("bureau_file is missing",)


def test_who_somebody_is_is_recorded_and_moves_no_score(estimator: Any, unseen: TrainingSet) -> None:
    for name in KEPT_FROM_THE_MODEL:
        for category in categories_of(name):
            other = unseen.features.assign(**{name: category})
            np.testing.assert_array_equal(scores(estimator, other), scores(estimator, unseen.features))
    assert set(KEPT_FROM_THE_MODEL) < set(SPEC.slices)


@pytest.mark.parametrize("name", RISES)
def test_nobody_is_refused_for_a_better_figure(name: str, estimator: Any, unseen: TrainingSet) -> None:
    kind = SPEC.feature(name).kind
    assert isinstance(kind, Numeric)
    assert kind.low is not None
    assert kind.high is not None
    values = np.linspace(kind.low, kind.high, 25)
    found = [scores(estimator, unseen.features.head(100).assign(**{name: value})) for value in values]
    assert (np.diff(found, axis=0) * RISES[name] >= 0).all()


def test_applicants_without_a_credit_score_are_told_apart_nearly_as_well_as_the_others(
    estimator: Any, unseen: TrainingSet
) -> None:
    from sklearn.metrics import roc_auc_score

    without = unseen.features["credit_score"].isna().to_numpy()
    assert without.sum() > 100
    found = scores(estimator, unseen.features)
    assert roc_auc_score(unseen.target[without], found[without]) > 0.7


def test_it_has_an_onnx_form_although_trees_were_boosted_and_two_inputs_are_not_used(
    estimator: Any, unseen: TrainingSet
) -> None:
    rows = permitted_rows(SPEC, estimator, unseen.features)
    assert serve(SPEC, estimator, rows).served_form is ServedForm.ONNX
