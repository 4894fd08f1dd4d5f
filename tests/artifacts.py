"""Real versions of the toy model, in both served forms: trained, converted or kept, and described by a manifest."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monitoring.lifecycle.domain import permitted_rows
from monitoring.lifecycle.packaging import Served, serve
from services.core.artifacts import CanaryCase, Manifest
from services.core.ports import ModelStore
from services.core.training import TrainingSet
from tests.toy import NOON, toy_spec

ROWS = 400


def toy_version(version: str, *, seed: int = 1, **changes: Any) -> tuple[Manifest, dict[str, bytes]]:
    """A sound version and its files; other seeds score differently. `changes` replaces fields of the manifest."""
    return _version(version, *_trained(seed, toy_spec().train), seed=seed, **changes)


def kept_version(version: str, *, seed: int = 1, **changes: Any) -> tuple[Manifest, dict[str, bytes]]:
    """As `toy_version`, by an estimator that has no ONNX form, so that scikit-learn serves it."""
    return _version(version, *_trained(seed, train_on_waves), seed=seed, **changes)


def _version(
    version: str, served: Served, canary: tuple[CanaryCase, ...], *, seed: int, **changes: Any
) -> tuple[Manifest, dict[str, bytes]]:
    files = {served.served_form.file: served.content}
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
        "served_form": served.served_form,
        "not_converted": served.not_converted,
    }
    return Manifest(**(described | changes)), files


def add_toy_version(store: ModelStore, version: str, *, seed: int = 1) -> Path:
    return store.add(*toy_version(version, seed=seed))


def add_kept_version(store: ModelStore, version: str, *, seed: int = 1) -> Path:
    return store.add(*kept_version(version, seed=seed))


def train_on_waves(training: TrainingSet) -> Any:
    """A gradient boosting that takes gaps in `mood` and `visits`, behind a part of which there is no ONNX form."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.kernel_approximation import RBFSampler
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    columns = ColumnTransformer(
        [
            ("categories", OrdinalEncoder(categories=[["monthly", "yearly"]]), ["plan"]),
            ("waves", RBFSampler(gamma=1e-3, n_components=4, random_state=0), ["amount"]),
            ("numbers", "passthrough", ["visits", "mood"]),
        ]
    )
    estimator = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=20))
    return estimator.fit(
        training.features, training.target, histgradientboostingclassifier__sample_weight=training.weights
    )


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
def _trained(seed: int, train: Callable[[TrainingSet], Any]) -> tuple[Served, tuple[CanaryCase, ...]]:
    training = training_set(seed)
    spec = toy_spec()
    estimator = train(training)
    scores = estimator.predict_proba(training.features)[:, 1]
    rows = [
        dict(zip(spec.feature_names, row, strict=True)) for row in training.features.head(5).itertuples(index=False)
    ]
    canary = tuple(CanaryCase(row, float(score)) for row, score in zip(rows, scores, strict=False))
    return serve(spec, estimator, permitted_rows(spec, estimator, training.features)), canary
