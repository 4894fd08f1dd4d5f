"""What every contestant serves: one churn version, trained once, and the customers who are asked about."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import joblib
import skops.io

from monitoring.entrypoints.by_hand import first_version_now
from services import bootstrap
from services.core.artifacts import ESTIMATOR_FILE, ONNX_FILE
from services.core.features import Reading, Value
from services.core.spec import ModelSpec
from services.core.world import PastCase
from services.models.discovery import spec_of, world_of
from services.settings import Settings

MODEL: Final = "churn"
CASES: Final = 2000
CUSTOMERS: Final = 500
"""Asked about in turn: more than one look-up's worth of cache, few enough to write their features quickly."""
ORIGIN: Final = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """`onnx` and `pipeline` are files of the same version: its served form, and its estimator as joblib writes it."""

    directory: Path
    settings: Settings
    spec: ModelSpec
    cases: Sequence[PastCase]
    onnx: Path
    pipeline: Path

    def whole_questions(self) -> list[bytes]:
        """Every feature in the request: the peers have no feature store."""
        return [_json({"entity_id": case.entity_id, "features": case.features}) for case in self.cases]

    def checked_questions(self) -> list[bytes]:
        """The request's own features alone; the others wait in the online store."""
        online = self.online
        return [
            _json(
                {"entity_id": case.entity_id, "features": {n: v for n, v in case.features.items() if n not in online}}
            )
            for case in self.cases
        ]

    @property
    def online(self) -> frozenset[str]:
        return frozenset(feature.name for feature in self.spec.online_features)


def set_up(directory: Path, settings: Settings) -> Workbench:
    """Train the version, keep it in a model store, and write the customers' online features."""
    spec = spec_of(MODEL)
    history = world_of(MODEL)(seed=7, origin=ORIGIN, events=()).history(rows=CASES)
    version = first_version_now(settings, MODEL, history)["version"]
    kept = bootstrap.model_store(settings).directory(MODEL, version)
    pipeline = directory / "pipeline.joblib"
    estimator = (kept / ESTIMATOR_FILE).read_bytes()
    joblib.dump(skops.io.loads(estimator, trusted=["numpy.dtype"]), pipeline)
    bench = Workbench(
        directory=directory,
        settings=settings,
        spec=spec,
        cases=_customers(history),
        onnx=kept / ONNX_FILE,
        pipeline=pipeline,
    )
    write_features(bench)
    return bench


def write_features(bench: Workbench) -> None:
    """Every customer's online features, as fresh as they can be."""
    asyncio.run(_write(bench))


async def _write(bench: Workbench) -> None:
    now = datetime.now(UTC)
    features = bootstrap.online_features(bench.settings)
    for case in bench.cases:
        await features.write(MODEL, case.entity_id, _readings(case.features, bench.online, now))
    await features.close()


def _readings(features: Mapping[str, Value], online: frozenset[str], now: datetime) -> dict[str, Reading]:
    return {name: Reading(value, now) for name, value in features.items() if name in online}


def _customers(history: Sequence[PastCase]) -> list[PastCase]:
    newest = {case.entity_id: case for case in history}
    return list(newest.values())[-CUSTOMERS:]


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
