"""How large a distance gets by chance alone. Pure.

A threshold is the larger of the spec's smallest effect and a far quantile of the distances between samples
that come from the same distribution, at the window's own number of rows.
"""

from collections.abc import Callable
from datetime import timedelta
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitoring.evaluation.windows import COUNTED_PARTS
from services.core.spec import DriftPolicy

DRAWS: Final = 100
"""Distances per calibration. Their standard deviation is then known to about 7 %."""

CAUTION: Final = NormalDist().inv_cdf(0.9)
"""A threshold is set where it holds the level in 90 of 100 calibrations, not in every other one."""

LEVEL_AT_MOST: Final = 0.05
"""However rare the windows, a feature that drifts in one of 20 windows by chance says nothing."""

STEPS_PER_DOUBLING: Final = 2
"""Calibrated are the sizes a factor of the square root of 2 apart; in between, the smaller one's threshold holds."""

Indices = NDArray[Any]


def level(policy: DriftPolicy, *, features: int) -> float:
    """How often one feature may exceed its threshold in one counted window without drift.

    One alarm of the model needs one feature above its threshold in some counted window. There are
    `false_alarm_days / step` of those in the budget's time, so with this level the expected number of such
    windows, all features together, is at most one (Boole's inequality: nothing is assumed about the dependence
    of features or of overlapping windows). `windows_in_a_row` above 1 only lowers it further.
    """
    step = policy.window / COUNTED_PARTS
    return min(LEVEL_AT_MOST, step / (timedelta(days=policy.false_alarm_days) * max(1, features)))


def calibrated_size(n: int) -> int:
    """The largest calibrated number of rows that is not above `n`."""
    return int(2 ** (np.floor(np.log2(n) * STEPS_PER_DOUBLING) / STEPS_PER_DOUBLING))


def chance_distance(
    distance: Callable[[Indices, Indices], float], *, reference_rows: int, rows: int, exceeded: float, seed: int
) -> float:
    """The distance that samples of one distribution exceed with probability `exceeded`.

    `distance` takes row numbers of the reference: those of the one sample, and those of the other. Both are
    drawn with replacement, since the reference is itself a sample: its own error is part of what chance does.
    Chance acts through the sum of both samples' variances, 1 / rows + 1 / reference_rows, so two samples of
    equal size with the same sum stand for them: the distances are as large, and cheaper than with a whole reference.
    """
    random = np.random.default_rng(seed)
    size = max(1, round(2 / (1 / rows + 1 / reference_rows)))
    draws = [distance(*random.integers(reference_rows, size=(2, size))) for _ in range(DRAWS)]
    return _upper_limit(float(np.mean(draws)), float(np.std(draws)), 1 - exceeded)


def _upper_limit(mean: float, deviation: float, probability: float) -> float:
    """The quantile, plus what `DRAWS` draws may have got it wrong by.

    An upper tolerance limit (Hahn and Meeker 1991, chapter 4): the standard error of mean + k deviations from D draws
    is deviation · √((1 + k² / 2) / D).
    """
    quantile = gamma_quantile(mean, deviation, probability)
    if deviation <= 0:
        return quantile
    k = (quantile - mean) / deviation
    return quantile + float(CAUTION * deviation * ((1 + k**2 / 2) / DRAWS) ** 0.5)


def gamma_quantile(mean: float, deviation: float, probability: float) -> float:
    """Quantile of the gamma distribution with this mean and standard deviation.

    A hundred draws cannot show what happens once in a thousand, so a tail is fitted. Without drift a distance is
    positive and skewed, and its tail falls like that of a norm of normal variables; a gamma tail falls more
    slowly, which errs towards silence. Wilson and Hilferty (1931), PNAS 17: the cube root is nearly normal.
    """
    if mean <= 0 or deviation <= 0:
        return max(mean, 0.0)
    shape = (mean / deviation) ** 2
    root = 1 - 1 / (9 * shape) + NormalDist().inv_cdf(probability) / (3 * shape**0.5)
    return float(mean * max(root, 0.0) ** 3)
