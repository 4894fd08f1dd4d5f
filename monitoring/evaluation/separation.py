"""How well one feature alone tells the classes apart. Nothing that is known at a decision does so almost perfectly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from monitoring.evaluation.auc import auc
from monitoring.evaluation.unknown import NotEnoughData
from services.core.features import Value
from services.core.spec import Categorical, Feature

OUTCOMES_NEEDED: Final = 30
"""Of the rarer class. Below that a strong and honest feature separates a file perfectly now and then."""

SUSPICIOUS: Final = 0.95
GIVES_AWAY: Final = 0.99
"""AUC of a feature alone. Good models of human behaviour with all their features reach 0.8 to 0.9."""

FOLDS: Final = 5
LEAVES: Final = 32
SMALLEST_LEAF: Final = 5
"""A tree of few leaves, none too small, follows thresholds, bands, categories and gaps, but cannot learn ids."""


@dataclass(frozen=True, slots=True)
class Separation:
    """The AUC of this feature alone on `n` rows: by its own order, or by a tree that was not fitted on them."""

    n: int
    auc: float


def separation(
    feature: Feature, values: Sequence[Value | None], positive: Sequence[bool]
) -> Separation | NotEnoughData:
    """Cross-validated, so that a feature of many values is not called an oracle for learning them by heart.

    Args:
        values: one per row with a known outcome; None is a gap, which can give the outcome away as well as a value.
        positive: whether each row's outcome is the positive class.
    """
    rarer = min(sum(positive), len(positive) - sum(positive))
    if rarer < OUTCOMES_NEEDED:
        return NotEnoughData(rarer, OUTCOMES_NEEDED, "outcomes of the rarer class")
    if all(value is None for value in values):
        return NotEnoughData(0, OUTCOMES_NEEDED, "values")
    target, matrix = np.array(positive, dtype=int), _matrix(feature, values)
    return Separation(len(target), max(auc(target, _scores(matrix, target)), _ranked(matrix, target)))


def _scores(matrix: NDArray[Any], target: NDArray[Any]) -> NDArray[Any]:
    """P(positive) of each row by a tree that did not see the row's fold."""
    tree = DecisionTreeClassifier(max_leaf_nodes=LEAVES, min_samples_leaf=SMALLEST_LEAF, random_state=0)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    scores: NDArray[Any] = cross_val_predict(tree, matrix, target, cv=folds, method="predict_proba")[:, 1]
    return scores


def _ranked(matrix: NDArray[Any], target: NDArray[Any]) -> float:
    """The AUC of a number's own order, either way round: nothing is fitted, so a rare class blurs no threshold.

    It says nothing (0.5) about categories, about gaps, and about a class that has hardly any numbers.
    """
    if matrix.shape[1] > 1:
        return 0.5
    known = ~np.isnan(matrix[:, 0])
    ones, numbers = target[known], matrix[known, 0]
    if min(ones.sum(), len(ones) - ones.sum()) < OUTCOMES_NEEDED:
        return 0.5
    area = auc(ones, numbers)
    return max(area, 1.0 - area)


def _matrix(feature: Feature, values: Sequence[Value | None]) -> NDArray[Any]:
    """One column of ranks with NaN for gaps, or one column per category and one for unknown ones."""
    if isinstance(feature.kind, Categorical):
        known = feature.kind.categories
        columns = [[value == category for value in values] for category in known]
        strange = [value is not None and value not in known for value in values]
        return np.array([*columns, strange], dtype=float).T
    numbers = np.array([value if isinstance(value, float | int) else np.nan for value in values])
    return _ranks(numbers)[:, np.newaxis]


def _ranks(numbers: NDArray[Any]) -> NDArray[Any]:
    """What a tree makes of numbers depends on their order alone, and ranks fit into the 32 bits that it has."""
    ranks = np.full(len(numbers), np.nan)
    known = ~np.isnan(numbers)
    ranks[known] = np.unique(numbers[known], return_inverse=True)[1]
    return ranks
