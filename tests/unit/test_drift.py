"""Drift: what is found, what is not, and what one bad column does to the others."""

import math
from dataclasses import replace
from datetime import timedelta

import msgspec
import numpy as np
import pandas as pd
import pytest

from monitoring.evaluation.calibration import calibrated_size, chance_distance, gamma_quantile, level
from monitoring.evaluation.drift import (
    SCORE,
    FeatureDrift,
    Reference,
    drift,
    reference_of,
)
from monitoring.evaluation.unknown import Failed, NotEnoughData
from services.core.features import FeatureVerdict, Status, Value
from services.core.predictions import ServedBy
from services.core.records import Judged
from services.core.spec import Categorical, DriftPolicy, Feature, Numeric, Source
from tests.toy import prediction, toy_spec
from tests.toy_traffic import toy_columns, toy_reference, toy_rows

SPEC = toy_spec()


@pytest.fixture(scope="module")
def reference() -> Reference:
    return reference_of(SPEC, "v1", toy_reference())


def test_the_same_world_has_not_drifted(reference: Reference) -> None:
    found = drift(SPEC, reference=reference, rows=toy_rows(800))
    assert set(found) == {*SPEC.feature_names, SCORE}
    assert not any(isinstance(each, FeatureDrift) and each.drifted for each in found.values())


def test_a_shifted_number_and_a_shifted_category_are_found_and_no_other_feature(reference: Reference) -> None:
    found = drift(SPEC, reference=reference, rows=toy_rows(800, richer=0.5, yearly=0.7))
    drifted = [name for name, each in found.items() if isinstance(each, FeatureDrift) and each.drifted]
    assert drifted == ["amount", "plan", "score"]
    assert found["amount"].as_body()["score"] == pytest.approx(0.5, abs=0.1)


def test_a_few_rows_are_not_enough_to_say_anything(reference: Reference) -> None:
    found = drift(SPEC, reference=reference, rows=toy_rows(299))
    assert all(isinstance(each, NotEnoughData) and (each.n, each.needed) == (299, 300) for each in found.values())


def test_one_broken_column_leaves_the_others_judged(reference: Reference) -> None:
    rows = [_with(row, visits=FeatureVerdict(Status.SOURCE_DOWN)) for row in toy_rows(600)]
    found = drift(SPEC, reference=reference, rows=rows)
    assert isinstance(found["visits"], NotEnoughData)
    assert isinstance(found["amount"], FeatureDrift)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, "12", True], ids=str)
def test_values_that_are_no_numbers_are_left_out_and_counted(reference: Reference, odd: Value) -> None:
    rows = toy_rows(600)
    spoilt = [_with(row, amount=FeatureVerdict(Status.OK, odd)) for row in rows[:60]] + rows[60:]
    found = drift(SPEC, reference=reference, rows=spoilt)["amount"]
    assert isinstance(found, FeatureDrift)
    assert (found.discarded, found.n_current, found.drifted) == (60, 540, False)


def test_one_absurd_value_neither_alarms_nor_hides_a_shift(reference: Reference) -> None:
    def absurd(rows: list[Judged]) -> list[Judged]:
        return [_with(rows[0], amount=FeatureVerdict(Status.OK, 1e12)), *rows[1:]]

    unchanged = drift(SPEC, reference=reference, rows=absurd(toy_rows(600)))["amount"]
    shifted = drift(SPEC, reference=reference, rows=absurd(toy_rows(600, richer=0.6)))["amount"]
    assert isinstance(unchanged, FeatureDrift)
    assert not unchanged.drifted
    assert isinstance(shifted, FeatureDrift)
    assert shifted.drifted


def test_a_column_that_became_constant_has_drifted(reference: Reference) -> None:
    rows = [_with(row, amount=FeatureVerdict(Status.OK, 100.0)) for row in toy_rows(600)]
    found = drift(SPEC, reference=reference, rows=rows)["amount"]
    assert isinstance(found, FeatureDrift)
    assert found.drifted


def test_a_constant_reference_is_left_by_the_share_of_rows_that_differ() -> None:
    constant = reference_of(SPEC, "v1", toy_reference().assign(mood=0.0))
    rows = toy_rows(600)
    same = [_with(row, mood=FeatureVerdict(Status.OK, 0.0)) for row in rows]
    few = [_with(row, mood=FeatureVerdict(Status.OK, 9.0)) for row in rows[:30]] + same[30:]
    found = [drift(SPEC, reference=constant, rows=each)["mood"] for each in (same, few, rows)]
    assert [isinstance(each, FeatureDrift) and each.drifted for each in found] == [False, False, True]
    assert found[1].as_body()["score"] == pytest.approx(0.05)


def test_one_unseen_category_is_no_drift_and_many_are(reference: Reference) -> None:
    rows = toy_rows(600)
    few, many = (
        [_with(row, plan=FeatureVerdict(Status.OK, "weekly")) for row in rows[:k]] + rows[k:] for k in (1, 200)
    )
    found = [drift(SPEC, reference=reference, rows=each)["plan"] for each in (few, many)]
    assert [isinstance(each, FeatureDrift) and each.drifted for each in found] == [False, True]


def test_answers_of_the_rule_do_not_count_as_scores_of_the_model(reference: Reference) -> None:
    by_rule = [
        Judged(msgspec.structs.replace(row.prediction, served_by=ServedBy.RULE, score=0.99)) for row in toy_rows(600)
    ]
    found = drift(SPEC, reference=reference, rows=by_rule)
    assert isinstance(found[SCORE], NotEnoughData)
    assert isinstance(found["amount"], FeatureDrift)


def test_unusable_rows_are_told_as_a_share(reference: Reference) -> None:
    rows = toy_rows(800)
    stale = [_with(row, visits=FeatureVerdict(Status.STALE, 3.0)) for row in rows[:200]] + rows[200:]
    assert drift(SPEC, reference=reference, rows=stale)["visits"].as_body()["unusable_share"] == 0.25


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame.drop(columns="amount"),
        lambda frame: frame.assign(amount="many"),
        lambda frame: frame.assign(amount=np.nan),
    ],
    ids=["absent", "texts", "gaps"],
)
def test_a_reference_column_that_does_not_fit_fails_alone_and_says_why(spoil: object) -> None:
    spoilt: pd.DataFrame = spoil(toy_reference())  # type: ignore[operator]  # the parameters are functions
    found = drift(SPEC, reference=reference_of(SPEC, "v1", spoilt), rows=toy_rows(600))
    assert isinstance(found["amount"], Failed)
    assert "amount" in found["amount"].reason
    assert isinstance(found["plan"], FeatureDrift)


def test_a_method_without_a_stated_smallest_effect_is_an_error_not_a_default() -> None:
    spec = toy_spec(drift=DriftPolicy(numeric="psi", minimum_effect={"jensenshannon": 0.1}))
    found = drift(spec, reference=reference_of(spec, "v1", toy_reference()), rows=toy_rows(600))
    assert isinstance(found["amount"], Failed)
    assert "minimum_effect for 'psi'" in found["amount"].reason


def test_without_drift_there_are_no_more_alarms_than_the_budget_allows() -> None:
    # The smallest effect is put out of force, so that the calibration alone has to hold the budget. Windows are
    # disjoint and each is judged alone: 30 of them, 4 features and the score together, may alarm once.
    policy = DriftPolicy(
        window=timedelta(days=5), windows_in_a_row=1, minimum_effect={"wasserstein": 0.0, "jensenshannon": 0.0}
    )
    spec = replace(SPEC, drift=policy)
    alarms = 0
    for number in range(300):
        # A new reference now and then: its own sampling error is part of what has to be allowed for.
        if number % 60 == 0:
            known = reference_of(spec, "v1", toy_reference(3000, seed=number))
        rows = _plain_rows(400, seed=10_000 + number)
        found = drift(spec, reference=known, rows=rows)
        alarms += sum(isinstance(each, FeatureDrift) and each.drifted for each in found.values())
    # 10 expected at most; were they 10, more than 18 would come about once in a hundred times.
    assert alarms <= 18


def test_the_level_shares_the_budget_among_features_and_windows() -> None:
    policy = DriftPolicy(window=timedelta(days=5), false_alarm_days=30)
    assert level(policy, features=20) == pytest.approx(1 / 600)
    assert level(replace(policy, false_alarm_days=1), features=1) == 0.05


def test_thresholds_fall_as_windows_grow_and_are_calibrated_at_few_sizes(reference: Reference) -> None:
    sizes = {calibrated_size(n) for n in range(300, 10_000)}
    assert len(sizes) == 11
    assert all(calibrated_size(n) <= n for n in range(1, 10_000))

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        return abs(float(one.mean() - other.mean()))

    small, large = (
        chance_distance(distance, reference_rows=5000, rows=rows, exceeded=0.01, seed=1) for rows in (300, 3000)
    )
    assert small > 2 * large


@pytest.mark.parametrize(
    # scipy.stats.gamma(shape).ppf(0.999) for shapes 1 and 10; without spread there is nothing to exceed.
    ("mean", "deviation", "exact"),
    [(1.0, 1.0, 6.908), (10.0, 10**0.5, 22.657), (0.0, 0.0, 0.0), (0.3, 0.0, 0.3)],
)
def test_the_fitted_tail_is_that_of_the_gamma_distribution(mean: float, deviation: float, exact: float) -> None:
    assert gamma_quantile(mean, deviation, 0.999) == pytest.approx(exact, rel=0.03)


def _with(row: Judged, **features: FeatureVerdict) -> Judged:
    return Judged(msgspec.structs.replace(row.prediction, features=row.prediction.features | features), row.outcome)


def _plain_rows(n: int, *, seed: int) -> list[Judged]:
    columns = toy_columns(n, seed=seed)
    return [
        Judged(
            prediction(
                score=float(columns[SCORE][i]),
                features={name: FeatureVerdict(Status.OK, columns[name][i].item()) for name in SPEC.feature_names},
            )
        )
        for i in range(n)
    ]


def _feature(name: str, kind: Numeric | Categorical) -> Feature:
    return Feature(name, kind, Source.REQUEST, meaning=name, owner="tests", refreshed="hourly")
