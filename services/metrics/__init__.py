"""What the online path counts. Names, labels and meanings stand in table.py.

Labels are closed sets: models, versions, features, statuses, arms and codes, never an id or a path. Nothing is made at
import, because prometheus_client decides by the environment of the process that makes a metric where its values lie:
with PROMETHEUS_MULTIPROC_DIR in files that all workers of a server share, without it in memory.
"""

import math
import os
import time
from collections import Counter as Tally
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, NamedTuple

import psutil
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from services.core.artifacts import SILENT_AFTER
from services.core.errors import LostPosition
from services.core.predictions import PredictionMade
from services.core.records import CHAMPION, Batch, Stored
from services.core.transport import Lag, Unsent
from services.metrics import table
from services.metrics.table import CONSUMER, FORWARDER, SERVING

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
MULTIPROCESS_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"

Mode = Literal["all", "livemax", "livemin", "livesum"]

FEATURE_WRITE_RESULTS: Final = ("written", "refused", "failed")

_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds. Dense from 0.5 to 50 ms, where answers lie and the objectives are; coarse up to the server's timeout."""


class Serves(NamedTuple):
    """A version that answers, what it scores with, and how long it takes for a row."""

    version: str
    form: str
    row_seconds: float


class ServingMetrics:
    """Of one serving worker. `registry` gets every metric; one registry takes one set."""

    def __init__(self, registry: CollectorRegistry, *, objectives: Iterable[timedelta] = ()) -> None:
        """`objectives` are latencies of which one wants to know how many answers kept them."""
        self.registry = registry
        self._predictions = _counter(table.PREDICTIONS, registry)
        self._seconds = _histogram(table.PREDICTION_SECONDS, registry, objectives)
        self._statuses = _counter(table.FEATURE_STATUS, registry)
        self._repeated = _counter(table.PREDICTIONS_REPEATED, registry)
        self._lost = _counter(table.PREDICTIONS_LOST, registry)
        self._failures = _counter(table.ANSWER_FAILURES, registry)
        self._appended = _counter(table.EVENTS_APPENDED, registry)
        self._outcomes = _counter(table.OUTCOMES, registry)
        self._feature_writes = _counter(table.FEATURE_WRITES, registry)
        self._refused = _counter(table.REQUESTS_REFUSED, registry)
        # A version that one of several workers serves is being served; workers that have ended do not count.
        self._info = _gauge(table.MODEL_INFO, registry, mode="livemax")
        self._row_seconds = _gauge(table.MODEL_ROW_SECONDS, registry, mode="livemax")
        self._load_failures = _counter(table.MODEL_LOAD_FAILURES, registry)
        self._workers = _gauge(table.WORKERS, registry, mode="livesum")
        self._workers_wanted = _gauge(table.WORKERS_WANTED, registry, mode="livemax")
        # Of the worker that is silent for longest: no label tells them apart, for their ids are new at each restart.
        self._heartbeat = _gauge(table.WORKER_HEARTBEAT, registry, mode="livemin")
        self._unpublished: list[tuple[PredictionMade, float]] = []

    def started(self, models: Iterable[str], *, workers: int) -> None:
        """This worker is one of `workers`. What it has not counted yet is 0, so that a first failure is a rise."""
        self._workers.set(1)
        self._workers_wanted.set(workers)
        self.beat()
        for model in models:
            self._lost.labels(model)
            self._load_failures.labels(model)
            for result in FEATURE_WRITE_RESULTS:
                self._feature_writes.labels(model, result)

    def beat(self) -> None:
        """The worker works; call it several times a second from where it answers requests."""
        self._heartbeat.set_to_current_time()

    def answered(self, made: PredictionMade, *, seconds: float) -> None:
        """An answer that is recorded. Repeats of it are `repeated`, so that this counts events.

        It shows with the next `publish`. A counter of each feature and request would cost as much as the model; of the
        requests of a moment nearly all show the same statuses, and are written together.
        """
        self._unpublished.append((made, seconds))

    def repeated(self, model: str) -> None:
        self._repeated.labels(model).inc()

    def lost(self, model: str) -> None:
        self._lost.labels(model).inc()

    def answer_failed(self, model: str, *, served_by: str) -> None:
        self._failures.labels(model, served_by).inc()

    def outcome(self, model: str, result: str) -> None:
        self._outcomes.labels(model, result).inc()

    def outcome_appended(self, model: str) -> None:
        self._appended.labels(model, "outcome").inc()

    def feature_write(self, model: str, result: Literal["written", "refused", "failed"]) -> None:
        self._feature_writes.labels(model, result).inc()

    def refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def serves(self, model: str, serving: Serves, *, instead_of: Serves | None) -> None:
        """The worker swapped. What it served before shows 0 from now on: labels cannot be taken away."""
        if instead_of is not None:
            self._info.labels(model, instead_of.version, CHAMPION).set(0)
            self._row_seconds.labels(model, instead_of.version, instead_of.form).set(0)
        self._info.labels(model, serving.version, CHAMPION).set(1)
        self._row_seconds.labels(model, serving.version, serving.form).set(serving.row_seconds)

    def load_failed(self, model: str) -> None:
        self._load_failures.labels(model).inc()

    def publish(self) -> None:
        """Count what was answered since the last call; call it several times a second and at the end."""
        answered, self._unpublished = self._unpublished, []
        for made, seconds in answered:
            self._seconds.labels(made.model, made.served_by.value).observe(seconds)
        by = Tally((made.model, made.version, made.served_by.value, made.arm.value) for made, _ in answered)
        for (model, version, served_by, arm), count in by.items():
            self._predictions.labels(model, version, served_by, arm).inc(count)
            self._appended.labels(model, "prediction").inc(count)
        features = {made.model: list(made.features) for made, _ in answered}
        for (model, statuses), count in Tally((made.model, _statuses(made)) for made, _ in answered).items():
            for feature, status in zip(features[model], statuses.split(_AND), strict=True):
                self._statuses.labels(model, feature, status).inc(count)


_AND: Final = ","


def _statuses(made: PredictionMade) -> str:
    """In the order of the model's features; one string, because members of an enum are slow to compare."""
    return _AND.join([verdict.status for verdict in made.features.values()])


class ConsumerMetrics:
    """Of the consumer: one process, so its values stay in memory. `stored` is how many events it has stored."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.stored = 0
        self._stored = _counter(table.EVENTS_STORED, registry)
        self._duplicates = _counter(table.EVENTS_DUPLICATE, registry)
        self._dead = _counter(table.EVENTS_DEAD_LETTERED, registry)
        self._expired = _counter(table.EVENTS_EXPIRED, registry)
        self._resets = _counter(table.POSITION_RESETS, registry)
        self._expired_at = _gauge(table.EVENTS_EXPIRED_AT, registry)
        self._reset_at = _gauge(table.POSITION_RESET_AT, registry)
        for reason in LostPosition:
            self._resets.labels(reason)
            self._reset_at.labels(reason)
        self._lag = _gauge(table.CONSUMER_LAG, registry)
        self._round = _gauge(table.CONSUMER_LAST_ROUND, registry)
        self._round.set_to_current_time()
        self._store_up = _gauge(table.STORE_UP, registry)
        self._store_up.set(math.nan)

    def looked(self, lags: Sequence[Lag], *, at: datetime) -> None:
        """Partitions that have gone to another consumer, or of which nothing is known now, are no longer told."""
        self._lag.clear()
        for lag in lags:
            self._lag.labels(lag.topic, str(lag.partition)).set(lag.events)
        self._round.set(at.timestamp())

    def store_is(self, *, there: bool) -> None:
        self._store_up.set(there)

    def consumed(self, stored: Stored, batch: Batch) -> None:
        """Count a committed batch; what a replay had buried before counts as a duplicate, not as a dead letter."""
        self.stored += stored.stored
        self._stored.inc(stored.stored)
        self._duplicates.inc(stored.duplicates)
        for letter in batch.dead_letters[: stored.dead_lettered]:
            self._dead.labels(letter.reason).inc()

    def expired(self, events: int) -> None:
        self._expired.inc(events)
        self._expired_at.set_to_current_time()

    def position_reset(self, reason: LostPosition) -> None:
        self._resets.labels(reason).inc()
        self._reset_at.labels(reason).set_to_current_time()


class ForwarderMetrics:
    """Of the forwarder: one process, so its values stay in memory. What is not known now is no number."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._delivered = _counter(table.EVENTS_DELIVERED, registry)
        self._depth = _gauge(table.OUTBOX_DEPTH, registry)
        self._limit = _gauge(table.OUTBOX_LIMIT, registry)
        self._oldest = _gauge(table.OUTBOX_OLDEST, registry)
        self._round = _gauge(table.FORWARDER_LAST_ROUND, registry)
        self._round.set_to_current_time()
        self.waiting_is_unknown()

    def delivered(self, events: int) -> None:
        self._delivered.inc(events)

    def waiting(self, unsent: Unsent, *, limit: int, at: datetime) -> None:
        self._depth.set(unsent.events)
        self._limit.set(limit)
        self._oldest.set(0.0 if unsent.oldest_at is None else max(0.0, (at - unsent.oldest_at).total_seconds()))
        self._round.set(at.timestamp())

    def waiting_is_unknown(self) -> None:
        """The local log could not be read."""
        for gauge in (self._depth, self._oldest):
            gauge.set(math.nan)


_ALL: Final = {**SERVING, **CONSUMER, **FORWARDER}


def _counter(name: str, registry: CollectorRegistry) -> Counter:
    # Without this the library shows a gauge beside each, the moment of its making, which nothing reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    return Counter(name, _ALL[name].meaning, _ALL[name].labels, registry=registry)


def _gauge(name: str, registry: CollectorRegistry, *, mode: Mode = "all") -> Gauge:
    """`mode` says what the values of several workers are together."""
    return Gauge(name, _ALL[name].meaning, _ALL[name].labels, registry=registry, multiprocess_mode=mode)


def _histogram(name: str, registry: CollectorRegistry, objectives: Iterable[timedelta]) -> Histogram:
    """Each objective is the bound of a bucket: between two bounds nobody could say how many kept it."""
    bounds = sorted({*_BUCKETS, *(objective.total_seconds() for objective in objectives)})
    return Histogram(name, _ALL[name].meaning, _ALL[name].labels, buckets=bounds, registry=registry)


def exposition(registry: CollectorRegistry, *, home: Path | None = None) -> bytes:
    """The text that Prometheus reads: of all workers of the server, or of `registry` where there is one process; and
    how much room there is on the disk of `home` at this moment."""
    return _counted(registry) + (b"" if home is None else generate_latest(_registry_of(_Disk(home))))


def _counted(registry: CollectorRegistry) -> bytes:
    directory = os.environ.get(MULTIPROCESS_DIRECTORY)
    if directory is None:
        return generate_latest(registry)
    _forget_ended_workers(Path(directory))
    return generate_latest(_registry_of(_Workers(Path(directory))))


def _registry_of(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


@dataclass(frozen=True)
class _Disk(Collector):
    home: Path

    def collect(self) -> Iterable[Metric]:
        """Nothing where nobody can say."""
        try:
            found = os.statvfs(self.home)
        except OSError:
            return
        for name, blocks in ((table.HOME_FREE, found.f_bavail), (table.HOME_SIZE, found.f_blocks)):
            yield GaugeMetricFamily(name, SERVING[name].meaning, value=blocks * found.f_frsize)


@dataclass(frozen=True)
class _Workers(Collector):
    """What all workers of a server have counted, and what those say of the present that work.

    A worker that hangs or was stopped says nothing of the present but since when it is silent.
    """

    directory: Path

    def collect(self) -> Iterable[Metric]:
        silent = {_pid(path) for path in self.directory.glob(_HEARTBEATS) if _is_silent(path)}
        files = [str(path) for path in self.directory.glob("*.db") if _is_told(path, silent)]
        return list(MultiProcessCollector.merge(files, accumulate=True))  # type: ignore[no-untyped-call]


_HEARTBEATS: Final = "gauge_livemin_*.db"


def _is_told(path: Path, silent: Collection[int]) -> bool:
    of_the_present = path.match("gauge_live*_*.db") and not path.match(_HEARTBEATS)
    return not (of_the_present and _pid(path) in silent)


def _is_silent(path: Path) -> bool:
    metrics = MultiProcessCollector.merge([str(path)], accumulate=True)  # type: ignore[no-untyped-call]
    beats = [sample.value for each in metrics if each.name == table.WORKER_HEARTBEAT for sample in each.samples]
    return bool(beats) and time.time() - min(beats) >= SILENT_AFTER.total_seconds()


def _pid(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])


def _forget_ended_workers(directory: Path) -> None:
    """A worker that was killed cannot withdraw its live gauges; its counters stay, for what it counted happened."""
    for path in directory.glob("gauge_live*_*.db"):
        pid = _pid(path)
        if not psutil.pid_exists(pid):
            mark_process_dead(pid, path=str(directory))  # type: ignore[no-untyped-call]
