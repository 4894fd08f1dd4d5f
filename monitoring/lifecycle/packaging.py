"""From a fitted estimator to a version's files: kept form, served form, reference with its calibration, canary,
manifest."""

import hashlib
import io
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
import skops.io
from numpy.typing import NDArray

from monitoring.evaluation.drift import calibrated, reference_of
from monitoring.lifecycle.conversion import NotConverted, to_onnx
from monitoring.lifecycle.scoring import Unscorable, scores, without_gaps
from monitoring.lifecycle.training_set import Snapshot
from services.core.artifacts import CALIBRATION_FILE, ESTIMATOR_FILE, REFERENCE_FILE, CanaryCase, Manifest, ServedForm
from services.core.errors import BellwetherError
from services.core.spec import Categorical, ModelSpec
from services.core.training import TrainingSet
from services.serving.form import Form, Unloadable
from services.serving.runtime import open_form

PARITY: Final = 1e-4
"""Largest accepted difference between served form and estimator. float32 against float64 gives 1e-6; a lost column
or a swapped category gives far more."""
REFERENCE_ROWS: Final = 10_000
CANARY_ROWS: Final = 20


class NotServable(BellwetherError):
    """The estimator has no served form that says the same."""

    code = "not_servable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a worker will score with, loaded from the very bytes that it will load.

    `kept` is the estimator's file. `not_converted` is why scikit-learn serves, "" when ONNX does.
    """

    form: Form
    served_form: ServedForm
    not_converted: str
    content: bytes
    kept: bytes


@dataclass(frozen=True, slots=True)
class Package:
    """A version that is ready to be registered, and its served form."""

    manifest: Manifest
    files: dict[str, bytes]
    form: Form

    @property
    def told(self) -> dict[str, Any]:
        """How it serves, JSON-ready."""
        manifest = self.manifest
        return {
            "served_form": manifest.served_form.value,
            "not_converted": manifest.not_converted,
            "parity": manifest.parity,
        }


def package(
    spec: ModelSpec, estimator: Any, *, version: str, training: TrainingSet, snapshot: Snapshot, now: datetime
) -> Package:
    """Convert, compare the served form with the estimator, and describe.

    Raises:
        NotServable: the estimator has no served form, or one that scores differently by more than `PARITY`.
    """
    served = serve(spec, estimator)
    sample = _reference(spec, snapshot.frame)
    by_served, parity = compare(served, estimator, sample)
    reference = sample.assign(score=by_served)
    files = {
        served.served_form.file: served.content,
        ESTIMATOR_FILE: served.kept,
        REFERENCE_FILE: _parquet(reference),
        CALIBRATION_FILE: msgspec.json.encode(calibrated(spec, reference_of(spec, version, reference))),
    }
    manifest = Manifest(
        model=spec.name,
        version=version,
        created_at=now,
        features=list(spec.feature_names),
        categories={each.name: [*each.kind.categories] for each in spec.features if isinstance(each.kind, Categorical)},
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        training_set=snapshot.path.name,
        training_set_sha256=snapshot.sha256,
        training_rows=len(training.features),
        parity=parity,
        canary=_canary(sample, by_served),
        served_form=served.served_form,
        not_converted=served.not_converted,
    )
    return Package(manifest, files, served.form)


def serve(spec: ModelSpec, estimator: Any) -> Served:
    """The ONNX form, or scikit-learn itself where the converter or ONNX Runtime does not know the estimator.

    Raises:
        NotServable: the estimator cannot be kept without pickle, and has no ONNX form either.
    """
    kept = _kept(spec, estimator)
    try:
        onnx = to_onnx(spec, estimator)
        form = open_form(spec, ServedForm.ONNX, onnx)
    except (NotConverted, Unloadable) as why:
        return _served_by_sklearn(spec, kept, not_converted=str(why))
    return Served(form=form, served_form=ServedForm.ONNX, not_converted="", content=onnx, kept=kept)


def compare(served: Served, estimator: Any, features: pd.DataFrame) -> tuple[NDArray[Any], float]:
    """The served form's score of every row, and the largest difference from the fitted estimator's.

    Raises:
        NotServable: the difference is above `PARITY`, or it cannot score these rows.
    """
    try:
        by_served = scores(served.form, features)
    except Unscorable as error:
        raise NotServable(
            f"the served form ({served.served_form.value}) is of no use on the reference: {error}"
        ) from error
    difference = float(np.max(np.abs(estimator.predict_proba(features)[:, 1] - by_served)))
    if not difference <= PARITY:
        raise NotServable(
            f"the served form ({served.served_form.value}) differs from the estimator by up to {difference:.2g}, at "
            f"most {PARITY:g} is accepted; {_REMEDIES[served.served_form]}"
        )
    return by_served, difference


_REMEDIES: Final = {
    ServedForm.ONNX: "look for operations that ONNX does in float32, or that the converter takes for others",
    ServedForm.SCIKIT_LEARN: "what skops wrote is not what was fitted; use parts that it keeps whole",
}


def _served_by_sklearn(spec: ModelSpec, kept: bytes, *, not_converted: str) -> Served:
    try:
        form = open_form(spec, ServedForm.SCIKIT_LEARN, kept)
    except Unloadable as error:
        raise NotServable(
            f"the estimator of {spec.name} does not convert to ONNX ({not_converted}), and scikit-learn cannot serve "
            f"it either: {error}"
        ) from error
    return Served(form=form, served_form=ServedForm.SCIKIT_LEARN, not_converted=not_converted, content=kept, kept=kept)


def _kept(spec: ModelSpec, estimator: Any) -> bytes:
    try:
        content: bytes = skops.io.dumps(estimator)
    except Exception as error:  # skops raises what the estimator's parts raise
        raise NotServable(f"skops cannot keep the estimator of {spec.name}: {error}") from error
    return content


def _reference(spec: ModelSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """What the inputs looked like in the time of the training set, evenly spread over it."""
    return frame[list(spec.feature_names)].iloc[:: -(-len(frame) // REFERENCE_ROWS)].reset_index(drop=True)


def _canary(sample: pd.DataFrame, served: NDArray[Any]) -> list[CanaryCase]:
    step = max(1, len(sample) // CANARY_ROWS)
    rows = sample.iloc[::step].to_dict("records")
    cases = [CanaryCase(without_gaps(row), float(s)) for row, s in zip(rows, served[::step], strict=True)]
    return cases[:CANARY_ROWS]


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
