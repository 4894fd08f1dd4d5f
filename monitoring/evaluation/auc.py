"""The weighted area under the ROC curve, and how sure one can be of it.

Shapes: `target` is n zeros and ones, `score` n finite numbers (higher means more likely 1), `weight` n numbers ≥ 0.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]

REPLICATES: Final = 400
"""Bootstrap replicates. At 400 the ends of a 90 % interval move by under a tenth of its width between seeds."""

CHUNK: Final = 200_000
"""Replicates × rows handled at once: some megabytes, whatever the number of rows."""

SEED: Final = 20_240_229
"""Fixed, so that the same rows give the same interval."""


class Estimate(NamedTuple):
    """A figure with its two-sided interval."""

    value: float
    low: float
    high: float


def auc(target: Numbers, score: Numbers, weight: Numbers | None = None) -> float:
    """P(score of a random 1 > score of a random 0), ties counting half, rows drawn by weight.

    The Mann–Whitney form of the area under the ROC curve (Hanley and McNeil 1982, Radiology 143), with weights.

    Raises:
        ValueError: one of the classes has no weight, so the area does not exist.
    """
    weights = np.ones(len(target)) if weight is None else np.asarray(weight, dtype=float)
    (area,) = _areas(np.asarray(target), np.asarray(score, dtype=float))(weights[np.newaxis, :])
    if np.isnan(area):
        raise ValueError("the AUC needs rows of both classes with a weight above 0")
    return float(area)


def auc_interval(
    target: Numbers, score: Numbers, weight: Numbers | None = None, *, confidence: float = 0.9
) -> Estimate:
    """The AUC with its bootstrap interval. Raises `ValueError` like `auc`."""
    rows = _Rows.of(target, weight)
    spread = rows.replicate(_areas(rows.target, np.asarray(score, dtype=float)))
    return _estimate(auc(target, score, weight), spread, confidence)


def auc_difference_interval(
    target: Numbers, a: Numbers, b: Numbers, weight: Numbers | None = None, *, confidence: float = 0.9
) -> Estimate:
    """AUC of scores `a` minus AUC of scores `b` on the same rows, with its bootstrap interval.

    Both are computed on the same replicates: what the rows have in common cancels, as in DeLong's paired test.
    Raises `ValueError` like `auc`.
    """
    rows = _Rows.of(target, weight)
    spread_a = rows.replicate(_areas(rows.target, np.asarray(a, dtype=float)))
    spread_b = rows.replicate(_areas(rows.target, np.asarray(b, dtype=float)))
    return _estimate(auc(target, a, weight) - auc(target, b, weight), spread_a - spread_b, confidence)


class _Rows(NamedTuple):
    target: Numbers
    weight: Numbers

    @classmethod
    def of(cls, target: Numbers, weight: Numbers | None) -> "_Rows":
        return cls(np.asarray(target), np.ones(len(target)) if weight is None else np.asarray(weight, dtype=float))

    def replicate(self, areas: Callable[[Numbers], Numbers]) -> Numbers:
        """`REPLICATES` areas under the Bayesian bootstrap (Rubin 1981, Annals of Statistics 9).

        Each row's weight is multiplied by an exponential draw. Unlike drawing rows with replacement, no replicate
        can lose a small class altogether.
        """
        random = np.random.default_rng(SEED)
        per_chunk = max(1, CHUNK // max(1, len(self.weight)))
        sizes = [min(per_chunk, REPLICATES - done) for done in range(0, REPLICATES, per_chunk)]
        return np.concatenate(
            [areas(self.weight * random.standard_exponential((size, len(self.weight)))) for size in sizes]
        )


def _areas(target: Numbers, score: Numbers) -> Callable[[Numbers], Numbers]:
    """A function from weights (m × n) to m areas; the sorting is done once. An area is NaN without both classes."""
    order = np.argsort(score, kind="stable")
    positive = target[order] == 1
    ordered = score[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else np.array([0])

    def areas(weights: Numbers) -> Numbers:
        if not len(ordered):
            return np.full(len(weights), np.nan)
        sorted_weights = weights[:, order]
        ones = np.add.reduceat(np.where(positive, sorted_weights, 0.0), starts, axis=1)
        zeros = np.add.reduceat(np.where(positive, 0.0, sorted_weights), starts, axis=1)
        below = np.cumsum(zeros, axis=1) - zeros
        pairs = ones.sum(axis=1) * zeros.sum(axis=1)
        won = (ones * (below + zeros / 2)).sum(axis=1)
        result: Numbers = np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
        return result

    return areas


def _estimate(value: float, spread: Numbers, confidence: float) -> Estimate:
    tail = (1 - confidence) / 2
    low, high = np.quantile(spread, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))
