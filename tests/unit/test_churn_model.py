"""The churn model: its money, its rule, and how it does on the Telco file."""

from pathlib import Path

import numpy as np
import pytest

from services.core.features import Value
from services.core.predictions import NO_ACTION, Arm
from services.core.records import Judged
from services.core.spec import Impute, Source
from services.models.churn.decide import KEPT_BY_OFFER, LOYAL, OFFER_COST, RETENTION_OFFER, THRESHOLD, YEARLY_MARGIN
from services.models.churn.measures import offers_wasted, revenue_kept
from services.models.churn.spec import SPEC
from services.models.discovery import folder_of
from services.traffic.history import CsvRow, read_history
from services.traffic.mapping import load_mapping
from services.traffic.replay import training_cases
from tests.models.conftest import ORIGIN, frame, training_set
from tests.toy import prediction

TELCO = Path(__file__).parents[3] / "shared" / "data" / "telco_customer_churn.csv"


@pytest.fixture(scope="module")
def telco() -> list[CsvRow]:
    if not TELCO.exists():
        pytest.skip("the Telco file is not part of the repository; put it at ../shared/data/telco_customer_churn.csv")
    return list(read_history(TELCO, load_mapping(folder_of("churn") / "telco.toml", SPEC), SPEC).rows)


def judged(*, acted: bool, outcome: str | None) -> Judged:
    made = prediction(
        model="churn",
        arm=Arm.TREATMENT if acted else Arm.CONTROL,
        intended_action=RETENTION_OFFER,
        action=RETENTION_OFFER if acted else NO_ACTION,
    )
    return Judged(made, outcome)


def test_the_shipped_mapping_fits_the_model() -> None:
    mapping = load_mapping(folder_of("churn") / "telco.toml", SPEC)
    assert len(set(mapping.columns)) == 21


def test_an_offer_is_made_from_the_score_at_which_it_pays_for_itself() -> None:
    assert pytest.approx(OFFER_COST) == THRESHOLD * KEPT_BY_OFFER * YEARLY_MARGIN
    assert SPEC.decide(THRESHOLD).action == RETENTION_OFFER
    assert SPEC.decide(THRESHOLD - 0.001).action == NO_ACTION


@pytest.mark.parametrize(
    ("acted", "outcome", "kept", "wasted"),
    [
        (False, "stayed", YEARLY_MARGIN, 0.0),
        (False, "churned", 0.0, 0.0),
        (True, "stayed", YEARLY_MARGIN - OFFER_COST, 0.0),
        (True, "churned", 0.0, OFFER_COST),
        (True, None, 0.0, 0.0),
    ],
)
def test_every_euro_stands_in_exactly_one_measure(acted: bool, outcome: str | None, kept: float, wasted: float) -> None:
    case = judged(acted=acted, outcome=outcome)
    assert (revenue_kept(case), offers_wasted(case)) == (kept, wasted)


def test_the_rule_calls_short_uncommitted_customers_at_risk_and_committed_ones_loyal() -> None:
    new = SPEC.rule({"contract": "month-to-month", "tenure_months": 2.0})
    bound = SPEC.rule({"contract": "two year", "tenure_months": 2.0})
    assert new is not None
    assert bound is not None
    assert (new.label, bound.label) == ("at_risk", LOYAL)
    assert new.reasons == ("month-to-month contract, 2 months",)


@pytest.mark.parametrize("lacking", ["contract", "tenure_months"])
def test_the_rule_does_not_guess_what_it_needs(lacking: str) -> None:
    known: dict[str, Value] = {"contract": "two year", "tenure_months": 2.0}
    del known[lacking]
    assert SPEC.rule(known) is None


def test_account_features_come_in_the_request_and_the_feeds_from_the_online_store() -> None:
    requested = [each.name for each in SPEC.features if each.source is Source.REQUEST]
    assert len(requested) == 8
    assert len(SPEC.online_features) == 11
    assert {each.owner for each in SPEC.online_features} == {"service catalogue", "billing"}


def test_every_telco_row_fits_the_model_and_blanks_are_missing(telco: list[CsvRow]) -> None:
    assert len(telco) == 7043
    assert not [row for row in telco if row.unmapped]
    assert sum(row.feed["total_charges"] is None for row in telco) == 11
    assert sum(row.outcome == "churned" for row in telco) == 1869
    assert sum(len(row.request) for row in telco) == 8 * 7043


def test_trained_on_the_first_half_of_the_telco_file_it_ranks_the_second(telco: list[CsvRow]) -> None:
    cases = training_cases(telco, spec=SPEC, origin=ORIGIN, rows_per_day=200)
    assert len(cases) == 7032
    half = len(cases) // 2
    estimator = SPEC.train(training_set(SPEC, cases[:half]))
    unseen = training_set(SPEC, cases[half:])
    from sklearn.metrics import roc_auc_score

    found = estimator.predict_proba(unseen.features)[:, 1]
    assert roc_auc_score(unseen.target, found) >= 0.835
    decisions = [SPEC.rule(case.features) for case in cases[half:]]
    assert 0.75 < roc_auc_score(unseen.target, [each.score for each in decisions if each]) < 0.80


def test_what_may_be_imputed_hardly_matters_to_the_ranking(telco: list[CsvRow]) -> None:
    from sklearn.metrics import roc_auc_score

    cases = training_cases(telco, spec=SPEC, origin=ORIGIN, rows_per_day=200)
    estimator = SPEC.train(training_set(SPEC, cases[:4000]))
    unseen = training_set(SPEC, cases[4000:])
    imputed = {
        each.name: each.if_unavailable.value for each in SPEC.features if isinstance(each.if_unavailable, Impute)
    }
    guessed = frame(SPEC, [case.features | imputed for case in cases[4000:]])
    aucs = [roc_auc_score(unseen.target, estimator.predict_proba(each)[:, 1]) for each in (unseen.features, guessed)]
    assert abs(aucs[0] - aucs[1]) < 0.005
    assert np.isfinite(aucs).all()
