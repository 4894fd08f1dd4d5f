"""How far a window's column is from the reference's, and how far apart chance alone puts two samples of it. Pure.

The distances are Evidently's by definition, and a test holds both to the same figures. They are computed here because a
calibration asks for thousands of them, which Evidently takes a millisecond each for, and because its unit of a numeric
column is that of whatever sample it is given, at least 0.001: one that happens to be constant, or is in tiny units, is
then measured in another unit than the window. Here the unit is the whole reference's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Numbers = NDArray[Any]
Measure = Callable[[Numbers, Numbers], Numbers]
"""From shares of two samples, [..., k] each, to the distances [...]."""

SMALLEST_SPREAD: Final = 1e-12
"""Of a column's largest value: a smaller spread is the rounding of a constant. Where all are 0, the unit itself."""

FEW_VALUES: Final = 20
"""Evidently bins a numeric column that has more distinct values."""

RARE_ROWS: Final = 2
"""So many rows more than the reference has are taken to differ from its commonest value. Of a value that came once in a
thousand rows nobody knows whether it comes five times in the next thousand; by the reference alone that never happens.
With these, columns of which 0.03 % to 30 % differ alarm by chance no oftener than the budget allows."""

MANY_VALUES: Final = 200
"""Above so many distinct values `RARE_ROWS` make no difference, and drawing rows is quicker than drawing how often each
value comes."""


class Known(Protocol):
    """The reference's values of one column, ready to be compared with."""

    def distance(self, current: Numbers) -> float:
        """Of a window's values, of which there is at least one. Its cost is that of sorting them."""
        ...

    def by_chance(self, rows: int, draws: int, random: Generator) -> Numbers:
        """`draws` distances between two samples of so many rows each that are drawn from the reference.

        Its cost is `draws` times the rows and the reference's distinct values.
        """
        ...

    def of_another(self, values: Numbers) -> "Known":
        """The same distance from another sample, in the same unit."""
        ...


def unit_of(values: Numbers) -> float:
    """What a numeric column's distances are measured in: the standard deviation of the whole reference."""
    largest = float(np.abs(values).max())
    # In parts of the largest value: squares of tiny and of huge ones leave the range of floats.
    return largest * max(float(np.std(values / largest)), SMALLEST_SPREAD) if largest else SMALLEST_SPREAD


@dataclass(frozen=True, slots=True)
class Transported:
    """Numbers, by the way that they have to be moved: Wasserstein's distance, in units of the reference.

    `support` has the k distinct values, rising; `counts` how often each stands in the reference.
    """

    support: Numbers
    counts: Numbers
    unit: float

    @classmethod
    def of(cls, values: Numbers) -> "Transported":
        support, counts = np.unique(values, return_counts=True)
        return cls(support, counts, unit_of(values))

    def distance(self, current: Numbers) -> float:
        current = np.sort(current)
        met = np.sort(np.concatenate([self.support, current]), kind="stable")
        below = np.concatenate([[0.0], np.cumsum(self.counts) / self.counts.sum()])
        known = below[np.searchsorted(self.support, met[:-1], side="right")]
        seen = np.searchsorted(current, met[:-1], side="right") / len(current)
        return float(np.abs(known - seen) @ np.diff(met)) / self.unit

    def by_chance(self, rows: int, draws: int, random: Generator) -> Numbers:
        # A constant's next value is supposed to lie as far away as the fence allows.
        gaps = np.diff(self.support) if len(self.support) > 1 else np.array([self.unit])
        differences = _differences(self.counts, rows, draws, random)
        return np.array([np.abs(np.cumsum(each[:-1])) @ gaps for each in differences]) / (self.unit * rows)

    def of_another(self, values: Numbers) -> "Transported":
        return Transported(*np.unique(values, return_counts=True), self.unit)


@dataclass(frozen=True, slots=True)
class Shared:
    """Categories, or few distinct numbers, by the shares that each has."""

    measure: Measure
    support: Numbers
    counts: Numbers

    @classmethod
    def of(cls, values: Numbers, measure: Measure) -> "Shared":
        return cls(measure, *np.unique(values, return_counts=True))

    def distance(self, current: Numbers) -> float:
        seen, counts = np.unique(current, return_counts=True)
        every = np.union1d(self.support, seen)
        return float(
            self.measure(_shares(every, self.support, self.counts), _shares(every, seen, counts)),
        )

    def by_chance(self, rows: int, draws: int, random: Generator) -> Numbers:
        one, other = (random.multinomial(rows, _supposed(self.counts), size=draws) / rows for _ in range(2))
        return self.measure(one, other)

    def of_another(self, values: Numbers) -> "Shared":
        return Shared.of(values, self.measure)


@dataclass(frozen=True, slots=True)
class Binned:
    """Many distinct numbers, by the shares that bins of equal width have."""

    measure: Measure
    values: Numbers

    def distance(self, current: Numbers) -> float:
        edges = np.histogram_bin_edges(np.concatenate([self.values, current]), bins="sturges")
        return float(self.measure(*(np.histogram(each, edges)[0] / len(each) for each in (self.values, current))))

    def by_chance(self, rows: int, draws: int, random: Generator) -> Numbers:
        """In bins of the whole reference, of which a window's samples have those that their number asks for."""
        bins = int(np.ceil(np.log2(2 * rows) + 1))
        shares = np.histogram(self.values, bins)[0] / len(self.values)
        one, other = (random.multinomial(rows, shares, size=draws) / rows for _ in range(2))
        return self.measure(one, other)

    def of_another(self, values: Numbers) -> "Binned":
        return Binned(self.measure, values)


def jensenshannon(one: Numbers, other: Numbers) -> Numbers:
    """The square root of the divergence, in natural units: 0 to √ln 2."""
    middle = (one + other) / 2
    halves = [np.sum(each * np.log(_one_for_none(each, middle)), axis=-1) for each in (one, other)]
    root: Numbers = np.sqrt(np.maximum(sum(halves) / 2, 0.0))
    return root


def psi(one: Numbers, other: Numbers) -> Numbers:
    """The population stability index. What neither sample has adds nothing; what one lacks counts as a little."""
    absent = (one == 0) & (other == 0)
    one, other = _filled(one), _filled(other)
    index: Numbers = np.sum(np.where(absent, 0.0, (one - other) * np.log(one / other)), axis=-1)
    return index


def transported(values: Numbers, *, categories: bool) -> Known:  # noqa: ARG001 - see METHODS
    return Transported.of(values)


def by_shares(measure: Measure) -> "Prepare":
    def prepare(values: Numbers, *, categories: bool) -> Known:
        few = categories or len(np.unique(values)) <= FEW_VALUES
        return Shared.of(values, measure) if few else Binned(measure, values)

    return prepare


class Prepare(Protocol):
    def __call__(self, values: Numbers, *, categories: bool) -> Known: ...


METHODS: Final[Mapping[str, Prepare]] = {
    "wasserstein": transported,
    "jensenshannon": by_shares(jensenshannon),
    "psi": by_shares(psi),
}
"""By Evidently's names. High means drift: its p-value methods alarm low, and at anything once rows are many."""

FOR_CATEGORIES: Final = frozenset({"jensenshannon", "psi"})


def _differences(counts: Numbers, rows: int, draws: int, random: Generator) -> Numbers:
    """How much oftener each value comes in the one sample than in the other, [draws, k]."""
    if len(counts) <= MANY_VALUES:
        one, other = (random.multinomial(rows, _supposed(counts), size=draws) for _ in range(2))
        found: Numbers = one - other
        return found
    place = np.repeat(np.arange(len(counts)), counts)

    def resampled() -> Numbers:
        times: Numbers = np.bincount(place[random.integers(len(place), size=rows)], minlength=len(counts))
        return times

    return np.array([resampled() - resampled() for _ in range(draws)])


def _supposed(counts: Numbers) -> Numbers:
    """The share that each value is supposed to have where the rows came from; a constant has a second value there."""
    rows = counts.sum()
    commonest, others = int(counts.argmax()), rows - counts.max()
    more = min(RARE_ROWS, int(counts.max()) - 1)
    shares: Numbers = counts * ((others + more) / max(others, 1)) / rows
    if not others:
        shares = np.array([0.0, more / rows])
    shares[commonest] = 0.0
    shares[commonest] = 1.0 - shares.sum()
    return shares


def _shares(every: Numbers, support: Numbers, counts: Numbers) -> Numbers:
    shares = np.zeros(len(every))
    shares[np.searchsorted(every, support)] = counts / counts.sum()
    return shares


def _one_for_none(shares: Numbers, middle: Numbers) -> Numbers:
    """The ratio of both, and 1 where there are no shares, so that its logarithm is 0."""
    ratio: Numbers = np.divide(shares, middle, out=np.ones_like(middle), where=shares > 0)
    return ratio


def _filled(shares: Numbers) -> Numbers:
    """Zeros as Evidently fills them: 0.0001, or a millionth of the smallest share where one is below that."""
    smallest = np.min(np.where(shares > 0, shares, np.inf), axis=-1, keepdims=True)
    filled: Numbers = np.where(shares > 0, shares, np.where(smallest <= 0.0001, smallest / 10**6, 0.0001))
    return filled
