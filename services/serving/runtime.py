"""A verified model version, ready to score."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from services.core.artifacts import MANIFEST_FILE, Manifest, ServedForm, sha256_of
from services.core.errors import UNDECODABLE, CorruptArtifact
from services.core.spec import ModelSpec
from services.serving.fit import remedy, spec_of_version
from services.serving.form import Form, Row, Unloadable
from services.serving.form_onnx import open_onnx

CANARY_TOLERANCE: Final = 2e-4
"""Largest difference of a canary's score. Registration accepts 1e-4 between the served form and the estimator, and
another processor's float32 adds less than 1e-6; a changed weight or a swapped column moves scores far more."""

STORE_FILE: Final = "model.yaml"
"""The model store's own description beside the version's files; nothing here reads it."""

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class ServingModel:
    """A version that passed every check. `score` and `score_many` are those of its `Form`.

    `spec` is the model's with the features that this version scores with and no others.
    `row_seconds` is how long scoring one row took in this process, the median of the canary's rows.
    """

    version: str
    manifest: Manifest
    spec: ModelSpec
    score: Callable[[Row], float]
    score_many: Callable[[Sequence[Row]], list[float]]
    row_seconds: float


def load(directory: Path, spec: ModelSpec, *, manifest_sha256: str = "", version: str = "") -> ServingModel:
    """Verify a version and make it ready to score.

    Its manifest says what every file has to be. `manifest_sha256` says what the manifest itself has to be, as it was
    recorded when the version was registered; "" where that was before anybody recorded it. `version` is the one that
    was asked for, "" for whichever it is.

    Raises:
        CorruptArtifact: it is not what its manifest says, or not a version of this model.
        UnfitVersion: the spec lacks a feature or a category that it was trained with, or means something else by it.
    """
    manifest = read_manifest(directory, model=spec.name, sha256=manifest_sha256)
    _check_manifest(manifest, directory, spec, version=version)
    own = spec_of_version(spec, manifest)
    content = _verified(directory, manifest)[manifest.served_form.file]
    try:
        form = open_form(own, manifest.served_form, content)
    except Unloadable as error:
        raise _corrupt(directory, spec.name, str(error)) from error
    row_seconds = _check_canary(form, manifest, directory)
    return ServingModel(manifest.version, manifest, own, form.score, form.score_many, row_seconds)


def open_form(spec: ModelSpec, served_form: ServedForm, content: bytes) -> Form:
    """The file of a served form, ready to score. Raises `Unloadable`."""
    if served_form is ServedForm.ONNX:
        return open_onnx(spec, content)
    # Hundreds of megabytes and seconds, which a worker pays with the first version that needs them.
    from services.serving.form_sklearn import open_sklearn  # noqa: PLC0415

    return open_sklearn(spec, content)


def read_manifest(directory: Path, *, model: str = "MODEL", sha256: str = "") -> Manifest:
    """Raises `CorruptArtifact`, also where the file is another one than `sha256` says ("": any)."""
    try:
        content = (directory / MANIFEST_FILE).read_bytes()
        if sha256 and (found := sha256_of(content)) != sha256:
            raise _corrupt(directory, model, f"{MANIFEST_FILE} has SHA-256 {found}, but {sha256} was registered")
        return msgspec.json.decode(content, type=Manifest)
    except (OSError, *UNDECODABLE) as error:
        raise _corrupt(directory, model, f"its {MANIFEST_FILE} cannot be read: {error}") from error


def _check_manifest(manifest: Manifest, directory: Path, spec: ModelSpec, *, version: str) -> None:
    def corrupt(problem: str) -> CorruptArtifact:
        return _corrupt(directory, spec.name, problem)

    if manifest.format != _FORMAT:
        raise corrupt(f"found manifest format {manifest.format}, expected {_FORMAT}")
    if manifest.model != spec.name:
        raise corrupt(f"found model {manifest.model!r}, expected {spec.name!r}")
    if version and manifest.version != version:
        raise corrupt(f"found version {manifest.version!r}, expected {version!r}")
    if manifest.served_form.file not in manifest.files:
        raise corrupt(f"its manifest lists no {manifest.served_form.file}")
    if not manifest.canary:
        raise corrupt("its manifest has no canary rows, expected at least one")


def _verified(directory: Path, manifest: Manifest) -> dict[str, bytes]:
    """Contents of every file, each with the hash that the manifest states, and no file beside them."""
    found = {entry.name for entry in directory.iterdir()} - {MANIFEST_FILE, STORE_FILE}
    if found != set(manifest.files):
        listed = f"found files {', '.join(sorted(found))}; expected {', '.join(sorted(manifest.files))}"
        raise _corrupt(directory, manifest.model, listed)
    return {name: _verified_file(directory, manifest.model, name, sha) for name, sha in manifest.files.items()}


def _verified_file(directory: Path, model: str, name: str, expected: str) -> bytes:
    try:
        content = (directory / name).read_bytes()
    except OSError as error:
        raise _corrupt(directory, model, f"its {name} cannot be read: {error}") from error
    if (found := sha256_of(content)) != expected:
        raise _corrupt(directory, model, f"{name} has SHA-256 {found}, expected {expected}")
    return content


def _check_canary(form: Form, manifest: Manifest, directory: Path) -> float:
    """How long a row takes. Raises `CorruptArtifact` where one scores otherwise than it did."""
    took = []
    for number, case in enumerate(manifest.canary):
        began = time.perf_counter()
        try:
            score = form.score(case.features)
        except Exception as error:
            problem = f"canary row {number} cannot be scored: {error}"
            raise _corrupt(directory, manifest.model, problem) from error
        if abs(score - case.score) > CANARY_TOLERANCE:
            problem = f"canary row {number} scores {score:.6f}, expected {case.score:.6f}"
            raise _corrupt(directory, manifest.model, problem)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def _corrupt(directory: Path, model: str, problem: str) -> CorruptArtifact:
    return CorruptArtifact(f"version in {directory}: {problem}; {remedy(model)}")
