"""From a fitted estimator to a version's files: kept form, served form, reference with its calibration, canary,
manifest."""

import hashlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
import skops.io
from numpy.typing import NDArray

from monitoring.evaluation.drift import calibrated, reference_of
from monitoring.lifecycle.conversion import NotConverted, reason_of, to_onnx
from monitoring.lifecycle.domain import Rows, permitted_rows, refused, told
from monitoring.lifecycle.scoring import Unscorable, scores, without_gaps
from monitoring.lifecycle.training_set import Snapshot
from services.core.artifacts import CALIBRATION_FILE, ESTIMATOR_FILE, REFERENCE_FILE, CanaryCase, Manifest, ServedForm
from services.core.errors import BellwetherError
from services.core.features import Value
from services.core.spec import Categorical, ModelSpec
from services.core.training import TrainingSet
from services.serving.form import ROUNDING, Form, Unloadable
from services.serving.runtime import open_form

PARITY: Final = 1e-4
"""Largest accepted difference between served form and estimator. What is computed in another order differs by 1e-12, in
float32 by 1e-6; a lost column, a swapped category or a row that goes another way through a tree by far more."""
REFERENCE_ROWS: Final = 10_000
CANARY_ROWS: Final = 20


class NotServable(BellwetherError):
    """Nothing can serve the estimator: scikit-learn itself does not score what the spec permits, or cannot keep it."""

    code = "not_servable"


class _Differs(Exception):
    """A served form says something else than the estimator. The message continues a sentence about the form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a worker will score with, loaded from the very bytes that it will load.

    `kept` is the estimator's file. `not_converted` is why scikit-learn serves, "" when ONNX does. `scores` are the
    form's of the rows that it was compared on, and `parity` is the largest difference from the estimator's.
    """

    form: Form
    served_form: ServedForm
    not_converted: str
    content: bytes
    kept: bytes
    scores: NDArray[Any]
    parity: float


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
    """Convert, compare the served form with the estimator on what the spec permits, and describe.

    Raises:
        NotServable: scikit-learn does not score a row that the spec permits, or cannot keep the estimator.
    """
    sample = _reference(spec, snapshot.frame)
    served = serve(spec, estimator, permitted_rows(spec, estimator, sample))
    by_served = served.scores[: len(sample)]
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
        parity=served.parity,
        canary=_canary(sample, by_served),
        served_form=served.served_form,
        not_converted=served.not_converted,
    )
    return Package(manifest, files, served.form)


def serve(
    spec: ModelSpec,
    estimator: Any,
    rows: Rows,
    *,
    keep: Callable[[Any], bytes] = skops.io.dumps,
    convert: Callable[[ModelSpec, Any], bytes] = to_onnx,
) -> Served:
    """The ONNX form where it says what the estimator says of every row, else scikit-learn itself.

    Raises:
        NotServable: see `package`.
    """
    expected = _expected(spec, estimator, rows)
    kept = _kept(spec, estimator, keep)
    try:
        onnx = convert(spec, estimator)
        form = open_form(spec, ServedForm.ONNX, onnx)
        found, parity = _compared(form, rows, expected)
    except (NotConverted, Unloadable) as why:
        return _served_by_sklearn(spec, kept, rows, expected, not_converted=str(why))
    except _Differs as why:
        return _served_by_sklearn(spec, kept, rows, expected, not_converted=f"its ONNX form {why}")
    return Served(
        form=form, served_form=ServedForm.ONNX, not_converted="", content=onnx, kept=kept, scores=found, parity=parity
    )


def _served_by_sklearn(
    spec: ModelSpec, kept: bytes, rows: Rows, expected: NDArray[Any], *, not_converted: str
) -> Served:
    rows = rows.beside_cuts()
    expected = expected[: len(rows.changed)]
    no_onnx = f"ONNX cannot serve the estimator of {spec.name} ({not_converted}), and scikit-learn cannot either"
    try:
        form = open_form(spec, ServedForm.SCIKIT_LEARN, kept)
        found, parity = _compared(form, rows, expected)
    except Unloadable as error:
        raise NotServable(f"{no_onnx}: {error}") from error
    except _Differs as error:
        raise NotServable(
            f"{no_onnx}: what skops wrote is not what was fitted, it {error}; use parts that it keeps whole"
        ) from error
    return Served(
        form=form,
        served_form=ServedForm.SCIKIT_LEARN,
        not_converted=not_converted,
        content=kept,
        kept=kept,
        scores=found,
        parity=parity,
    )


def _compared(form: Form, rows: Rows, expected: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """The form's score of every row, and the largest difference from what is expected. Raises `_Differs`."""
    try:
        found = scores(form, rows.frame)
    except Unscorable as error:
        row, name = refused(lambda frame: scores(form, frame), rows.frame)
        raise _Differs(f"cannot score a row with {told(row, name)}: {error}") from error
    differences = np.abs(found - expected)
    if not np.max(differences) <= PARITY:
        worst = _worst(differences, rows)
        raise _Differs(
            f"differs from the estimator by up to {differences[worst]:.2g} (at most {PARITY:g} is accepted): "
            f"{found[worst]:.6f} instead of {expected[worst]:.6f} with {rows.told(worst)}"
        )
    return found, float(np.max(differences))


def _worst(differences: NDArray[Any], rows: Rows) -> int:
    """Where they differ most; of rows that are there for one feature if they differ there, which says more."""
    by_one = np.where(rows.changed == "", 0.0, differences)
    return int(np.argmax(by_one if np.max(by_one) > PARITY else differences))


# What scikit-learn says, or why it says nothing.


def _expected(spec: ModelSpec, estimator: Any, rows: Rows) -> NDArray[Any]:
    try:
        return _by_estimator(estimator, rows.frame)
    except Exception as error:  # an estimator raises whatever its parts raise
        row, name = refused(lambda frame: _by_estimator(estimator, frame), rows.frame)
        why = reason_of(_raised(estimator, row) or error)
        remedy = _remedy(spec, name, row[name].iloc[0]) if name else "narrow the spec, or train what takes such a row"
        raise NotServable(
            f"the spec of {spec.name} permits {told(row, name)}, and the estimator cannot score a row with it: {why}; "
            f"{remedy}"
        ) from error


def _raised(estimator: Any, row: pd.DataFrame) -> Exception | None:
    try:
        _by_estimator(estimator, row)
    except Exception as error:  # noqa: BLE001 - what it is, is the question
        return error
    return None


def _by_estimator(estimator: Any, frame: pd.DataFrame) -> NDArray[Any]:
    with warnings.catch_warnings():
        # An encoder warns of each category that it does not know; that it takes them is what is asked here.
        warnings.simplefilter("ignore")
        found: NDArray[Any] = estimator.predict_proba(frame)[:, 1]
    strange = ~((found >= -ROUNDING) & (found <= 1 + ROUNDING))
    if strange.any():
        raise ArithmeticError(f"it answers {found[strange][0]}, expected a probability")
    return found


def _remedy(spec: ModelSpec, name: str, value: Value) -> str:
    if not value if isinstance(value, str) else np.isnan(value):
        return (
            "put an imputer in front, choose an estimator that takes gaps, or let the rule answer without the feature "
            "(if_unavailable=Unavailable.ASK_THE_RULE)"
        )
    if isinstance(spec.feature(name).kind, Categorical):
        return (
            'let its encoder take categories that training never saw (handle_unknown="ignore" or '
            '"infrequent_if_exist"), give it categories= from the spec, or take the category out of the spec'
        )
    return (
        "narrow the feature's bounds in the spec (Numeric(low=..., high=...)), clip it in the estimator, or, where an "
        'encoder takes it for a category, let that take numbers which training never saw (handle_unknown="ignore")'
    )


def _kept(spec: ModelSpec, estimator: Any, keep: Callable[[Any], bytes]) -> bytes:
    try:
        return keep(estimator)
    except Exception as error:  # skops raises what the estimator's parts raise
        raise NotServable(f"skops cannot keep the estimator of {spec.name}: {error}") from error


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
