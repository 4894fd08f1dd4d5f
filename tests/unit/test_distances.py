"""The distances are Evidently's, to the same figures."""

import numpy as np
import pandas as pd
import pytest
from evidently.legacy.calculations.stattests import jensenshannon_stat_test, psi_stat_test, wasserstein_stat_test
from evidently.legacy.core import ColumnType

from monitoring.evaluation.distances import FOR_CATEGORIES, METHODS, unit_of

EVIDENTLYS = {test.name: test for test in (wasserstein_stat_test, jensenshannon_stat_test, psi_stat_test)}
RANDOM = np.random.default_rng(1)

NUMBERS = {
    "continuous": (RANDOM.normal(100, 20, 4000), RANDOM.normal(104, 22, 900)),
    "few distinct": (RANDOM.poisson(3, 4000).astype(float), RANDOM.poisson(4, 700).astype(float)),
    "mostly zero": ((RANDOM.random(4000) < 0.02).astype(float), (RANDOM.random(800) < 0.1).astype(float)),
    "shares nothing": (RANDOM.normal(0, 1, 500), RANDOM.normal(9, 1, 400)),
    "one value": (RANDOM.normal(0, 1, 500), np.full(300, 0.25)),
}
CATEGORIES = {
    "three": (RANDOM.choice(3, 4000, p=[0.5, 0.3, 0.2]), RANDOM.choice(3, 900, p=[0.4, 0.3, 0.3])),
    "one unseen": (RANDOM.choice(3, 2000), RANDOM.choice([-1, 0, 1, 2], 500)),
    "one lost": (RANDOM.choice(4, 2000), RANDOM.choice(3, 500)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_as_far_apart_as_evidently_says(method: str, name: str) -> None:
    reference, current = NUMBERS[name]
    found = METHODS[method](reference, categories=False).distance(current)
    assert found == pytest.approx(_evidently(method, reference, current, ColumnType.Numerical), rel=1e-6, abs=0.03)


@pytest.mark.parametrize("method", sorted(FOR_CATEGORIES))
@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_are_as_far_apart_as_evidently_says(method: str, name: str) -> None:
    reference, current = CATEGORIES[name]
    found = METHODS[method](reference, categories=True).distance(current)
    assert found == pytest.approx(_evidently(method, reference, current, ColumnType.Categorical), rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NUMBERS)
def test_by_chance_samples_are_as_far_apart_as_samples_that_are_drawn_and_measured(method: str, name: str) -> None:
    """Drawing how often a value comes, in place of rows, changes nothing."""
    reference, _ = NUMBERS[name]
    known, random = METHODS[method](reference, categories=False), np.random.default_rng(2)

    quick = known.by_chance(400, 200, random)
    drawn = np.array([_of_two_samples(method, reference, random) for _ in range(200)])

    assert quick.mean() == pytest.approx(drawn.mean(), rel=0.15)
    assert quick.std() == pytest.approx(drawn.std(), rel=0.35)


def test_a_distance_does_not_depend_on_the_unit() -> None:
    reference, current = NUMBERS["continuous"]
    plain = METHODS["wasserstein"](reference, categories=False).distance(current)
    for factor in (1e-250, 1e-9, 1e9, 1e250):
        found = METHODS["wasserstein"](factor * reference, categories=False).distance(factor * current)
        assert found == pytest.approx(plain, rel=1e-9)


def test_a_constant_has_a_unit_that_any_other_value_is_far_beyond() -> None:
    assert unit_of(np.zeros(5)) == pytest.approx(1e-12)
    assert unit_of(np.full(5, 250.0)) == pytest.approx(2.5e-10)
    assert unit_of(np.array([0.1 + 0.2, 0.3])) == pytest.approx(3e-13, rel=0.1)  # the same number, rounded twice


def _of_two_samples(method: str, reference: np.ndarray, random: np.random.Generator) -> float:
    one, other = random.choice(reference, (2, 400))
    if method == "wasserstein":
        ordered = np.sort(one), np.sort(other)
        return float(np.abs(ordered[0] - ordered[1]).mean()) / unit_of(reference)
    return _evidently(method, one, other, ColumnType.Numerical)


def _evidently(method: str, reference: np.ndarray, current: np.ndarray, kind: ColumnType) -> float:
    found = EVIDENTLYS[method](pd.Series(reference), pd.Series(current), kind, None)
    return float(found.drift_score)
