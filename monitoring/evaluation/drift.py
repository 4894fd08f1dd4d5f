"""How far the inputs and the scores are from those of training. The one place that knows Evidently's statistics.

Evidently's functions are called on columns that are already clean: on its own it drops NaN in silence, lets one
outlier blind a histogram, and fails as a whole over one bad column. Its import takes seconds and some hundred
megabytes, so only the monitor's process imports this module.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests import (
    StatTest,
    jensenshannon_stat_test,
    psi_stat_test,
    wasserstein_stat_test,
)
from evidently.legacy.core import ColumnType
from numpy.typing import NDArray

from monitoring.evaluation.calibration import calibrated_size, chance_distance, level
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

METHODS: Final[Mapping[str, StatTest]] = {
    test.name: test for test in (wasserstein_stat_test, jensenshannon_stat_test, psi_stat_test)
}
"""Distances: high means drift. Evidently's p-value methods alarm low, and alarm at anything once rows are many."""

SMALLEST_SPREAD: Final = 0.001
"""The unit in which Evidently measures a constant column; below it two numbers count as one."""

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
    """One column as the version was trained on it. Thresholds are calibrated at first use and kept."""

    name: str
    kind: ColumnType
    test: StatTest
    values: Numbers
    minimum_effect: float
    level: float
    thresholds: dict[int, float] = field(default_factory=dict)

    def distance(self, current: Numbers) -> float:
        return self._distance(self.values, self.fenced(current))

    def between(self, one: Numbers, other: Numbers) -> float:
        """The distance of two samples of the present from one another."""
        return self._distance(self.fenced(one), self.fenced(other))

    def drifted(self, current: Numbers) -> bool:
        return self.distance(current) > self.threshold(len(current))

    def threshold(self, n: int) -> float:
        """The distance above which `n` rows have drifted."""
        size = calibrated_size(n)
        if size not in self.thresholds:
            self.thresholds[size] = max(self.minimum_effect, self._chance(size))
        return self.thresholds[size]

    def _chance(self, size: int) -> float:
        return chance_distance(
            lambda one, other: self._distance(self.values[one], self.values[other]),
            reference_rows=len(self.values),
            rows=size,
            exceeded=self.level,
            seed=zlib.crc32(self.name.encode()),
        )

    def _distance(self, reference: Numbers, current: Numbers) -> float:
        found = self.test(pd.Series(reference), pd.Series(current), self.kind, None)
        return float(found.drift_score)

    def fenced(self, current: Numbers) -> Numbers:
        """Numbers further outside the reference than its whole range are moved to that fence.

        Otherwise a single absurd row decides: it stretches a histogram until everything else shares one bin,
        and a mean distance grows with it without limit.
        """
        if self.kind is not ColumnType.Numerical:
            return current
        low, high = float(self.values.min()), float(self.values.max())
        span = max(high - low, SMALLEST_SPREAD)
        return np.clip(current, low - span, high + span)


@dataclass(frozen=True, slots=True)
class Reference:
    """A version's training reference, one column per feature and one for its score, or why there is none."""

    version: str
    columns: Mapping[str, ReferenceColumn | Failed]
    frame: pd.DataFrame


def reference_of(spec: ModelSpec, version: str, frame: pd.DataFrame) -> Reference:
    """Prepare what lies in a version's REFERENCE_FILE. A column that does not fit becomes `Failed`, alone."""
    sample = frame if len(frame) <= SAMPLE_LIMIT else frame.sample(SAMPLE_LIMIT, random_state=0)
    columns = {name: _reference_column(spec, name, sample) for name in (*spec.feature_names, SCORE)}
    return Reference(version, columns, sample)


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
        return Failed(f"{known.test.name} of {known.name!r} is {distance}, expected a finite distance")
    return FeatureDrift(
        distance=distance,
        threshold=known.threshold(n),
        method=known.test.name,
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


def _reference_column(spec: ModelSpec, name: str, frame: pd.DataFrame) -> ReferenceColumn | Failed:
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
        kind=ColumnType.Numerical if numeric else ColumnType.Categorical,
        test=method,
        values=values,
        minimum_effect=spec.drift.minimum_effect[method.name],
        level=level(spec.drift, features=len(spec.features) + 1),
    )


def _method(policy: DriftPolicy, *, numeric: bool) -> StatTest:
    name = policy.numeric if numeric else policy.categorical
    if name not in METHODS or (not numeric and ColumnType.Categorical not in METHODS[name].allowed_feature_types):
        raise SpecError(
            f"drift method {name!r} does not fit this kind of feature; expected one of {', '.join(METHODS)}"
        )
    if name not in policy.minimum_effect:
        raise SpecError(f"the drift policy has no minimum_effect for {name!r}; state one")
    return METHODS[name]
