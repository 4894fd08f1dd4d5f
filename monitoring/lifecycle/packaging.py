"""From a fitted estimator to a version's files: served form, kept form, reference, canary, manifest."""

import hashlib
import io
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import pandas as pd
import skops.io
from numpy.typing import NDArray
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

from monitoring.lifecycle.scoring import scores, without_gaps
from monitoring.lifecycle.training_set import Snapshot
from services.core.artifacts import ESTIMATOR_FILE, ONNX_FILE, REFERENCE_FILE, CanaryCase, Manifest
from services.core.errors import BellwetherError
from services.core.spec import ModelSpec, Numeric
from services.core.training import TrainingSet

OPSET: Final = {"": 18, "ai.onnx.ml": 3}
"""ONNX operators of 2022: every runtime that a worker may have knows them, and scikit-learn's models need no newer."""
PARITY: Final = 1e-4
"""Largest accepted difference between served form and estimator. float32 against float64 gives 1e-6; a lost column
or a swapped category gives far more."""
REFERENCE_ROWS: Final = 10_000
CANARY_ROWS: Final = 20


class NotServable(BellwetherError):
    """The estimator has no served form that says the same."""

    code = "not_servable"


@dataclass(frozen=True, slots=True)
class Package:
    """A version that is ready to be registered. `reference` is its training sample with the version's own score."""

    manifest: Manifest
    files: dict[str, bytes]

    @property
    def onnx(self) -> bytes:
        return self.files[ONNX_FILE]


def package(
    spec: ModelSpec, estimator: Any, *, version: str, training: TrainingSet, snapshot: Snapshot, now: datetime
) -> Package:
    """Convert, compare both forms, and describe.

    Raises:
        NotServable: the estimator does not convert, or its served form scores differently by more than `PARITY`.
    """
    onnx = to_onnx(spec, estimator)
    sample = _reference(spec, snapshot.frame)
    served = scores(spec, onnx, sample)
    parity = _parity(estimator, sample, served)
    files = {
        ONNX_FILE: onnx,
        ESTIMATOR_FILE: skops.io.dumps(estimator),
        REFERENCE_FILE: _parquet(sample.assign(score=served)),
    }
    manifest = Manifest(
        model=spec.name,
        version=version,
        created_at=now,
        features=list(spec.feature_names),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        training_set=snapshot.path.name,
        training_set_sha256=snapshot.sha256,
        training_rows=len(training.features),
        parity=parity,
        canary=_canary(sample, served),
    )
    return Package(manifest, files)


def to_onnx(spec: ModelSpec, estimator: Any) -> bytes:
    """The served form. Raises `NotServable`."""
    inputs = [
        (each.name, FloatTensorType([None, 1]) if isinstance(each.kind, Numeric) else StringTensorType([None, 1]))
        for each in spec.features
    ]
    try:
        model = convert_sklearn(
            estimator, initial_types=inputs, options={id(estimator): {"zipmap": False}}, target_opset=OPSET
        )
    except Exception as error:  # the converter raises whatever it meets
        raise NotServable(f"the estimator of {spec.name} does not convert to ONNX: {error}") from error
    return bytes(model.SerializeToString())


def _reference(spec: ModelSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """What the inputs looked like in the time of the training set, evenly spread over it."""
    return frame[list(spec.feature_names)].iloc[:: -(-len(frame) // REFERENCE_ROWS)].reset_index(drop=True)


def _parity(estimator: Any, sample: pd.DataFrame, served: NDArray[Any]) -> float:
    difference = float(np.max(np.abs(estimator.predict_proba(sample)[:, 1] - served)))
    if not difference <= PARITY:
        raise NotServable(
            f"the served form differs from the estimator by up to {difference:.2g}, at most {PARITY:g} is accepted; "
            "look for operations that ONNX does in float32"
        )
    return difference


def _canary(sample: pd.DataFrame, served: NDArray[Any]) -> list[CanaryCase]:
    step = max(1, len(sample) // CANARY_ROWS)
    rows = sample.iloc[::step].to_dict("records")
    cases = [CanaryCase(without_gaps(row), float(s)) for row, s in zip(rows, served[::step], strict=True)]
    return cases[:CANARY_ROWS]


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
