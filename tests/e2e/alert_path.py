"""When drift came past each station on its way from the gauge to a new version, as the real servers tell."""

import re
import threading
import time
from collections.abc import Iterator
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
SHOWN: Final = "the gauge shows drift"
FIRING: Final = "Prometheus fires the alert"
ROUTED: Final = "Alertmanager routes it to the lifecycle"
OPENED: Final = "a job is open"
COUNTED: Final = "the monitor's count of accepted alerts shows it"
CHAMPION_IS_NEW: Final = "the new version is the champion"
CLOSED: Final = "the job is closed as promoted"
STATIONS: Final = (SHOWN, FIRING, ROUTED, OPENED, COUNTED, CHAMPION_IS_NEW, CLOSED)
"""In their order; the counts are seen at the next scrape, some time after the job."""

Passed = dict[str, bool]


@dataclass
class Witness:
    """`seen` is when each station was first passed, in seconds since the run began."""

    began: float = field(default_factory=time.monotonic)
    seen: dict[str, float] = field(default_factory=dict)

    def note(self, passed: Passed) -> None:
        """What one look found counts as found at one moment."""
        moment = time.monotonic() - self.began
        for station in (station for station, is_passed in passed.items() if is_passed):
            self.seen.setdefault(station, moment)

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
    """From the last station to the first: whatever comes by meanwhile has passed those that are looked at later."""
    addresses = dict(re.findall(r"own (prometheus|alertmanager)\s+(\S+),", told))
    if len(addresses) < 2:
        return
    with closing(bootstrap.record_store(settings)) as store:
        found = _in_the_store(store, model)
    found |= _at_alertmanager(AlertmanagerClient(f"http://{addresses['alertmanager']}"), model)
    found |= _at_prometheus(PrometheusClient(f"http://{addresses['prometheus']}"), model)
    witness.note(found)


def _in_the_store(store: RecordStore, model: str) -> Passed:
    jobs = store.jobs(model, limit=10)
    return {
        CLOSED: any(job.state is JobState.PROMOTED for job in jobs),
        CHAMPION_IS_NEW: store.aliases(model).get(CHAMPION) == "v2",
        OPENED: bool(jobs),
    }


def _at_alertmanager(alertmanager: AlertmanagerClient, model: str) -> Passed:
    drift = [each for each in alertmanager.alerts() if each.name == ALERT and each.labels["model"] == model]
    return {ROUTED: any(RECEIVER in {receiver.name for receiver in each.receivers} for each in drift)}


def _at_prometheus(prometheus: PrometheusClient, model: str) -> Passed:
    return {
        COUNTED: bool(prometheus.query('bellwether_alerts_received_total{result="accepted"} > 0')),
        FIRING: bool(prometheus.query(f'ALERTS{{alertname="{ALERT}",alertstate="firing",model="{model}"}}')),
        SHOWN: bool(prometheus.query(f'bellwether_drift_detected{{model="{model}"}} == 1')),
    }
