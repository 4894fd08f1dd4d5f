"""How far the inputs and the scores are from those of training.

Columns are cleaned before anything is compared: NaN, infinite and mistyped values are counted and left out, one absurd
number is moved to a fence so that it decides nothing, and a column that cannot be compared fails alone.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.evaluation.calibration import (
    DRAWS,
    NOTHING,
    CalibratedColumn,
    Calibration,
    Chance,
    calibrated_size,
    calibrated_sizes,
    level,
    rows_of_both,
)
from monitoring.evaluation.distances import FOR_CATEGORIES, METHODS, Known, unit_of
from monitoring.evaluation.onset import onset
from monitoring.evaluation.unknown import Failed, NotEnoughData
from monitoring.evaluation.windows import SAMPLE_LIMIT, Window
from services.core.errors import BellwetherError, SpecError
from services.core.features import Status
from services.core.predictions import ServedBy
from services.core.records import Judged, ResultStatus
from services.core.spec import Categorical, DriftPolicy, ModelSpec, Numeric

SCORE: Final = "score"
"""The column of the model's own answers, in the reference and in the results."""

UNSEEN: Final = -1
"""The code of every category that the reference does not have."""

OK: Final = Status.OK
"""Looked up once: through its class, a member costs a third of the time that reading a window takes."""

Numbers = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Column:
    """What a window has of one column: the clean values, and how many were left out.

    `discarded` are NaN, infinite or mistyped values; `unusable` are rows whose status was not ok.
    """

    values: Numbers
    discarded: int
    unusable: int


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    distance: float
    threshold: float
    method: str
    n_current: int
    n_reference: int
    discarded: int
    unusable_share: float

    @property
    def drifted(self) -> bool:
        return self.distance > self.threshold

    def as_body(self) -> dict[str, Any]:
        return {
            "status": ResultStatus.OK.value,
            "score": self.distance,
            "threshold": self.threshold,
            "method": self.method,
            "drifted": self.drifted,
            "n_current": self.n_current,
            "n_reference": self.n_reference,
            "discarded": self.discarded,
            "unusable_share": self.unusable_share,
        }


ColumnDrift = FeatureDrift | NotEnoughData | Failed


@dataclass(frozen=True, slots=True)
class ReferenceColumn:
    """One column as the version was trained on it.

    `chances` are those of the version's calibration, by the number of rows; one that it lacks is drawn at first use.
    """

    name: str
    is_numeric: bool
    method: str
    values: Numbers
    known: Known
    minimum_effect: float
    level: float
    chances: dict[int, Chance] = field(default_factory=dict)

    def distance(self, current: Numbers) -> float:
        return self.known.distance(self.fenced(current))

    def between(self, one: Numbers, other: Numbers) -> float:
        """The distance of two samples of the present from one another."""
        return self.known.of_another(self.fenced(one)).distance(self.fenced(other))

    def drifted(self, current: Numbers) -> bool:
        return self.distance(current) > self.threshold(len(current))

    def threshold(self, n: int) -> float:
        """The distance above which `n` rows have drifted."""
        return max(self.minimum_effect, self.chance(calibrated_size(n)).exceeded(self.level))

    def chance(self, size: int) -> Chance:
        """How far apart chance puts a window of so many rows and the reference. Drawing it takes milliseconds."""
        if size not in self.chances:
            rows = rows_of_both(size, reference_rows=len(self.values))
            random = np.random.default_rng(zlib.crc32(self.name.encode()))
            self.chances[size] = Chance.of(self.known.by_chance(rows, DRAWS, random))
        return self.chances[size]

    def fenced(self, current: Numbers) -> Numbers:
        """Numbers further outside the reference than its whole range are moved to that fence.

        Otherwise a single absurd row decides: it stretches a histogram until everything else shares one bin,
        and a mean distance grows with it without limit.
        """
        if not self.is_numeric:
            return current
        low, high = float(self.values.min()), float(self.values.max())
        span = max(high - low, unit_of(self.values))
        return np.clip(current, low - span, high + span)


@dataclass(frozen=True, slots=True)
class Reference:
    """A version's training reference, one column per feature and one for its score, or why there is none."""

    version: str
    columns: Mapping[str, ReferenceColumn | Failed]
    frame: pd.DataFrame


def reference_of(
    spec: ModelSpec, version: str, frame: pd.DataFrame, *, calibration: Calibration = NOTHING
) -> Reference:
    """Prepare what lies in a version's REFERENCE_FILE. A column that does not fit becomes `Failed`, alone."""
    sample = frame if len(frame) <= SAMPLE_LIMIT else frame.sample(SAMPLE_LIMIT, random_state=0)
    columns = {name: _reference_column(spec, name, sample, calibration) for name in (*spec.feature_names, SCORE)}
    return Reference(version, columns, sample)


def is_calibrated(spec: ModelSpec, reference: Reference) -> bool:
    """Whether every threshold that a window may ask for is known without drawing anything."""
    sizes = set(calibrated_sizes(spec.drift))
    return all(sizes <= set(each.chances) for each in reference.columns.values() if isinstance(each, ReferenceColumn))


def calibrated(spec: ModelSpec, reference: Reference) -> Calibration:
    """The reference's calibration, whole; what is not known yet is drawn.

    A column takes 0.1 to 0.2 s for 10,000 distinct values; the cost grows with columns, sizes and values.
    """
    return Calibration(
        columns={
            name: CalibratedColumn(
                method=each.method,
                rows=len(each.values),
                chances={size: each.chance(size) for size in calibrated_sizes(spec.drift)},
            )
            for name, each in reference.columns.items()
            if isinstance(each, ReferenceColumn)
        }
    )


def drift(spec: ModelSpec, *, reference: Reference, rows: Sequence[Judged]) -> dict[str, ColumnDrift]:
    """Compare each feature, and the model's score, with the reference. One column's failure stays its own."""
    return {name: _judged_alone(spec, name, known, rows) for name, known in reference.columns.items()}


def has_drifted(spec: ModelSpec, name: str, *, reference: Reference, rows: Sequence[Judged]) -> bool:
    """Whether these rows are enough to say so of this feature, and say so."""
    found = _judged_alone(spec, name, reference.columns[name], rows)
    return isinstance(found, FeatureDrift) and found.drifted


def began(spec: ModelSpec, name: str, *, reference: Reference, rows: Sequence[Judged], window: Window) -> datetime:
    """When the feature of these rows, oldest first, began to differ from the training reference."""
    known = reference.columns[name]
    if isinstance(known, Failed):
        return window.start
    times = [row.prediction.made_at for row in rows if _is_usable(row, name)]
    values = column_of(spec, name, rows).values
    return onset(window, values, times, distance=known.between, drifted=known.drifted)


def _is_usable(row: Judged, name: str) -> bool:
    verdict = row.prediction.features.get(name)
    return verdict is not None and verdict.status is OK


def _judged_alone(spec: ModelSpec, name: str, known: ReferenceColumn | Failed, rows: Sequence[Judged]) -> ColumnDrift:
    if isinstance(known, Failed):
        return known
    try:
        return _column_drift(spec.drift, known, column_of(spec, name, rows))
    except Exception as error:  # noqa: BLE001 - the edge to Evidently and scipy; the reason becomes the result
        return Failed(f"{type(error).__name__}: {error}")


def _column_drift(policy: DriftPolicy, known: ReferenceColumn, column: Column) -> ColumnDrift:
    n = len(column.values)
    if n < policy.minimum_rows:
        return NotEnoughData(n, policy.minimum_rows, f"usable values of {known.name!r} in the window")
    distance = known.distance(column.values)
    if not math.isfinite(distance):
        return Failed(f"{known.method} of {known.name!r} is {distance}, expected a finite distance")
    return FeatureDrift(
        distance=distance,
        threshold=known.threshold(n),
        method=known.method,
        n_current=n,
        n_reference=len(known.values),
        discarded=column.discarded,
        unusable_share=column.unusable / (n + column.discarded + column.unusable),
    )


def column_of(spec: ModelSpec, name: str, rows: Sequence[Judged]) -> Column:
    if name == SCORE:
        return _clean(Numeric(), [row.prediction.score for row in rows if row.prediction.served_by is ServedBy.MODEL])
    values = [
        verdict.value
        for row in rows
        if (verdict := row.prediction.features.get(name)) is not None and verdict.status is OK
    ]
    return _clean(spec.feature(name).kind, values, unusable=len(rows) - len(values))


def _clean(kind: Numeric | Categorical, values: Sequence[object], *, unusable: int = 0) -> Column:
    usable = _numbers(values) if isinstance(kind, Numeric) else _codes(kind, values)
    return Column(usable, discarded=len(values) - len(usable), unusable=unusable)


def _numbers(values: Sequence[object]) -> Numbers:
    # Exact types: True is an int to isinstance, and numpy would read "1.5" as a number.
    numbers = np.array([value for value in values if type(value) in (float, int)], dtype=float)
    finite: Numbers = numbers[np.isfinite(numbers)]
    return finite


def _codes(kind: Categorical, values: Sequence[object]) -> Numbers:
    """Category numbers: Evidently counts them like texts, but faster, and they cannot be mistaken for markup."""
    codes = {category: code for code, category in enumerate(kind.categories)}
    return np.array([codes.get(value, UNSEEN) for value in values if isinstance(value, str)], dtype=int)


def _reference_column(
    spec: ModelSpec, name: str, frame: pd.DataFrame, calibration: Calibration
) -> ReferenceColumn | Failed:
    if name not in frame:
        return Failed(
            f"the champion was trained without {name!r}, so there is nothing to compare it with; "
            f"`bellwether retrain {spec.name}` trains one with it"
        )
    kind = Numeric() if name == SCORE else spec.feature(name).kind
    numeric = isinstance(kind, Numeric)
    values = _clean(kind, frame[name].tolist()).values
    if len(values) < spec.drift.minimum_rows:
        return Failed(
            f"the training reference has {len(values)} usable values of {name!r}; expected at least "
            f"{spec.drift.minimum_rows}"
        )
    try:
        method = _method(spec.drift, numeric=numeric)
    except BellwetherError as error:
        return Failed(str(error))
    return ReferenceColumn(
        name=name,
        is_numeric=numeric,
        method=method,
        values=values,
        known=METHODS[method](values, categories=not numeric),
        minimum_effect=spec.drift.minimum_effect[method],
        level=level(spec.drift, features=len(spec.features) + 1),
        chances=calibration.chances(name, method=method, rows=len(values)),
    )


def _method(policy: DriftPolicy, *, numeric: bool) -> str:
    name = policy.numeric if numeric else policy.categorical
    if name not in METHODS or (not numeric and name not in FOR_CATEGORIES):
        raise SpecError(
            f"drift method {name!r} does not fit this kind of feature; expected one of {', '.join(METHODS)}"
        )
    if name not in policy.minimum_effect:
        raise SpecError(f"the drift policy has no minimum_effect for {name!r}; state one")
    return name
