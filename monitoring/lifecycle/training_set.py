"""Training sets: the vectors that were served, as they were logged at the decision, with what turned out.

What the model is trained on is what serving could have seen, by construction. Each set is kept as a Parquet file whose
name says what it is, and whose hash stands in the version's manifest.
"""

import hashlib
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monitoring.evaluation.performance import MINIMUM_ROWS
from services.core.clock import require_aware
from services.core.errors import BellwetherError
from services.core.features import Value
from services.core.ports import Records
from services.core.predictions import PredictionMade
from services.core.records import Judged
from services.core.spec import Feature, ModelSpec, Numeric, Unavailable
from services.core.training import TrainingSet
from services.core.world import PastCase

MADE_AT: Final = "made_at"
TARGET: Final = "target"
WEIGHT: Final = "weight"
METADATA: Final = b"bellwether"
"""Key of the JSON in the file's schema that says what the rows are, for whoever finds the file alone."""
ROWS_AT_MOST: Final = 200_000
"""Rows read for one training set, spread evenly over its time: the cost of a retraining must not grow with history."""

ASKED_AT_MOST: Final = 2_000
"""Entities among which a changed share is looked for: its standard error is one per cent."""


class TooFewRows(BellwetherError):
    code = "too_few_rows"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A training set as it lies on disk, oldest row first. `frame` has the features, made_at, target and weight.

    Rows of weight 0, which were acted on, are in it: nothing is learnt from their outcomes, but they belong to what
    the inputs looked like, and a reference without them would make every later window look like drift.
    """

    path: Path
    sha256: str
    frame: pd.DataFrame

    def split(self, spec: ModelSpec) -> tuple[TrainingSet, TrainingSet]:
        """(what is trained on, what the gate judges by): the newest `gate.holdout` share of the rows is the latter.

        Raises:
            TooFewRows: what would be trained on lacks one of the classes.
        """
        rows = usable(self.frame)
        cut = len(rows) - math.ceil(len(rows) * spec.gate.holdout)
        _require_both_classes(spec, rows.iloc[:cut], part="the older part of a training set")
        return _training_set(spec, rows.iloc[:cut]), _training_set(spec, rows.iloc[cut:])


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom callers asked about lately: `vectors` has the complete ones, a row each, of so many `entities`."""

    vectors: pd.DataFrame
    entities: int

    @property
    def enough(self) -> bool:
        """Whether they tell what callers are told: a hundred do, and of a model with few entities half of those do."""
        return len(self.vectors) >= MINIMUM_ROWS or 2 * len(self.vectors) >= self.entities


def usable(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows whose outcome says what happens when nobody acts."""
    return frame[frame[WEIGHT] > 0]


def served_rows(spec: ModelSpec, store: Records, *, made_from: datetime, now: datetime) -> pd.DataFrame:
    """The matured answers with an outcome and a complete vector made since `made_from`, as a training frame."""
    return settled_rows(spec, store, made_from=made_from, made_until=now - spec.task.outcome_delay)


def settled_rows(spec: ModelSpec, store: Records, *, made_from: datetime, made_until: datetime) -> pd.DataFrame:
    """The answers of [made_from, made_until) with an outcome and a complete vector, as a training frame.

    They come from the store in batches, each of which becomes columns before the next is read: 180,000 rows of 19
    features take some 80 MB at most, the 30 MB that they have as columns among them.
    """
    batches = store.judged_in_batches(
        spec.name, made_from=made_from, made_until=made_until, limit=ROWS_AT_MOST, settled=True
    )
    frames = [frame for batch in batches if len(frame := frame_of(spec, batch))]
    return pd.concat(frames, ignore_index=True) if frames else frame_of(spec, [])


def frame_of(spec: ModelSpec, judged: Sequence[Judged]) -> pd.DataFrame:
    """Those with an outcome and a complete vector, as a training frame."""
    return _frame(spec, [row for each in judged if (row := _served_row(spec, each)) is not None])


def asked_lately(spec: ModelSpec, store: Records, *, now: datetime) -> Asked:
    """The newest vectors of the newest drift window, with or without an outcome; where few were asked about in it, of
    all the history that the spec allows.

    One row for each entity, because a caller that asks about the same one a thousand times is told one thing.
    """
    lately = _newest_vectors(spec, store, now=now, back=spec.drift.window)
    if lately.entities >= MINIMUM_ROWS:
        return lately
    return _newest_vectors(spec, store, now=now, back=spec.retraining.history + spec.task.outcome_delay)


def _newest_vectors(spec: ModelSpec, store: Records, *, now: datetime, back: timedelta) -> Asked:
    made = store.newest_of_entities(spec.name, made_from=now - back, made_until=now, limit=ASKED_AT_MOST)
    complete = [vector for each in made if (vector := _vector(spec, each)) is not None]
    return Asked(pd.DataFrame(complete, columns=list(spec.feature_names)), len(made))


def past_rows(spec: ModelSpec, cases: Sequence[PastCase]) -> pd.DataFrame:
    """Settled cases from before the service existed, as a training frame."""
    return _frame(
        spec,
        [
            {each.name: _past_value(case, each) for each in spec.features}
            | {MADE_AT: case.asked_at, TARGET: int(case.value == spec.task.positive), WEIGHT: 1.0}
            for case in sorted(cases, key=lambda case: case.asked_at)
        ],
    )


def keep(spec: ModelSpec, frame: pd.DataFrame, *, directory: Path, at: datetime) -> Snapshot:
    """Write the frame as `MODEL_DATE_fFEATURES_rROWS_HASH.parquet`, whole or not at all.

    Raises:
        TooFewRows: there is no row of one of the classes, so there is nothing to learn.
    """
    _require_both_classes(spec, usable(frame), part="a training set")
    content = _parquet(frame, _described(spec, frame, at=at))
    sha256 = hashlib.sha256(content).hexdigest()
    day = require_aware(at, name="at").date().isoformat()
    name = f"{spec.name}_{day}_f{len(spec.features)}_r{len(frame)}_{sha256[:12]}.parquet"
    directory.mkdir(parents=True, exist_ok=True)
    _write_durably(directory / name, content)
    return Snapshot(directory / name, sha256, frame)


def _require_both_classes(spec: ModelSpec, rows: pd.DataFrame, *, part: str) -> None:
    found = {name: int((rows[TARGET] == target).sum()) for target, name in enumerate(spec.task.classes)}
    if not all(found.values()):
        raise TooFewRows(f"{part} of {spec.name} needs rows of both classes; found {found}")


def _served_row(spec: ModelSpec, judged: Judged) -> dict[str, Any] | None:
    made, vector = judged.prediction, _vector(spec, judged.prediction)
    if judged.outcome not in spec.task.classes or vector is None:
        return None
    return vector | {MADE_AT: made.made_at, TARGET: int(judged.outcome == spec.task.positive), WEIGHT: made.weight}


def _vector(spec: ModelSpec, made: PredictionMade) -> dict[str, Any] | None:
    """What the model was given, or would have been; None where it would not have been asked."""
    values = {each.name: _usable(made, each) for each in spec.features}
    return None if any(value is None for value in values.values()) else values


def _usable(made: PredictionMade, feature: Feature) -> Value | None:
    """What the model was given; a gap where it takes one, None where it would not have been asked."""
    verdict = made.features.get(feature.name)
    if verdict is None:
        # Logged before the feature was declared: nobody looked, so this is no gap that serving would have seen.
        return None
    usable = verdict.usable
    if usable is None and feature.if_unavailable is Unavailable.OPTIONAL:
        return _gap(feature)
    # Logged while the feature was of another kind, or by somebody else: no column takes it.
    return usable if feature.kind.takes(usable) else None


def _past_value(case: PastCase, feature: Feature) -> Value:
    if feature.if_unavailable is Unavailable.OPTIONAL:
        return case.features.get(feature.name, _gap(feature))
    return case.features[feature.name]


def _gap(feature: Feature) -> Value:
    return math.nan if isinstance(feature.kind, Numeric) else ""


def _frame(spec: ModelSpec, rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    columns: dict[str, Any] = {each.name: _column(each, rows) for each in spec.features}
    columns[MADE_AT] = pd.to_datetime([row[MADE_AT] for row in rows], utc=True)
    columns[TARGET] = np.array([row[TARGET] for row in rows], dtype=int)
    columns[WEIGHT] = np.array([row[WEIGHT] for row in rows], dtype=float)
    return pd.DataFrame(columns)


def _column(feature: Feature, rows: Sequence[dict[str, Any]]) -> NDArray[Any]:
    if isinstance(feature.kind, Numeric):
        return np.array([row[feature.name] for row in rows], dtype=float)
    # One text for each category: the store gives one for each row, of sixty bytes. A world may give NumPy's own kind.
    one: dict[str, str] = {}
    texts = (str(row[feature.name]) for row in rows)
    return np.array([one.setdefault(text, text) for text in texts], dtype=object)


def _training_set(spec: ModelSpec, frame: pd.DataFrame) -> TrainingSet:
    return TrainingSet(
        features=frame[list(spec.feature_names)].reset_index(drop=True),
        target=frame[TARGET].to_numpy(),
        weights=frame[WEIGHT].to_numpy(),
    )


def _described(spec: ModelSpec, frame: pd.DataFrame, *, at: datetime) -> dict[str, Any]:
    return {
        "model": spec.name,
        "taken_at": at,
        "first_made_at": frame[MADE_AT].min().to_pydatetime(),
        "last_made_at": frame[MADE_AT].max().to_pydatetime(),
        "rows": len(frame),
        "task": msgspec.to_builtins(spec.task),
        "features": [{"name": each.name} | msgspec.to_builtins(each.kind) for each in spec.features],
    }


def _parquet(frame: pd.DataFrame, described: dict[str, Any]) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    buffer = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata({**table.schema.metadata, METADATA: msgspec.json.encode(described)}), buffer
    )
    return buffer.getvalue()


def _write_durably(path: Path, content: bytes) -> None:
    """A version's manifest names this file for ever, so it has to be there before the version is."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
