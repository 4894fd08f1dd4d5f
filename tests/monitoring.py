"""A monitor of the toy model whose store is in memory and whose versions lie in a directory."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pandas as pd

from monitoring.entrypoints.http import MonitorHttp
from monitoring.evaluation.judges import Judges
from monitoring.evaluation.monitor import Monitor
from monitoring.evaluation.references import CalibrationCache, References
from monitoring.evaluation.report_files import ReportFiles
from monitoring.lifecycle.alerts import intake
from monitoring.metrics import MonitorMetrics, Observed
from services.adapters.fleet_files import FleetFiles
from services.core.artifacts import REFERENCE_FILE
from services.core.errors import UnknownVersion
from services.core.ports import ModelStore, RecordStore
from services.core.records import CHAMPION, AliasChange, EvaluationResult
from services.core.spec import ModelSpec
from tests.fakes import StoreInMemory
from tests.toy import NOON, toy_spec
from tests.toy_traffic import toy_reference

SPEC = toy_spec()
SESAME = "open sesame"
PATIENT_SECONDS = 60.0
"""A round of a test ends when all is judged, on the slowest of machines."""


@dataclass
class VersionsOnDisk:
    """The two methods of the model store that the monitor calls."""

    root: Path

    def add(self, version: str, reference: pd.DataFrame) -> None:
        folder = self.root / version
        folder.mkdir(parents=True)
        reference.to_parquet(folder / REFERENCE_FILE)

    def directory(self, model: str, version: str) -> Path:
        folder = self.root / version
        if not folder.is_dir():
            raise UnknownVersion(f"{model} has no version {version!r}")
        return folder

    def read(self, model: str, version: str, name: str, *, manifest_sha256: str) -> bytes:
        return (self.directory(model, version) / name).read_bytes()

    @property
    def port(self) -> ModelStore:
        return cast("ModelStore", self)


@dataclass
class ToyMonitor:
    """Everything around one monitor. `now` is its event time, `desk` where it writes; both may be set."""

    home: Path
    store: StoreInMemory = field(default_factory=StoreInMemory)
    metrics: MonitorMetrics = field(default_factory=MonitorMetrics)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    now: datetime = NOON

    def __post_init__(self) -> None:
        self.versions = VersionsOnDisk(self.home / "versions")
        self.desk: RecordStore | None = self.store.port
        self.monitor = Monitor(
            specs={"toy": SPEC},
            store=self.store.port,
            desk=lambda _: self.desk,
            references=References(self.versions.port, CalibrationCache(self.home / "calibrations")),
            files=ReportFiles(self.home / "reports", kept=2),
            now=lambda: self.now,
            wall_now=lambda: self.now,
            hand_over=lambda payload, now, desk: self.alerts.append(payload),
            observe=self._observe,
            forget=self.metrics.forget,
            judges=Judges(patience=PATIENT_SECONDS),
        )

    def promote(self, version: str) -> None:
        self.versions.add(version, toy_reference())
        previous = self.store.aliases("toy").get(CHAMPION, "")
        self.store.move_alias(
            AliasChange(model="toy", alias=CHAMPION, version=version, previous=previous, at=self.now, reason="test")
        )

    def http(self, *, token: str = SESAME, store: RecordStore | None = None) -> MonitorHttp:
        """The monitor's HTTP over its own store, or over another."""
        return MonitorHttp(
            specs={"toy": SPEC},
            monitor=self.monitor,
            store=store or self.store.port,
            fleet=FleetFiles(self.home / "aliases", self.home / "workers"),
            metrics=self.metrics,
            intake=lambda payload, now: intake(payload, store=store or self.store.port, specs={"toy": SPEC}, now=now),
            now=lambda: self.now,
            wall_now=lambda: self.now,
            alert_token=token,
            body_limit=10_000,
        )

    def _observe(self, spec: ModelSpec, results: list[EvaluationResult]) -> None:
        aliases, jobs = self.store.aliases(spec.name), self.store.jobs(spec.name, limit=10)
        counts = self.store.counts(spec.name)
        self.metrics.observe(spec.name, Observed(results, aliases, jobs, counts, spec.objectives, rollbacks=0))
