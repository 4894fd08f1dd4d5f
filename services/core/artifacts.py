"""What a registered version consists of, and what a worker says that it serves."""

from datetime import datetime
from typing import Final

import msgspec

from services.core.features import Value

MANIFEST_FILE: Final = "manifest.json"
ONNX_FILE: Final = "model.onnx"
"""The served form. One input per feature, named like it: float32 [n, 1] for numbers, string [n, 1] for categories;
outputs `label` and `probabilities` (float32 [n, 2], the positive class second)."""
ESTIMATOR_FILE: Final = "estimator.skops"
"""The trained scikit-learn estimator, kept without pickle."""
REFERENCE_FILE: Final = "reference.parquet"
"""A sample of the training rows in the spec's columns, with the version's own `score`: what drift compares with."""


class CanaryCase(msgspec.Struct, frozen=True):
    """A row and the score that a sound copy of the version gives for it."""

    features: dict[str, Value]
    score: float


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`files` maps every other file of the version to its SHA-256 (hexadecimal).

    `parity` is the largest difference between the served form's score and the estimator's on the training reference.
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
    format: int = 1


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one serving worker answers with now. `problem` says why it kept an older version, "" when all is well."""

    pid: int
    model: str
    version: str
    at: datetime
    problem: str = ""
