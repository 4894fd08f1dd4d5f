"""What flows from part to part of an estimator while it is written as a graph: columns.

A category has few values, so whatever scikit-learn makes of it before it meets another column is known beforehand: its
own encoder says it of every value, and no encoder has to be written again in ONNX.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from services.core.errors import BellwetherError


class NotConverted(BellwetherError):
    """The estimator has no ONNX form. The message says in a line which part is in the way."""

    code = "not_converted"


@dataclass(frozen=True, slots=True)
class Number:
    """Column `place` of a tensor of the graph, float64 [n, columns]."""

    tensor: str
    place: int


@dataclass(frozen=True, slots=True)
class Indicator:
    """1.0 where the feature at this place of the row has this one of so many codes, else 0.0."""

    feature: int
    code: int
    codes: int


@dataclass(frozen=True, slots=True, eq=False)
class ByCategory:
    """What stands for each code of the feature at this place of the row: words at first, numbers behind an encoder."""

    feature: int
    values: NDArray[Any]


Column = Number | Indicator | ByCategory
Columns = Sequence[Column]


def values_of(column: Indicator | ByCategory) -> NDArray[Any]:
    """What the column holds for each code."""
    if isinstance(column, ByCategory):
        return column.values
    values = np.zeros(column.codes)
    values[column.code] = 1.0
    return values


def numbers_of(column: ByCategory) -> NDArray[Any]:
    """The same as float64. Raises `NotConverted` where words are left."""
    try:
        return column.values.astype(float)
    except ValueError as error:
        raise NotConverted(f"words reach a part that takes numbers: {error}") from error


def numbers_by_code(column: Indicator | ByCategory) -> NDArray[Any]:
    return numbers_of(column) if isinstance(column, ByCategory) else values_of(column)


def dense(numbers: Any) -> NDArray[Any]:
    """What was fitted, as float64: on sparse columns scikit-learn keeps some of it sparse."""
    return np.asarray(numbers.toarray() if sparse.issparse(numbers) else numbers, dtype=float)
