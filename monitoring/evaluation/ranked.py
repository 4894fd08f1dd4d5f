"""The model's own answers that have an outcome, as columns of numbers. Rows may come in batches, and none is kept."""

import math
from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.core.predictions import ServedBy
from services.core.records import Judged
from services.core.spec import ModelSpec


class Ranked:
    """What an AUC is computed from, seventeen bytes a row."""

    def __init__(self, spec: ModelSpec) -> None:
        self._positive = spec.task.positive
        self._target, self._score, self._weight = array("b"), array("d"), array("d")

    def __len__(self) -> int:
        return len(self._target)

    def add(self, rows: Iterable[Judged]) -> None:
        """Take those of the rows that the model answered and whose outcome is known."""
        for row in rows:
            if is_ranked(row):
                made = row.prediction
                self._target.append(row.outcome == self._positive)
                self._score.append(math.nan if made.score is None else made.score)
                self._weight.append(made.weight)

    @property
    def target(self) -> NDArray[Any]:
        """Ones where the outcome was the positive class, else zeros."""
        return np.array(self._target, dtype=int)

    @property
    def score(self) -> NDArray[Any]:
        return np.array(self._score)

    @property
    def weight(self) -> NDArray[Any]:
        return np.array(self._weight)


def is_ranked(row: Judged) -> bool:
    return row.outcome is not None and row.prediction.served_by is ServedBy.MODEL
