"""Real versions of the toy model: trained, converted to ONNX, and described by a manifest."""

import hashlib
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

from services.core.artifacts import ONNX_FILE, CanaryCase, Manifest
from services.core.ports import ModelStore
from services.core.spec import ModelSpec, Numeric
from services.core.training import TrainingSet
from tests.toy import NOON, toy_spec

ROWS = 400


def toy_version(version: str, *, seed: int = 1, **changes: Any) -> tuple[Manifest, dict[str, bytes]]:
    """A sound version and its files; other seeds score differently. `changes` replaces fields of the manifest."""
    onnx, canary = _trained(seed)
    files = {ONNX_FILE: onnx}
    described: dict[str, Any] = {
        "model": "toy",
        "version": version,
        "created_at": NOON + timedelta(days=seed),
        "features": list(toy_spec().feature_names),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "training_set": "toy.parquet",
        "training_set_sha256": "0" * 64,
        "training_rows": ROWS,
        "parity": 0.0,
        "canary": list(canary),
    }
    return Manifest(**(described | changes)), files


def add_toy_version(store: ModelStore, version: str, *, seed: int = 1) -> Path:
    return store.add(*toy_version(version, seed=seed))


def to_onnx(estimator: Any, spec: ModelSpec) -> bytes:
    types = [
        (each.name, FloatTensorType([None, 1]) if isinstance(each.kind, Numeric) else StringTensorType([None, 1]))
        for each in spec.features
    ]
    converted = convert_sklearn(
        estimator, initial_types=types, options={id(estimator): {"zipmap": False}}, target_opset=18
    )
    content: bytes = converted.SerializeToString()
    return content


def training_set(seed: int) -> TrainingSet:
    """Rows whose truth depends on every feature, differently for each seed."""
    random = np.random.default_rng(seed)
    plan = random.choice(["monthly", "yearly"], ROWS)
    numbers = random.normal(size=(ROWS, 3))
    frame = pd.DataFrame(
        {"amount": 100 + 30 * numbers[:, 0], "plan": plan, "visits": 5 + numbers[:, 1], "mood": numbers[:, 2]}
    )
    logit = random.normal() * numbers[:, 0] - numbers[:, 1] + numbers[:, 2] + random.normal() * (plan == "monthly")
    target = (random.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(int)
    return TrainingSet(frame, target, np.ones(ROWS))


@cache
def _trained(seed: int) -> tuple[bytes, tuple[CanaryCase, ...]]:
    training = training_set(seed)
    spec = toy_spec()
    estimator = spec.train(training)
    scores = estimator.predict_proba(training.features)[:, 1]
    rows = [
        dict(zip(spec.feature_names, row, strict=True)) for row in training.features.head(5).itertuples(index=False)
    ]
    canary = tuple(CanaryCase(row, float(score)) for row, score in zip(rows, scores, strict=False))
    return to_onnx(estimator, spec), canary
