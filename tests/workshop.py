"""A workshop of the toy model on real files: SQLite, BentoML's model store, alias and worker files."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from monitoring.lifecycle.retrain import Workshop
from services.adapters.fleet_files import FleetFiles
from services.adapters.model_store import BentoModelStore
from services.adapters.record_store import RecordStoreSql
from services.core.clock import DAY
from services.core.events import outcome_event
from services.core.outcomes import OutcomeObserved
from services.core.records import Batch, Judged
from services.core.spec import Gate, ModelSpec, RetrainingPolicy
from services.core.world import PastCase
from tests.toy import NOON, prediction, toy_spec
from tests.toy_traffic import toy_columns

SPEC = toy_spec(
    retraining=RetrainingPolicy(minimum_outcomes=300, cool_down=timedelta(days=1), patience=timedelta(days=20)),
    gate=Gate(minimum_outcomes=60, holdout=0.3, margin=0.005),
)


@dataclass
class Bench:
    """A workshop whose clock the test moves; `said` is what it told."""

    workshop: Workshop
    moment: list[datetime]
    said: list[str] = field(default_factory=list)

    @property
    def store(self) -> RecordStoreSql:
        store = self.workshop.store
        assert isinstance(store, RecordStoreSql)
        return store

    def at(self, moment: datetime) -> "Bench":
        self.moment[0] = moment
        return self

    def restarted(self) -> Workshop:
        """The workshop of a new process: nothing remembered."""
        return replace(self.workshop, looked_at={})


def open_bench(directory: Path) -> Bench:
    store = RecordStoreSql(f"sqlite:///{directory / 'records.sqlite'}")
    store.migrate()
    moment, said = [NOON], list[str]()
    workshop = Workshop(
        store=store,
        models=BentoModelStore(directory / "bentoml"),
        fleet=FleetFiles(directory / "aliases", directory / "workers"),
        now=lambda: moment[0],
        training_directory=directory / "training",
        say=said.append,
    )
    return Bench(workshop, moment, said)


def record(store: RecordStoreSql, rows: Iterable[Judged]) -> None:
    """Put judged rows into the store, as the consumer would have."""
    kept = list(rows)
    seen = [_outcome(row) for row in kept if row.outcome is not None]
    store.commit(Batch([row.prediction for row in kept], seen, []), consumer="test", position=len(kept))


def asked_daily(*, begin: datetime, until: datetime) -> list[Judged]:
    """Traffic that goes on, once a day: it is by this that a store knows how late it is."""
    days = range((until - begin) // DAY + 1)
    made = [prediction(900_000 + (begin - NOON) // DAY + day, made_at=begin + day * DAY) for day in days]
    return [Judged(each, None, None) for each in made]


def past_cases(n: int, *, seed: int, spec: ModelSpec = SPEC) -> list[PastCase]:
    """Settled cases of the toy's world, before any change."""
    columns = toy_columns(n, seed=seed)
    chance = np.random.default_rng(seed + 1)
    left = chance.random(n) < columns["score"]
    return [
        PastCase(
            entity_id=f"past-{place}",
            asked_at=NOON - timedelta(days=30) + place * timedelta(minutes=5),
            features={name: _plain(columns[name][place]) for name in spec.feature_names},
            value=spec.task.positive if left[place] else spec.task.negative,
        )
        for place in range(n)
    ]


def drift_payload(since: datetime, *, features: str = "amount", **labels: str) -> dict[str, Any]:
    """What the evaluation hands over when it has confirmed drift."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "ModelInputDrift", "model": "toy", "severity": "ticket"} | labels,
        "annotations": {"summary": "inputs drifted", "features": features, "since": since.isoformat()},
        "startsAt": since.isoformat(),
        "fingerprint": "0123456789abcdef",
    }
    return {"version": "4", "status": "firing", "alerts": [alert]}


def _plain(value: Any) -> float | str:
    return str(value) if isinstance(value, str) else float(value)


def _outcome(row: Judged) -> tuple[str, OutcomeObserved]:
    assert row.outcome is not None
    assert row.observed_at is not None
    fact = OutcomeObserved(
        prediction_id=row.prediction.prediction_id, model="toy", value=row.outcome, observed_at=row.observed_at
    )
    return outcome_event(fact).id, fact
