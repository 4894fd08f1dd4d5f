"""What the served forms have in common: the scoring of rows, gaps, and what counts as a score."""

import math
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from services.core.features import Value
from services.core.spec import Categorical

ROUNDING: Final = 1e-6
"""A forest adds up its trees' float32 shares, which may end a few units in the last place above 1."""

Row = Mapping[str, Value]


class Form(Protocol):
    """A loaded model. Not for several threads at once: a worker scores in its event loop alone."""

    def score(self, values: Row, /) -> float:
        """P(positive) for one row; a feature that is absent is a gap (NaN, or the empty category).

        Raises:
            ArithmeticError: the model answered with something that is no probability; `Untrained` where it was given
                what it cannot score.
        """
        ...

    def score_many(self, rows: Sequence[Row], /) -> list[float]:
        """P(positive) of each row, in order. Raises like `score`."""
        ...


class Untrained(ArithmeticError):
    """A row with a word that the version was not trained for. The message continues a sentence about the version."""

    def __init__(self, feature: str, value: object, trained: Sequence[str]) -> None:
        super().__init__(f"it was not trained for {feature}: {Categorical(tuple(trained)).problem(value)}")


class Unloadable(Exception):
    """A file is not the served form that it should be. The message continues a sentence about its version."""


def cell(values: Row, name: str, numeric: bool) -> Value:
    return values.get(name, math.nan if numeric else "")


def probability(score: float) -> float:
    found = float(score)
    if not -ROUNDING <= found <= 1.0 + ROUNDING:
        raise ArithmeticError(f"the model's score is {found}, expected a probability")
    return min(max(found, 0.0), 1.0)
