"""Drift: what is found, what is not, and what one bad column does to the others."""

import math
from dataclasses import replace
from datetime import timedelta

import msgspec
import numpy as np
import pandas as pd
import pytest

from monitoring.evaluation.calibration import (
    Calibration,
    calibrated_size,
    calibrated_sizes,
    gamma_quantile,
    level,
    merged,
)
from monitoring.evaluation.drift import (
    SCORE,
    FeatureDrift,
    Reference,
    ReferenceColumn,
    calibrated,
    drift,
    is_calibrated,
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
    sizes = {calibrated_size(n) for n in range(300, 10_001)}
    assert sorted(sizes) == calibrated_sizes(DriftPolicy())
    assert len(sizes) == 11
    assert all(calibrated_size(n) <= n for n in range(1, 10_000))

    mood = reference.columns["mood"]
    assert isinstance(mood, ReferenceColumn)
    assert mood.chance(256).exceeded(0.01) > 2 * mood.chance(calibrated_size(3000)).exceeded(0.01)


@pytest.mark.parametrize("minimum_rows", [0, 1, 2, 7, 300, 9_999, 10_000, 20_000])
def test_every_window_that_a_policy_judges_has_a_calibrated_size(minimum_rows: int) -> None:
    judged = range(max(1, minimum_rows), 10_001)
    assert set(calibrated_sizes(DriftPolicy(minimum_rows=minimum_rows))) == {calibrated_size(n) for n in judged}


def test_a_kept_calibration_gives_the_same_thresholds_and_nothing_is_drawn_again() -> None:
    drawn = reference_of(SPEC, "v1", toy_reference())
    kept = msgspec.json.decode(msgspec.json.encode(calibrated(SPEC, drawn)), type=Calibration)

    again = reference_of(SPEC, "v1", toy_reference(), calibration=kept)

    assert is_calibrated(SPEC, again)
    assert not is_calibrated(SPEC, reference_of(SPEC, "v1", toy_reference()))
    assert _thresholds(again) == _thresholds(drawn)


def test_a_calibration_outlives_a_change_of_the_budget_and_not_one_of_the_method() -> None:
    kept = calibrated(SPEC, reference_of(SPEC, "v1", toy_reference()))
    stricter = toy_spec(drift=DriftPolicy(false_alarm_days=365, minimum_effect={"wasserstein": 0, "jensenshannon": 0}))
    other = toy_spec(drift=DriftPolicy(numeric="psi"))

    known = reference_of(stricter, "v1", toy_reference(), calibration=kept)
    anew = reference_of(other, "v1", toy_reference(), calibration=kept)

    assert is_calibrated(stricter, known)
    assert _thresholds(known)["amount"][0] > kept.columns["amount"].chances[256].mean
    assert not is_calibrated(other, anew)
    assert is_calibrated(
        other, reference_of(other, "v1", toy_reference(), calibration=merged(kept, calibrated(other, anew)))
    )


def _thresholds(reference: Reference) -> dict[str, list[float]]:
    columns = [each for each in reference.columns.values() if isinstance(each, ReferenceColumn)]
    return {each.name: [each.threshold(n) for n in (300, 1000, 10_000)] for each in columns}


SHIFTS = {
    "mostly zero": lambda random, n, changed: (random.random(n) < (0.1 if changed else 0.005)).astype(float),
    "mostly zero, counted": lambda random, n, changed: random.poisson(0.2 if changed else 0.01, n).astype(float),
    "mostly zero, of any size": lambda random, n, changed: (
        random.exponential(50.0, n) * (random.random(n) < (0.1 if changed else 0.005))
    ),
    "mostly one": lambda random, n, changed: (random.random(n) < (0.9 if changed else 0.995)).astype(float),
    "in millionths": lambda random, n, changed: 1e-6 * random.normal(0.5 if changed else 0, 1, n),
    "in billionths, far from zero": lambda random, n, changed: 1e-3 + 1e-9 * random.normal(0.5 if changed else 0, 1, n),
    "in the smallest of floats": lambda random, n, changed: 1e-250 * random.normal(0.5 if changed else 0, 1, n),
    "in the largest of floats": lambda random, n, changed: 1e250 * random.normal(0.5 if changed else 0, 1, n),
}


@pytest.mark.parametrize("name", SHIFTS)
def test_a_change_is_found_in_whatever_unit_and_however_rare_what_changes_was(name: str) -> None:
    """In references of a thousand rows: with all features of the toy sharing the budget, as in life."""
    found = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        values = SHIFTS[name](random, 1000, False)
        reference = reference_of(SPEC, "v1", toy_reference(1000, seed=seed).assign(mood=values))
        column = drift(SPEC, reference=reference, rows=_moods(SHIFTS[name](random, 1000, True)))["mood"]
        found.append(isinstance(column, FeatureDrift) and column.drifted)
    assert sum(found) >= 11


@pytest.mark.parametrize("rate", [0.0003, 0.001, 0.003, 0.005, 0.02, 0.3])
def test_what_is_rare_alarms_no_oftener_than_the_budget_allows_without_drift(rate: float) -> None:
    policy = DriftPolicy(windows_in_a_row=1, minimum_effect={"wasserstein": 0.0, "jensenshannon": 0.0})
    spec, alarms = replace(SPEC, drift=policy), 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        frame = toy_reference(1000, seed=seed).assign(mood=(random.random(1000) < rate).astype(float))
        known = reference_of(spec, "v1", frame).columns["mood"]
        assert isinstance(known, ReferenceColumn)
        windows = [(random.random(1000) < rate).astype(float) for _ in range(50)]
        alarms += sum(known.distance(each) > known.threshold(1000) for each in windows)
    # Of 3,000 windows 20 may alarm, one in 150: 5 features share one alarm of 30 windows. More than 31 would come
    # about once in a hundred times.
    assert alarms <= 31


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


def _moods(values: np.ndarray) -> list[Judged]:
    rows = toy_rows(len(values))
    return [_with(row, mood=FeatureVerdict(Status.OK, float(value))) for row, value in zip(rows, values, strict=True)]


def _feature(name: str, kind: Numeric | Categorical) -> Feature:
    return Feature(name, kind, Source.REQUEST, meaning=name, owner="tests", refreshed="hourly")
