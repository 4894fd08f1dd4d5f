"""The table that a model is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Rows in order of their decisions, oldest first.

    Args:
        features: n rows × the spec's features in the spec's order; float64 for numeric, str (object) for categorical.
        target: n zeros and ones, one for the positive class.
        weights: n weights ≥ 0, see `PredictionMade.weight`.
    """

    features: pd.DataFrame
    target: np.ndarray
    weights: np.ndarray
