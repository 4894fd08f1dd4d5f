"""How large a distance gets by chance alone. Pure.

A threshold is the larger of the spec's smallest effect and a far quantile of the distances between samples
that come from the same distribution, at the window's own number of rows.

What is computed once and kept with a version are the distances' mean and deviation, at every number of rows that a
window may have. They belong to its reference alone: a spec that changes its budget or its smallest effect needs no
other calibration, one that changes a column's method does.
"""

from datetime import timedelta
from statistics import NormalDist
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitoring.evaluation.windows import COUNTED_PARTS, SAMPLE_LIMIT
from services.core.spec import DriftPolicy

FORMAT: Final = 1
"""Of a kept calibration; another one is of other distances or another way to draw, and is not used."""

DRAWS: Final = 100
"""Distances per calibration. Their standard deviation is then known to about 7 %."""

CAUTION: Final = NormalDist().inv_cdf(0.9)
"""A threshold is set where it holds the level in 90 of 100 calibrations, not in every other one."""

LEVEL_AT_MOST: Final = 0.05
"""However rare the windows, a feature that drifts in one of 20 windows by chance says nothing."""

STEPS_PER_DOUBLING: Final = 2
"""Calibrated are the sizes a factor of the square root of 2 apart; in between, the smaller one's threshold holds."""

Numbers = NDArray[Any]


class Chance(msgspec.Struct, frozen=True):
    """The distances between two samples of a reference: their mean and standard deviation."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, draws: Numbers) -> "Chance":
        return cls(float(np.mean(draws)), float(np.std(draws)))

    def exceeded(self, probability: float) -> float:
        """The distance that chance exceeds with this probability, plus what `DRAWS` draws may have got it wrong by.

        An upper tolerance limit (Hahn and Meeker 1991, chapter 4): the standard error of mean + k deviations from D
        draws is deviation · √((1 + k² / 2) / D).
        """
        quantile = gamma_quantile(self.mean, self.deviation, 1 - probability)
        if self.deviation <= 0:
            return quantile
        k = (quantile - self.mean) / self.deviation
        return quantile + float(CAUTION * self.deviation * ((1 + k**2 / 2) / DRAWS) ** 0.5)


class CalibratedColumn(msgspec.Struct, frozen=True, kw_only=True):
    """`chances` by the number of rows of the window; `rows` are the reference's."""

    method: str
    rows: int
    chances: dict[int, Chance]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Of a version's reference, by column."""

    columns: dict[str, CalibratedColumn]
    format: int = FORMAT

    def chances(self, column: str, *, method: str, rows: int) -> dict[int, Chance]:
        """What is known of a column that is compared by this method; nothing where it was calibrated for another."""
        known = self.columns.get(column)
        if known is None or (known.method, known.rows) != (method, rows):
            return {}
        return dict(known.chances)


class _Formatted(msgspec.Struct, frozen=True):
    format: int


NOTHING: Final = Calibration(columns={})


def decoded(content: bytes) -> Calibration:
    """What was kept; nothing of another format, whatever its members. Raises `msgspec.DecodeError`."""
    if msgspec.json.decode(content, type=_Formatted).format != FORMAT:
        return NOTHING
    return msgspec.json.decode(content, type=Calibration)


def merged(older: Calibration, newer: Calibration) -> Calibration:
    """What either knows; of a column that both know, all of the newer and the older's other sizes."""
    return Calibration(columns=older.columns | {name: _both(older, name, each) for name, each in newer.columns.items()})


def _both(older: Calibration, name: str, newer: CalibratedColumn) -> CalibratedColumn:
    known = older.chances(name, method=newer.method, rows=newer.rows)
    return msgspec.structs.replace(newer, chances=known | newer.chances)


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
    return _size(_step(n))


def calibrated_sizes(policy: DriftPolicy) -> list[int]:
    """Every size that a window of this policy may have, rising: eleven from 300 rows to 10,000."""
    first, last = _step(max(1, policy.minimum_rows)), _step(SAMPLE_LIMIT)
    return sorted({_size(step) for step in range(first, last + 1)})


def rows_of_both(rows: int, *, reference_rows: int) -> int:
    """How many rows each of two samples has that stand for a window of `rows` beside the reference.

    The reference is itself a sample: its own error is part of what chance does. Chance acts through the sum of both
    samples' variances, 1 / rows + 1 / reference_rows, so two samples of equal size with the same sum are as far apart.
    """
    return max(1, round(2 / (1 / rows + 1 / reference_rows)))


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


def _step(n: int) -> int:
    return int(np.floor(np.log2(n) * STEPS_PER_DOUBLING))


def _size(step: int) -> int:
    return int(2 ** (step / STEPS_PER_DOUBLING))
