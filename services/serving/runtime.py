"""A verified model version, ready to score."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnxruntime

from services.core.artifacts import MANIFEST_FILE, ONNX_FILE, Manifest
from services.core.errors import CorruptArtifact
from services.core.features import Value
from services.core.spec import Feature, ModelSpec, Numeric

CANARY_TOLERANCE: Final = 2e-4
"""Largest difference of a canary's score. Registration accepts 1e-4 between the served form and the estimator, and
another processor's float32 adds less than 1e-6; a changed weight or a swapped column moves scores far more."""

STORE_FILE: Final = "model.yaml"
"""The model store's own description beside the version's files; nothing here reads it."""

PROBABILITIES: Final = "probabilities"
_FORMAT: Final = 1
_ROUNDING: Final = 1e-6
"""A forest adds up its trees' float32 shares, which may end a few units in the last place above 1."""


@dataclass(frozen=True)
class ServingModel:
    """A version that passed every check. Scores one caller at a time: a worker calls it from its event loop alone."""

    version: str
    manifest: Manifest
    columns: tuple[tuple[str, bool], ...]
    """(feature, is it numeric), in the order of the spec."""
    session: Any
    row: dict[str, np.ndarray]
    """One array of shape [1, 1] per feature, filled anew for each row: making arrays costs as much as the model."""

    def score(self, values: Mapping[str, Value]) -> float:
        """P(positive) for one row; a feature that is absent is a gap (NaN, or the empty category).

        Raises:
            ArithmeticError: the model answered with something that is no probability.
        """
        for name, numeric in self.columns:
            self.row[name][0, 0] = _cell(values, name, numeric)
        return _probability(self.session.run([PROBABILITIES], self.row)[0][0, 1])

    def score_many(self, rows: Sequence[Mapping[str, Value]]) -> list[float]:
        """P(positive) of each row, in order."""
        if not rows:
            return []
        feed = {name: _column(rows, name, numeric) for name, numeric in self.columns}
        return [_probability(score) for score in self.session.run([PROBABILITIES], feed)[0][:, 1]]


def load(directory: Path, spec: ModelSpec) -> ServingModel:
    """Verify a version and make it ready to score.

    Raises:
        CorruptArtifact: it is not what its manifest says, or not a version of this spec.
    """
    manifest = read_manifest(directory)
    _check_manifest(manifest, directory, spec)
    model = ServingModel(
        version=manifest.version,
        manifest=manifest,
        columns=tuple((feature.name, isinstance(feature.kind, Numeric)) for feature in spec.features),
        session=_session(_verified(directory, manifest)[ONNX_FILE], directory),
        row={feature.name: _empty(feature) for feature in spec.features},
    )
    _check_inputs(model, directory)
    _check_canary(model, directory)
    return model


def read_manifest(directory: Path) -> Manifest:
    """Raises `CorruptArtifact`."""
    try:
        return msgspec.json.decode((directory / MANIFEST_FILE).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _corrupt(directory, f"its {MANIFEST_FILE} cannot be read: {error}") from error


def _check_manifest(manifest: Manifest, directory: Path, spec: ModelSpec) -> None:
    if manifest.format != _FORMAT:
        raise _corrupt(directory, f"found manifest format {manifest.format}, expected {_FORMAT}")
    if manifest.model != spec.name:
        raise _corrupt(directory, f"found model {manifest.model!r}, expected {spec.name!r}")
    if tuple(manifest.features) != spec.feature_names:
        found, expected = ", ".join(manifest.features), ", ".join(spec.feature_names)
        raise _corrupt(directory, f"found features {found}; expected {expected}, as services/models/{spec.name} says")
    if ONNX_FILE not in manifest.files:
        raise _corrupt(directory, f"its manifest lists no {ONNX_FILE}")
    if not manifest.canary:
        raise _corrupt(directory, "its manifest has no canary rows, expected at least one")


def _verified(directory: Path, manifest: Manifest) -> dict[str, bytes]:
    """Contents of every file, each with the hash that the manifest states, and no file beside them."""
    found = {entry.name for entry in directory.iterdir()} - {MANIFEST_FILE, STORE_FILE}
    if found != set(manifest.files):
        listed = f"found files {', '.join(sorted(found))}; expected {', '.join(sorted(manifest.files))}"
        raise _corrupt(directory, listed)
    return {name: _verified_file(directory, name, expected) for name, expected in manifest.files.items()}


def _verified_file(directory: Path, name: str, expected: str) -> bytes:
    try:
        content = (directory / name).read_bytes()
    except OSError as error:
        raise _corrupt(directory, f"its {name} cannot be read: {error}") from error
    if (found := hashlib.sha256(content).hexdigest()) != expected:
        raise _corrupt(directory, f"{name} has SHA-256 {found}, expected {expected}")
    return content


def _session(content: bytes, directory: Path) -> Any:
    options = onnxruntime.SessionOptions()
    # One row takes microseconds; handing parts of it to other threads takes longer, and the workers share the cores.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _corrupt(directory, f"{ONNX_FILE} is no model that ONNX Runtime loads: {error}") from error


def _check_inputs(model: ServingModel, directory: Path) -> None:
    found = {each.name: each.type for each in model.session.get_inputs()}
    expected = {name: "tensor(float)" if numeric else "tensor(string)" for name, numeric in model.columns}
    if found != expected:
        raise _corrupt(directory, f"{ONNX_FILE} takes {found}, expected {expected}")
    if PROBABILITIES not in {each.name for each in model.session.get_outputs()}:
        raise _corrupt(directory, f"{ONNX_FILE} has no output {PROBABILITIES!r}")


def _check_canary(model: ServingModel, directory: Path) -> None:
    for number, case in enumerate(model.manifest.canary):
        try:
            score = model.score(case.features)
        except Exception as error:
            raise _corrupt(directory, f"canary row {number} cannot be scored: {error}") from error
        if abs(score - case.score) > CANARY_TOLERANCE:
            raise _corrupt(directory, f"canary row {number} scores {score:.6f}, expected {case.score:.6f}")


def _corrupt(directory: Path, problem: str) -> CorruptArtifact:
    return CorruptArtifact(f"version in {directory}: {problem}; register it again or promote another version")


def _empty(feature: Feature) -> np.ndarray:
    return np.zeros((1, 1), np.float32) if isinstance(feature.kind, Numeric) else np.full((1, 1), "", dtype=object)


def _column(rows: Sequence[Mapping[str, Value]], name: str, numeric: bool) -> np.ndarray:
    cells = [[_cell(row, name, numeric)] for row in rows]
    return np.array(cells, dtype=np.float32 if numeric else object)


def _cell(values: Mapping[str, Value], name: str, numeric: bool) -> Value:
    return values.get(name, math.nan if numeric else "")


def _probability(score: float) -> float:
    probability = float(score)
    if not -_ROUNDING <= probability <= 1.0 + _ROUNDING:
        raise ArithmeticError(f"the model's score is {probability}, expected a probability")
    return min(max(probability, 0.0), 1.0)
