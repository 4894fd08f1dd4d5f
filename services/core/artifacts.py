"""What a registered version consists of, and what a worker says that it serves."""

import hashlib
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from services.core.features import Value

MANIFEST_FILE: Final = "manifest.json"
ONNX_FILE: Final = "model.onnx"
"""The ONNX form. One input per feature, named like it: float64 [n, 1] for numbers, string [n, 1] for categories, where
the empty string is a gap; outputs `label` (int64 [n]) and `probabilities` (float64 [n, 2], the positive class second).

Versions of before have float32 in place of float64. Those of now compute every score from one value inside, `ROW`."""
PROBABILITIES: Final = "probabilities"
LABEL: Final = "label"
ROW: Final = ":row"
"""float64 [n, features] in the order of the spec: numbers as they are, categories as the codes of `LabelEncoder`s."""
REFUSED_CODE: Final = 2**30
"""The code of a word with which scikit-learn raises. A worker hands it to no graph: it refuses the row."""
POSITIVE: Final = ":positive"
"""P(positive), float64 [n, 1], from which `probabilities` and `label` are made."""
ESTIMATOR_FILE: Final = "estimator.skops"
"""The trained scikit-learn estimator, kept without pickle."""
REFERENCE_FILE: Final = "reference.parquet"
"""A sample of the training rows in the spec's columns, with the version's own `score`: what drift compares with."""

CALIBRATION_FILE: Final = "calibration.json"
"""How far apart chance alone puts windows and that reference: what the thresholds of drift are computed from. Versions
from before it was kept lack it."""


class ServedForm(StrEnum):
    """What a worker scores with: the ONNX file, or the kept estimator where that has no ONNX form."""

    ONNX = "onnx"
    SCIKIT_LEARN = "scikit-learn"

    @property
    def file(self) -> str:
        return ONNX_FILE if self is ServedForm.ONNX else ESTIMATOR_FILE


class CanaryCase(msgspec.Struct, frozen=True):
    """A row and the score that a sound copy of the version gives for it."""

    features: dict[str, Value]
    score: float


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`files` maps every other file of the version to its SHA-256 (hexadecimal).

    `features` are those that the version scores with, and `categories` what each of them that is no number may be; a
    spec that has more by now does not concern it. Manifests from before categories were written lack that member.
    `parity` is the largest difference between the served form's score and the estimator's on the training reference and
    on the rows by which the spec's domain is probed. `not_converted` is why scikit-learn serves, "" when ONNX does:
    that the estimator has no ONNX form, or none that says the same. Manifests from before the two were told apart lack
    both members, and theirs is the ONNX form.
    """

    model: str
    version: str
    created_at: datetime
    features: list[str]
    files: dict[str, str]
    training_set: str
    training_set_sha256: str
    training_rows: int
    parity: float
    canary: list[CanaryCase]
    served_form: ServedForm = ServedForm.ONNX
    not_converted: str = ""
    categories: dict[str, list[str]] | None = None
    format: int = 1


def encoded(manifest: Manifest) -> bytes:
    """The manifest's file."""
    return msgspec.json.encode(manifest)


def sha256_of(content: bytes) -> str:
    """Hexadecimal."""
    return hashlib.sha256(content).hexdigest()


SILENT_AFTER: Final = timedelta(seconds=30)
"""A worker shows several times in this that it works; one that has not hangs, was stopped, or has ended."""


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one serving worker answers with now. `problem` says why it kept an older version, "" when all is well."""

    pid: int
    model: str
    version: str
    at: datetime
    problem: str = ""
