"""What the online path counts. The only place where its metric names and labels stand.

Labels are closed sets: models, versions, features, statuses, arms and codes, never an id or a path. Nothing is made at
import, because prometheus_client decides by the environment of the process that makes a metric where its values lie:
with PROMETHEUS_MULTIPROC_DIR in files that all workers of a server share, without it in memory.
"""

import os
from collections import Counter as Tally
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import psutil
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from services.core.predictions import PredictionMade
from services.core.records import CHAMPION, Batch, Stored
from services.core.transport import Lag, Unsent

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
MULTIPROCESS_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"

_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds. Dense from 0.5 to 50 ms, where answers lie and the objectives are; coarse up to the server's timeout."""


class ServingMetrics:
    """Of one serving worker. `registry` gets every metric; one registry takes one set."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._predictions = Counter(
            "bellwether_predictions",
            "Answers recorded, by who gave them and in which arm.",
            ("model", "version", "served_by", "arm"),
            registry=registry,
        )
        self._seconds = Histogram(
            "bellwether_prediction_seconds",
            "Time from a checked request to its recorded answer.",
            ("model", "served_by"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._statuses = Counter(
            "bellwether_feature_status",
            "Availability verdicts of recorded answers, per feature.",
            ("model", "feature", "status"),
            registry=registry,
        )
        self._repeated = Counter(
            "bellwether_predictions_repeated",
            "Requests whose request_id was answered before, and got that answer.",
            ("model",),
            registry=registry,
        )
        self._failures = Counter(
            "bellwether_answer_failures",
            "Times that a model or a rule raised, or gave no answer that can be used.",
            ("model", "served_by"),
            registry=registry,
        )
        self._appended = Counter(
            "bellwether_events_appended",
            "Events made durable in the local log.",
            ("model", "type"),
            registry=registry,
        )
        self._outcomes = Counter(
            "bellwether_outcomes",
            "Outcomes received, by what became of them: accepted, duplicate or refused.",
            ("model", "result"),
            registry=registry,
        )
        self._refused = Counter(
            "bellwether_requests_refused",
            "Requests that got an error, by its code.",
            ("code",),
            registry=registry,
        )
        self._info = Gauge(
            "bellwether_model_info",
            "1 while a live worker answers with this version of the model.",
            ("model", "version", "alias"),
            registry=registry,
            # A version that one of several workers serves is being served; workers that have ended do not count.
            multiprocess_mode="livemax",
        )
        self._load_failures = Counter(
            "bellwether_model_load_failures",
            "Versions that a worker refused to serve because they did not pass their checks.",
            ("model",),
            registry=registry,
        )

        self._unpublished: list[tuple[PredictionMade, float]] = []

    def answered(self, made: PredictionMade, *, seconds: float) -> None:
        """An answer that is recorded. Repeats of it are `repeated`, so that this counts events.

        It shows with the next `publish`. A counter of each feature and request would cost as much as the model; of the
        requests of a moment nearly all show the same statuses, and are written together.
        """
        self._unpublished.append((made, seconds))

    def repeated(self, model: str) -> None:
        self._repeated.labels(model).inc()

    def answer_failed(self, model: str, *, served_by: str) -> None:
        self._failures.labels(model, served_by).inc()

    def outcome(self, model: str, result: str) -> None:
        self._outcomes.labels(model, result).inc()
        if result == "accepted":
            self._appended.labels(model, "outcome").inc()

    def refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def serves(self, model: str, *, version: str, instead_of: str) -> None:
        """The worker swapped; "" stands for no version."""
        if instead_of:
            self._info.labels(model, instead_of, CHAMPION).set(0)
        if version:
            self._info.labels(model, version, CHAMPION).set(1)

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
    """Of the consumer: one process, so its values stay in memory."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._stored = Counter("bellwether_events_stored", "Events that became rows of the store.", registry=registry)
        self._duplicates = Counter(
            "bellwether_events_duplicate",
            "Events that were read again and are in the store already.",
            registry=registry,
        )
        self._dead = Counter(
            "bellwether_events_dead_lettered",
            "Events that could not become rows, by reason.",
            ("reason",),
            registry=registry,
        )
        self._lag = Gauge(
            "bellwether_consumer_lag",
            "Events of a partition that this consumer has not stored yet.",
            ("topic", "partition"),
            registry=registry,
        )
        self._round = Gauge(
            "bellwether_consumer_last_round_timestamp_seconds",
            "When the consumer last looked for events.",
            registry=registry,
        )

    def looked(self, lags: Sequence[Lag], *, at: datetime) -> None:
        """Partitions that have gone to another consumer are no longer told."""
        self._lag.clear()
        for lag in lags:
            self._lag.labels(lag.topic, str(lag.partition)).set(lag.events)
        self._round.set(at.timestamp())

    def observe_consumed(self, stored: Stored, batch: Batch) -> None:
        """Count a committed batch; what a replay had buried before counts as a duplicate, not as a dead letter."""
        self._stored.inc(stored.stored)
        self._duplicates.inc(stored.duplicates)
        for letter in batch.dead_letters[: stored.dead_lettered]:
            self._dead.labels(letter.reason).inc()


class ForwarderMetrics:
    """Of the forwarder: one process, so its values stay in memory."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._delivered = Counter(
            "bellwether_events_delivered", "Events of the local log that the broker has for good.", registry=registry
        )
        self._depth = Gauge(
            "bellwether_outbox_depth", "Events of the local log that the broker does not have yet.", registry=registry
        )
        self._limit = Gauge("bellwether_outbox_limit", "How many may wait.", registry=registry)
        self._oldest = Gauge(
            "bellwether_outbox_oldest_seconds", "Age of the oldest event that waits, 0 for none.", registry=registry
        )

    def delivered(self, events: int) -> None:
        self._delivered.inc(events)

    def waiting(self, unsent: Unsent, *, limit: int, at: datetime) -> None:
        self._depth.set(unsent.events)
        self._limit.set(limit)
        self._oldest.set(0.0 if unsent.oldest_at is None else max(0.0, (at - unsent.oldest_at).total_seconds()))


def exposition(registry: CollectorRegistry) -> bytes:
    """The text that Prometheus reads: of all workers of the server, or of `registry` where there is one process."""
    directory = os.environ.get(MULTIPROCESS_DIRECTORY)
    if directory is None:
        return generate_latest(registry)
    _forget_ended_workers(Path(directory))
    shared = CollectorRegistry()
    MultiProcessCollector(shared, path=directory)  # type: ignore[no-untyped-call]  # the library leaves it untyped
    return generate_latest(shared)


def _forget_ended_workers(directory: Path) -> None:
    """A worker that was killed cannot withdraw its live gauges; its counters stay, for what it counted happened."""
    for path in directory.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not psutil.pid_exists(pid):
            mark_process_dead(pid, path=str(directory))  # type: ignore[no-untyped-call]
