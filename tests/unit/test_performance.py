"""Performance from matured outcomes."""

from datetime import timedelta

import msgspec
import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, precision_score, recall_score, roc_auc_score

from monitoring.evaluation.performance import by_version, coverage, performance
from monitoring.evaluation.unknown import NotEnoughData
from services.core.features import FeatureVerdict, Status
from services.core.predictions import ServedBy
from services.core.records import Judged
from tests.toy import NOON, toy_spec
from tests.toy_traffic import toy_rows

SPEC = toy_spec()


def test_every_figure_is_that_of_scikit_learn_on_the_rows_nobody_acted_on() -> None:
    rows = toy_rows(1000)
    found = _performance(rows)
    counted = [row for row in rows if row.prediction.weight > 0]
    target = [row.outcome == "left" for row in counted]
    score = [row.prediction.score for row in counted]
    said = [row.prediction.label == "leaver" for row in counted]
    weight = [row.prediction.weight for row in counted]
    assert found["n"] == len(counted) < found["n_matured"] == 1000
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(target, score, sample_weight=weight))
    assert found["log_loss"] == pytest.approx(log_loss(target, score, sample_weight=weight))
    assert found["brier"] == pytest.approx(brier_score_loss(target, score, sample_weight=weight))
    assert found["precision"] == pytest.approx(precision_score(target, said, sample_weight=weight))
    assert found["recall"] == pytest.approx(recall_score(target, said, sample_weight=weight))


def test_an_offer_that_works_does_not_make_the_model_look_worse() -> None:
    honest = [row for seed in range(4) for row in toy_rows(1000, seed=seed)]
    acted_on = [row for seed in range(4) for row in toy_rows(1000, seed=seed, effect=0.9)]
    naive = roc_auc_score([row.outcome == "left" for row in acted_on], [row.prediction.score for row in acted_on])
    truth = _performance(honest)["auc"]["value"]
    assert _performance(acted_on)["auc"]["value"] == pytest.approx(truth, abs=1e-9)
    assert naive < truth - 0.05


def test_the_rule_is_judged_on_the_same_rows_and_its_features() -> None:
    found = _performance(toy_rows(1000))
    assert 0.6 < found["rule_auc"]["value"] < found["auc"]["value"]


def test_where_the_rule_has_no_inputs_the_last_resort_stands_for_it() -> None:
    rows = [_with_plan(row, FeatureVerdict(Status.MISSING)) for row in toy_rows(400)]
    assert _performance(rows)["rule_auc"]["value"] == 0.5


def test_slices_are_judged_apart_and_small_ones_say_so() -> None:
    rows = toy_rows(1000)
    few = [_with_plan(row, FeatureVerdict(Status.MISSING)) for row in rows[:40]] + rows[40:]
    slices = _performance(few)["slices"]["plan"]
    assert set(slices) == {"monthly", "yearly", "unavailable"}
    assert slices["yearly"]["auc"]["low"] < slices["yearly"]["auc"]["value"] < slices["yearly"]["auc"]["high"]
    assert slices["unavailable"]["status"] == "not_enough_data"
    assert slices["unavailable"]["needed"] == 100


def test_numbers_that_share_six_digits_are_two_slices() -> None:
    rows = [
        _with(row, amount=FeatureVerdict(Status.OK, 1234567.0 + place % 2)) for place, row in enumerate(toy_rows(1000))
    ]
    found = performance(toy_spec(slices=("amount",)), rows)
    assert not isinstance(found, NotEnoughData)
    assert set(found["slices"]["amount"]) == {"1234567", "1234568"}


def test_outcomes_that_are_missing_lower_the_coverage_and_count_nowhere_else() -> None:
    rows = toy_rows(1000)
    unknown = [Judged(row.prediction) for row in rows[:250]] + rows[250:]
    assert coverage(unknown) == 0.75
    assert _performance(unknown)["coverage"] == 0.75
    assert _performance(unknown)["auc"] == _performance(rows[250:])["auc"]


@pytest.mark.parametrize(
    ("rows", "n", "needed"),
    [
        (list, 0, 100),
        (lambda: toy_rows(60), None, 100),
        (lambda: [row for row in toy_rows(900) if row.outcome == "left"], 0, 10),
    ],
    ids=["none", "few", "one class"],
)
def test_too_few_rows_of_either_class_are_not_enough_data(rows: object, n: int | None, needed: int) -> None:
    found = performance(SPEC, rows())  # type: ignore[operator]  # the parameters are functions
    assert isinstance(found, NotEnoughData)
    assert found.needed == needed
    assert n in (None, found.n)


def test_versions_are_told_apart_and_the_rules_answers_are_nobodys() -> None:
    old, new = toy_rows(20), toy_rows(10, begin=NOON + timedelta(days=1), version="v2")
    by_rule = [Judged(msgspec.structs.replace(row.prediction, served_by=ServedBy.RULE), row.outcome) for row in old]
    again = toy_rows(5, begin=NOON + timedelta(days=2), version="v1")
    assert {version: len(rows) for version, rows in by_version([*old, *by_rule, *new]).items()} == {"v1": 20, "v2": 10}
    assert list(by_version([*old, *new, *again])) == ["v2", "v1"]


def _performance(rows: list[Judged]) -> dict:  # type: ignore[type-arg]  # JSON-ready
    found = performance(SPEC, rows)
    assert not isinstance(found, NotEnoughData)
    return found


def _with_plan(row: Judged, verdict: FeatureVerdict) -> Judged:
    return _with(row, plan=verdict)


def _with(row: Judged, **verdicts: FeatureVerdict) -> Judged:
    made = msgspec.structs.replace(row.prediction, features=row.prediction.features | verdicts)
    return Judged(made, row.outcome)


def test_a_score_of_exactly_one_that_was_wrong_costs_a_finite_loss() -> None:
    rows = toy_rows(400)
    certain = [Judged(msgspec.structs.replace(row.prediction, score=1.0), row.outcome) for row in rows]
    assert np.isfinite(_performance(certain)["log_loss"])
