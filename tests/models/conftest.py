"""Every discovered model, its world, and a version trained on that world's history."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.lifecycle.domain import permitted_rows
from monitoring.lifecycle.packaging import Served, serve
from services.core.spec import Categorical, ModelSpec, Unavailable
from services.core.training import TrainingSet
from services.core.world import PastCase, World, WorldFactory
from services.models.discovery import discover, spec_of, world_of

ORIGIN = datetime(2026, 3, 2, tzinfo=UTC)
SEED = 7


@pytest.fixture(scope="session", params=sorted(discover()))
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    return spec_of(request.param)


@pytest.fixture(scope="session")
def factory(spec: ModelSpec) -> WorldFactory:
    return world_of(spec.name)


@pytest.fixture(scope="session")
def world(factory: WorldFactory) -> World:
    return factory(seed=SEED, origin=ORIGIN, events=())


@pytest.fixture(scope="session")
def history(world: World) -> list[PastCase]:
    return world.history(rows=1000)


@pytest.fixture(scope="session")
def training(spec: ModelSpec, history: list[PastCase]) -> TrainingSet:
    return training_set(spec, history)


@pytest.fixture(scope="session")
def estimator(spec: ModelSpec, training: TrainingSet) -> Any:
    return spec.train(training)


@pytest.fixture(scope="session")
def served(spec: ModelSpec, training: TrainingSet, estimator: Any) -> Served:
    """What a worker would score with: ONNX, or scikit-learn where the estimator does not convert."""
    return serve(spec, estimator, permitted_rows(spec, estimator, training.features))


def training_set(spec: ModelSpec, cases: list[PastCase]) -> TrainingSet:
    """All cases with weight 1."""
    return TrainingSet(
        features=frame(spec, [case.features for case in cases]),
        target=np.array([float(case.value == spec.task.positive) for case in cases]),
        weights=np.ones(len(cases)),
    )


def frame(spec: ModelSpec, rows: list[Any]) -> pd.DataFrame:
    """Rows as a model takes them: the spec's columns in its order, float64 for numbers and str for categories.

    What a row lacks is a gap: NaN, or the empty category.
    """
    types = {each.name: object if isinstance(each.kind, Categorical) else float for each in spec.features}
    gaps = {name: "" for name, kind in types.items() if kind is object}
    return pd.DataFrame(rows, columns=list(spec.feature_names)).fillna(gaps).astype(types)


def optional(spec: ModelSpec) -> set[str]:
    """The features without which the model answers all the same."""
    return {each.name for each in spec.features if each.if_unavailable is Unavailable.OPTIONAL}
