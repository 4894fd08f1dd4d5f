"""When drift came past each station on its way from the gauge to a new version, as the real servers tell."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from monitoring.evaluation.alert import ALERT, RECEIVER
from services import bootstrap
from services.core.errors import StoreUnavailable
from services.core.ports import RecordStore
from services.core.records import CHAMPION, JobState
from services.settings import Settings
from tests.servers.alertmanager import AlertmanagerClient
from tests.servers.prometheus import PrometheusClient

LOOK_SECONDS: Final = 0.2
ACCEPTED: Final = 'bellwether_alerts_received_total{result="accepted"} > 0'
STATIONS: Final = (
    "the gauge shows drift",
    "Prometheus fires the alert",
    "Alertmanager routes it to the lifecycle",
    "a job is open",
    "the monitor counts the webhook",
    "the new version is the champion",
    "the job is closed as promoted",
)


@dataclass
class Witness:
    """`seen` is when each station was first passed, in seconds since the run began."""

    began: float = field(default_factory=time.monotonic)
    seen: dict[str, float] = field(default_factory=dict)

    def note(self, station: str, passed: Callable[[], object]) -> None:
        if station not in self.seen and passed():
            self.seen[station] = time.monotonic() - self.began

    def as_table(self) -> str:
        return "\n".join(f"{self.seen[station]:7.1f} s  {station}" for station in STATIONS if station in self.seen)


@contextmanager
def watching(settings: Settings, model: str, told: Path) -> Iterator[Witness]:
    """Look at everything several times a second. `told` is what the run prints: the servers' addresses are in it."""
    witness, stop = Witness(), threading.Event()

    def look_again_and_again() -> None:
        while not stop.wait(LOOK_SECONDS):
            # A server that is not there yet, or no longer, is asked again.
            with suppress(httpx.HTTPError, StoreUnavailable, OSError):
                _look(witness, settings, model, told.read_text())

    looking = threading.Thread(target=look_again_and_again, daemon=True)
    looking.start()
    try:
        yield witness
    finally:
        stop.set()
        looking.join(30)


def _look(witness: Witness, settings: Settings, model: str, told: str) -> None:
    addresses = dict(re.findall(r"own (prometheus|alertmanager)\s+(\S+),", told))
    if len(addresses) < 2:
        return
    _look_at_prometheus(witness, PrometheusClient(f"http://{addresses['prometheus']}"), model)
    _look_at_alertmanager(witness, AlertmanagerClient(f"http://{addresses['alertmanager']}"), model)
    with closing(bootstrap.record_store(settings)) as store:
        _look_at_store(witness, store, model)


def _look_at_prometheus(witness: Witness, prometheus: PrometheusClient, model: str) -> None:
    gauge, fires, counts = STATIONS[0], STATIONS[1], STATIONS[4]
    witness.note(gauge, lambda: prometheus.query(f'bellwether_drift_detected{{model="{model}"}} == 1'))
    witness.note(fires, lambda: prometheus.query(f'ALERTS{{alertname="{ALERT}",alertstate="firing",model="{model}"}}'))
    witness.note(counts, lambda: prometheus.query(ACCEPTED))


def _look_at_alertmanager(witness: Witness, alertmanager: AlertmanagerClient, model: str) -> None:
    def routed() -> bool:
        return any(
            alert.name == ALERT
            and alert.labels["model"] == model
            and RECEIVER in {receiver.name for receiver in alert.receivers}
            for alert in alertmanager.alerts()
        )

    witness.note(STATIONS[2], routed)


def _look_at_store(witness: Witness, store: RecordStore, model: str) -> None:
    jobs = store.jobs(model, limit=10)
    witness.note(STATIONS[3], lambda: jobs)
    witness.note(STATIONS[5], lambda: store.aliases(model).get(CHAMPION) == "v2")
    witness.note(STATIONS[6], lambda: any(job.state is JobState.PROMOTED for job in jobs))
