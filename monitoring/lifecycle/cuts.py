"""Where a fitted estimator's score jumps: the numbers between which one of its trees, or one of its bins, decides.

A served form that computes ever so slightly otherwise goes another way there, and nowhere else. A threshold is known of
what a tree sees, which scalers and imputers have changed; what a caller has to send to meet it is found by halves.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Binarizer, KBinsDiscretizer

from services.core.spec import Categorical, ModelSpec, Numeric

CUTS_AT_MOST: Final = 2_000
"""Of a forest with more, as many drawn at random. They take half a second behind the usual scalers and encoders. Behind
components that are sums of all numbers each cut hangs on each number: of those pairs, as many again."""

_CUTS_BEHIND_MODELS: Final = 50
"""Of what sees the scores of other models, each look of which asks all of these."""
_LOOKS: Final = 70
"""At most so many at one cut: halving takes 55 from any range that is met to two numbers next to each other."""
_LINES: Final = 12
"""Looks that try a straight line, which takes eight; what is bent is halved after that."""
_BESIDE: Final = 8.0
"""How far beside a straight line's guess the next look is, in steps of float64."""
_CLOSE: Final = 4 * _BESIDE
_LEFT_OPEN: Final = 0.02
"""A share of the cuts that is not worth more looks: numbers on both sides are known, if not those next to them."""

See = Callable[[Any], NDArray[Any]]
"""What a part of the estimator sees of rows: float64 [n, columns]."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Thresholds of parts that see the same: a row goes one way where its column has at most this, else another."""

    see: See
    columns: NDArray[Any]
    thresholds: NDArray[Any]
    behind_models: bool = False


@dataclass(frozen=True, slots=True)
class Hard:
    """`numbers` are those around cuts, for each number of the spec that has some: in any row they are hard.

    Not so where a cut hangs on several numbers: there one is hard beside the others that it was found beside. `rows`
    hold those, each for the number that `names` tells.
    """

    numbers: dict[str, NDArray[Any]]
    rows: pd.DataFrame
    names: NDArray[Any]


def hard_numbers(spec: ModelSpec, estimator: Any, sample: pd.DataFrame, chance: np.random.Generator) -> Hard:
    """For each number of the spec: around each threshold both float64 between which it lies, and three float32.

    Nothing around the thresholds behind a part that refuses the numbers that it is asked about; `domain` asks the whole
    estimator about the ends of every range, too, and says which number it does not take.
    """
    usual = {each.name: _usual(sample[each.name], isinstance(each.kind, Categorical)) for each in spec.features}
    numeric = [each.name for each in spec.features if isinstance(each.kind, Numeric)]
    groups = list(_cuts(estimator, lambda rows: rows)) if numeric else []
    brackets = []
    for group in groups:
        at_most = _CUTS_BEHIND_MODELS if group.behind_models else CUTS_AT_MOST // len(groups)
        brackets.append(_sought_if_taken(spec, _some(group, at_most, chance), usual, sample, chance))
    pairs = [pair for each in brackets if each is not None for pair in each.pairs()]
    found = {name: [_neighbours(ends.ravel()) for of, ends, _ in pairs if of == name] for name in numeric}
    names = [name for name, _, mixed in pairs for _ in range(2 * int(mixed.sum()))]
    changed = np.array(names, dtype=object)
    beside = np.concatenate([ends[mixed].ravel() for _, ends, mixed in pairs] or [np.empty(0)])
    return Hard(
        {name: np.unique(np.concatenate(numbers)) for name, numbers in found.items() if numbers},
        _rows(usual, changed, beside),
        changed,
    )


def _neighbours(numbers: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        single = numbers.astype(np.float32)
    beside = [single, np.nextafter(single, np.float32(-np.inf)), np.nextafter(single, np.float32(np.inf))]
    return np.concatenate([numbers, *(each.astype(np.float64) for each in beside)])


def _some(cuts: Cuts, at_most: int, chance: np.random.Generator) -> Cuts:
    if len(cuts.thresholds) <= at_most:
        return cuts
    chosen = np.sort(chance.choice(len(cuts.thresholds), max(at_most, 1), replace=False))
    return replace(cuts, columns=cuts.columns[chosen], thresholds=cuts.thresholds[chosen])


# Reading them from an estimator, whatever it is made of.


def _cuts(part: Any, see: See) -> Iterator[Cuts]:
    """`see` is what `part` itself is given."""
    if isinstance(part, Pipeline):
        yield from _cuts_of_steps(part, see)
    elif isinstance(part, ColumnTransformer):
        yield from _cuts_of_columns(part, see)
    elif isinstance(part, KBinsDiscretizer):
        yield from _of_edges([edges[1:-1] for edges in part.bin_edges_], see)
    elif isinstance(part, Binarizer):
        yield from _of_edges([np.array([part.threshold])] * part.n_features_in_, see)
    elif hasattr(part, "_predictors"):
        yield from _of_boosting(part, see)
    elif hasattr(part, "estimators_features_"):
        for each, places in zip(part.estimators_, part.estimators_features_, strict=True):
            yield from _cuts(each, _then(see, partial(_columns, places=places)))
    elif hasattr(part, "tree_") or hasattr(part, "estimators_"):
        yield from _of_members(part, see)
    else:
        yield from (cuts for inner in _inner(part) for cuts in _cuts(inner, see))


def _inner(part: Any) -> Iterator[Any]:
    for name in ("best_estimator_", "estimator_", "estimator"):
        if hasattr(part, name) and hasattr(getattr(part, name), "fit") and not hasattr(part, "calibrated_classifiers_"):
            yield getattr(part, name)
            return
    yield from (each.estimator for each in getattr(part, "calibrated_classifiers_", ()))


def _then(see: See, change: Callable[[Any], Any]) -> See:
    return lambda rows: change(see(rows))


def _cuts_of_steps(part: Any, see: See) -> Iterator[Cuts]:
    for _, step in part.steps:
        if step is None or isinstance(step, str):
            continue
        yield from _cuts(step, see)
        if hasattr(step, "transform"):
            see = _then(see, step.transform)


def _cuts_of_columns(part: Any, see: See) -> Iterator[Cuts]:
    for name, inner, _ in part.transformers_:
        places = part._transformer_to_input_indices[name]  # noqa: SLF001 - nothing else tells which
        if not isinstance(inner, str) and len(places):
            yield from _cuts(inner, _then(see, partial(_columns, places=places)))


def _columns(rows: Any, *, places: Sequence[int]) -> Any:
    return rows.iloc[:, list(places)] if isinstance(rows, pd.DataFrame) else np.asarray(rows)[:, list(places)]


def _of_edges(edges: Sequence[NDArray[Any]], see: See) -> Iterator[Cuts]:
    """A bin begins at its edge: the largest number before it is the threshold of what lies below."""
    columns = np.repeat(np.arange(len(edges)), [len(each) for each in edges])
    if len(columns):
        yield Cuts(_then(see, _as_float64), columns, np.nextafter(np.concatenate(edges).astype(float), -np.inf))


def _of_boosting(part: Any, see: See) -> Iterator[Cuts]:
    nodes = np.concatenate([each.nodes for predictors in part._predictors for each in predictors])  # noqa: SLF001 - its trees
    nodes = nodes[(nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0) & np.isfinite(nodes["num_threshold"])]
    seen = _then(see, lambda rows: _as_float64(part._preprocess_X(rows, reset=False)))  # noqa: SLF001 - as it predicts
    yield from _distinct(seen, nodes["feature_idx"].astype(int), nodes["num_threshold"])


def _of_members(part: Any, see: See) -> Iterator[Cuts]:
    """A tree, a forest, or an ensemble of whatever else."""
    members = [part] if hasattr(part, "tree_") else _members(part.estimators_)
    trees = [each.tree_ for each in members if hasattr(each, "tree_")]
    if trees:
        inner = [tree.children_left >= 0 for tree in trees]
        columns = np.concatenate([tree.feature[of] for tree, of in zip(trees, inner, strict=True)])
        thresholds = np.concatenate([tree.threshold[of] for tree, of in zip(trees, inner, strict=True)])
        yield from _distinct(_then(see, _as_float64), columns, _before_float32(thresholds))
    for each in members:
        if not hasattr(each, "tree_"):
            yield from _cuts(each, see)
    if hasattr(part, "final_estimator_"):
        for cuts in _cuts(part.final_estimator_, _then(see, part.transform)):
            yield replace(cuts, behind_models=True)


def _members(found: Any) -> list[Any]:
    """One by one: a forest among them has a length itself, and must not be taken for a list of its trees."""
    return list(found.ravel()) if isinstance(found, np.ndarray) else list(found)


def _distinct(see: See, columns: NDArray[Any], thresholds: NDArray[Any]) -> Iterator[Cuts]:
    pairs = np.unique(np.column_stack([columns, thresholds]), axis=0)
    if len(pairs):
        yield Cuts(see, pairs[:, 0].astype(int), pairs[:, 1])


def _as_float64(rows: Any) -> NDArray[Any]:
    return np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=np.float64)


def _before_float32(thresholds: NDArray[Any]) -> NDArray[Any]:
    """The largest numbers that are at most the threshold once they are float32, as these trees take them."""
    single = thresholds.astype(np.float32)
    below = np.where(single > thresholds, np.nextafter(single, np.float32(-np.inf)), single)
    middle = (below.astype(np.float64) + np.nextafter(below, np.float32(np.inf)).astype(np.float64)) / 2
    return np.where(middle.astype(np.float32) <= below, middle, np.nextafter(middle, -np.inf))


# Finding what a caller has to send.


@dataclass(slots=True)
class _Brackets:
    """One of each cut and number that it hangs on: two values of the number, on both sides of the cut.

    `mixed` are those of columns that hang on several numbers, other models' scores aside.
    """

    names: NDArray[Any]
    columns: NDArray[Any]
    thresholds: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    seen_low: NDArray[Any]
    seen_high: NDArray[Any]
    mixed: NDArray[Any]

    def pairs(self) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
        """Of every number that cuts hang on: its name, [cuts, 2] of the ends, and which of them are `mixed`."""
        for name in np.unique(self.names.astype(str)):
            of = self.names == name
            yield str(name), np.column_stack([self.low[of], self.high[of]]), self.mixed[of]

    def open(self) -> NDArray[Any]:
        """Those between whose ends another number lies."""
        return np.flatnonzero(np.nextafter(self.low, np.inf) < self.high)

    def guess(self, of: NDArray[Any], look: int) -> NDArray[Any]:
        """Where a straight line meets the threshold, a little to either side by turns; at times the middle."""
        low, high = self.low[of], self.high[of]
        middle = low + (high - low) / 2
        if look % 3 == 2 or look >= _LINES:
            return np.asarray(middle)
        with np.errstate(all="ignore"):
            share = (self.thresholds[of] - self.seen_low[of]) / (self.seen_high[of] - self.seen_low[of])
            line = low + share * (high - low)
            line += np.spacing(np.abs(line)) * (_BESIDE if look % 3 else -_BESIDE)
        apart = high - low > _CLOSE * np.spacing(np.abs(high))
        return np.asarray(np.where(apart & (line > low) & (line < high), line, middle))

    def narrow(self, of: NDArray[Any], at: NDArray[Any], seen: NDArray[Any]) -> None:
        as_low = (seen <= self.thresholds[of]) == (self.seen_low[of] <= self.thresholds[of])
        self.low[of[as_low]], self.seen_low[of[as_low]] = at[as_low], seen[as_low]
        self.high[of[~as_low]], self.seen_high[of[~as_low]] = at[~as_low], seen[~as_low]


def _sought_if_taken(
    spec: ModelSpec, cuts: Cuts, usual: dict[str, Any], sample: pd.DataFrame, chance: np.random.Generator
) -> _Brackets | None:
    try:
        return _sought(spec, cuts, usual, sample, chance)
    except Exception:  # noqa: BLE001 - a part raises whatever it likes at what it does not take
        return None


def _sought(
    spec: ModelSpec, cuts: Cuts, usual: dict[str, Any], sample: pd.DataFrame, chance: np.random.Generator
) -> _Brackets:
    """Brackets whose ends are next to each other, but for a few."""
    brackets = _brackets(spec, cuts, usual, sample, chance)
    for look in range(_LOOKS):
        of = brackets.open()
        if len(of) <= _LEFT_OPEN * len(brackets.names):
            break
        at = brackets.guess(of, look)
        seen = cuts.see(_rows(usual, brackets.names[of], at))[np.arange(len(of)), brackets.columns[of]]
        brackets.narrow(of, at, seen)
    return brackets


def _brackets(
    spec: ModelSpec, cuts: Cuts, usual: dict[str, Any], sample: pd.DataFrame, chance: np.random.Generator
) -> _Brackets:
    """A cut hangs on a number where the ends of the number's range lie on its two sides."""
    ends = {each.name: _ends(sample[each.name], each.kind) for each in spec.features if isinstance(each.kind, Numeric)}
    names = np.array(list(ends), dtype=object)
    seen = cuts.see(_rows(usual, np.repeat(names, 2), np.array([end for pair in ends.values() for end in pair])))
    below, above = seen[::2][:, cuts.columns], seen[1::2][:, cuts.columns]
    number, cut = np.nonzero((below <= cuts.thresholds) != (above <= cuts.thresholds))
    if len(cut) > CUTS_AT_MOST:
        drawn = np.sort(chance.choice(len(cut), CUTS_AT_MOST, replace=False))
        number, cut = number[drawn], cut[drawn]
    hang_on = (seen[::2] != seen[1::2]).sum(axis=0)
    low_high = np.array(list(ends.values()), dtype=float).reshape(-1, 2)
    return _Brackets(
        names=names[number],
        columns=cuts.columns[cut],
        thresholds=cuts.thresholds[cut],
        low=low_high[number, 0],
        high=low_high[number, 1],
        seen_low=below[number, cut],
        seen_high=above[number, cut],
        # The last bit of another model's score is what its exponential makes of it, and no row meets that by design.
        mixed=(hang_on[cuts.columns[cut]] > 1) & (not cuts.behind_models),
    )


def _usual(column: pd.Series, categorical: bool) -> Any:
    if not categorical:
        median = column.median()
        return 0.0 if np.isnan(median) else float(median)
    words = column[column != ""]
    return words.mode().iloc[0] if len(words) else ""


def _ends(column: pd.Series, kind: Numeric) -> tuple[float, float]:
    known = column.dropna().to_numpy(dtype=float)
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    margin = (high - low) or 1.0
    return (
        low - margin if kind.low is None else max(low - margin, kind.low),
        high + margin if kind.high is None else min(high + margin, kind.high),
    )


def _rows(usual: dict[str, Any], names: NDArray[Any], numbers: NDArray[Any]) -> pd.DataFrame:
    """Usual rows, in each of which one feature has another number."""
    columns = {
        each: np.full(len(names), value, dtype=object if isinstance(value, str) else float)
        for each, value in usual.items()
    }
    for each in set(names):
        columns[each][names == each] = numbers[names == each]
    return pd.DataFrame(columns)
