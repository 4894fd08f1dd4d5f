"""Rows that a spec permits, and that are hard: what scores them as the estimator does scores everything as it does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.lifecycle.cuts import hard_numbers
from services.core.features import Value
from services.core.spec import Categorical, Feature, Impute, ModelSpec, Numeric, Unavailable

MIXED_ROWS: Final = 1_000
"""Rows in which half of the features have one of their hard values: with 30 values each, most pairs of two features."""
FAR: Final = (1.0, 10.0, 1_000.0)
"""How many times the range of the training rows away from them, where the spec has no bound. Once is as far as cuts are
sought."""
SEED: Final = 1

GAP: Final = ""
TOLD_LENGTH: Final = 200
ROWS_TRIED: Final = 100
"""Among so many a row is looked for that is scored, to tell by it what is wrong with another."""


@dataclass(frozen=True, slots=True)
class Rows:
    """`frame` is as training has it. `changed` names the feature that a row is there for, "" where several are.

    The last `at_cuts` rows lie at cuts that hang on several numbers. The order in which those are summed up decides
    there, and with it how an array lies in memory, or how many rows are asked about at once.
    """

    frame: pd.DataFrame
    changed: NDArray[Any]
    at_cuts: int = 0

    def beside_cuts(self) -> "Rows":
        """Those that an estimator always scores alike."""
        number = len(self.changed) - self.at_cuts
        return Rows(self.frame.iloc[:number], self.changed[:number])

    def told(self, row: int) -> str:
        """What is special about a row."""
        return told(self.frame.iloc[[row]], str(self.changed[row]))


def told(row: pd.DataFrame, name: str) -> str:
    """One feature of a row, or all of them where `name` is ""."""
    names = [name] if name else list(row.columns)
    text = ", ".join(f"{each} = {told_value(row[each].iloc[0])}" for each in names)
    return text if len(text) <= TOLD_LENGTH else f"{text[:TOLD_LENGTH]}..."


def told_value(value: Value) -> str:
    if isinstance(value, str):
        return repr(value) if value else "a gap"
    return "a gap" if np.isnan(value) else repr(float(value))


def permitted_rows(spec: ModelSpec, estimator: Any, sample: pd.DataFrame) -> Rows:
    """The sample, each hard value of each feature in a row of the sample, rows of many hard values at once, and numbers
    beside those that make them hard.

    Hard are every category, a gap where the spec takes one, both bounds of a number, numbers far from training, and
    those on both sides of every threshold in the estimator's trees. The same for the same estimator and sample.
    """
    chance = np.random.default_rng(SEED)
    cuts = hard_numbers(spec, estimator, sample, chance)
    values = {each.name: _values(each, sample[each.name], cuts.numbers.get(each.name)) for each in spec.features}
    single = sum(map(len, values.values()))
    drawn = chance.integers(len(sample), size=single + MIXED_ROWS)
    columns = {each.name: _column(each, sample)[drawn] for each in spec.features}
    changed = np.array([name for name, hard in values.items() for _ in hard] + [""] * MIXED_ROWS, dtype=object)
    for name, hard in values.items():
        columns[name][changed == name] = hard
        mixed = single + np.flatnonzero(chance.random(MIXED_ROWS) < 0.5)
        columns[name][mixed] = hard[chance.integers(len(hard), size=len(mixed))]
    among = _permitted(spec, cuts.rows)
    frame = pd.concat([sample, pd.DataFrame(columns), cuts.rows[among]], ignore_index=True)
    names = np.concatenate([np.full(len(sample), "", dtype=object), changed, cuts.names[among]])
    return Rows(frame, names, at_cuts=int(among.sum()))


def _permitted(spec: ModelSpec, frame: pd.DataFrame) -> NDArray[Any]:
    columns = [
        np.array([each.kind.problem(value) is None for value in frame[each.name]], dtype=bool) for each in spec.features
    ]
    return np.asarray(np.logical_and.reduce(columns))


def _column(feature: Feature, sample: pd.DataFrame) -> NDArray[Any]:
    return np.asarray(sample[feature.name].to_numpy(dtype=float if isinstance(feature.kind, Numeric) else object))


def _values(feature: Feature, column: pd.Series, cuts: NDArray[Any] | None) -> NDArray[Any]:
    optional = feature.if_unavailable is Unavailable.OPTIONAL
    if isinstance(feature.kind, Categorical):
        return np.array([*feature.kind.categories, *([GAP] if optional else [])], dtype=object)
    numbers = np.array([*_numbers(feature, column), *([] if cuts is None else cuts)])
    permitted = numbers[[feature.kind.problem(float(each)) is None for each in numbers]]
    return np.append(np.unique(permitted), [np.nan] if optional else [])


def _numbers(feature: Feature, column: pd.Series) -> Iterator[float]:
    """Bounds and the numbers next to them; where there is a bound, what lies beyond is cut off afterwards."""
    kind = feature.kind
    known = column.dropna().to_numpy(dtype=float)
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    yield from (low, high, 0.0)
    if isinstance(feature.if_unavailable, Impute):
        yield float(feature.if_unavailable.value)
    for bound in (kind.low, kind.high) if isinstance(kind, Numeric) else ():
        if bound is not None:
            yield from (bound, np.nextafter(bound, -np.inf), np.nextafter(bound, np.inf))
    span = (high - low) or 1.0
    for times in FAR:
        yield from (low - times * span, high + times * span)


Score = Callable[[pd.DataFrame], object]
"""Scores rows, or raises."""


def refused(score: Score, frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """(a row with which `score` raises, the feature for which it does); "" where it is no single feature.

    `score` has to raise with all the rows.
    """
    first, end = 0, len(frame)
    while end - first > 1:
        middle = (first + end) // 2
        if _raises(score, frame.iloc[first:middle]):
            end = middle
        else:
            first = middle
    row = frame.iloc[[first]].reset_index(drop=True)
    return row, _culprit(score, frame, row)


def _culprit(score: Score, frame: pd.DataFrame, row: pd.DataFrame) -> str:
    """The feature whose value makes a row that is scored into one that is not."""
    step = max(1, len(frame) // ROWS_TRIED)
    for place in range(0, len(frame), step):
        sound = frame.iloc[[place]].reset_index(drop=True)
        if not _raises(score, sound):
            names = (name for name in frame.columns if _raises(score, sound.assign(**{name: row[name]})))
            return str(next(names, ""))
    return ""


def _raises(score: Score, frame: pd.DataFrame) -> bool:
    try:
        score(frame.reset_index(drop=True))
    except Exception:  # noqa: BLE001 - whether it raises is the question
        return True
    return False
