"""One serving worker's process: its adapters, use cases and metrics, built after it began and closed before it ends."""

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from os import EX_TEMPFAIL
from pathlib import Path
from threading import Event, Thread
from typing import Final

from prometheus_client import CollectorRegistry

from services import bootstrap
from services.core.clock import Now
from services.core.errors import UnknownModel
from services.core.ports import EventLog, Fleet, ModelStore, OnlineFeatures
from services.core.spec import ModelSpec
from services.entrypoints.supervisor import supervisor_of_this_worker
from services.metrics import ServingMetrics
from services.serving.champion import ChampionWatch
from services.serving.lookup import FeatureLookup
from services.serving.outbox import Outbox
from services.serving.outcomes import OutcomeRecorder
from services.serving.predict import Predictor
from services.settings import Settings

logger = logging.getLogger(__name__)

PARENT_SECONDS: Final = 0.5
"""Between two looks at whether the server that started this worker is still there."""

LEAVE_SECONDS: Final = 12.0
"""What a worker may take to leave by itself: above the ten seconds that requests which are under way get."""

PUBLISH_SECONDS: Final = 0.1
"""Between two moments at which answers are counted: a scrape comes every few seconds, and a batch must be short."""

YOUNG_OBJECTS: Final = 50_000
"""Garbage collections start after so many new objects instead of 700. Each request leaves its time-out behind for a few
seconds, so frequent collections find much that is alive and little to free, and callers see that as a slow tail."""


@dataclass(frozen=True, kw_only=True)
class HostedModel:
    """One model as this worker serves it."""

    spec: ModelSpec
    predictor: Predictor
    outcomes: OutcomeRecorder
    watch: ChampionWatch

    @property
    def version(self) -> str:
        """What answers now; "" while that is the rule."""
        serving = self.watch.champion()
        return "" if serving is None else serving.version

    @property
    def problem(self) -> str:
        return self.watch.problem


@dataclass(kw_only=True)
class Worker:
    """Holds the models and what they share."""

    models: Mapping[str, HostedModel]
    log: EventLog
    features: OnlineFeatures
    store: ModelStore
    now: Now
    metrics: ServingMetrics
    home: Path | None = None
    """Whose disk everything is recorded on."""
    started: bool = field(default=False, init=False)
    """Whether every model has its champion or its reason to have none."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list, init=False)
    _closed: Event = field(default_factory=Event, init=False)

    async def start(self) -> None:
        """Return when every model has its champion or its reason to have none, and go on following."""
        for hosted in self.models.values():
            await hosted.watch.look()
            self._tasks.append(asyncio.create_task(hosted.watch.follow()))
        self._tasks.append(asyncio.create_task(self._publish_metrics()))
        watching = (supervisor_of_this_worker(), self._closed)
        Thread(target=_leave_with, args=watching, name="supervisor", daemon=True).start()
        _calm_collector()
        self.started = True

    async def close(self) -> None:
        self.started = False
        self._closed.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.metrics.publish()
        # Waits for the appends that were accepted; off the loop, on which their answers are still being sent.
        await asyncio.to_thread(self.log.close)
        await self.features.close()

    async def _publish_metrics(self) -> None:
        """For a scrape that another worker answers: it sees what this one has published."""
        while True:
            await asyncio.sleep(PUBLISH_SECONDS)
            self.metrics.publish()
            self.metrics.beat()

    def model(self, name: str) -> HostedModel:
        hosted = self.models.get(name)
        if hosted is None:
            raise UnknownModel(f"found model {name[:64]!r}, expected one of {', '.join(self.models)}")
        return hosted


def build_worker(specs: Sequence[ModelSpec], settings: Settings) -> Worker:
    worker = Worker(
        models={},
        log=bootstrap.event_log(settings),
        features=bootstrap.online_features(settings),
        store=bootstrap.model_store(settings),
        now=bootstrap.clock(settings),
        metrics=ServingMetrics(CollectorRegistry(), objectives=[spec.objectives.p99 for spec in specs]),
        home=settings.home,
    )
    worker.metrics.started([spec.name for spec in specs], workers=settings.workers)
    fleet, outbox = bootstrap.fleet(settings), Outbox(worker.log)
    return replace(worker, models={spec.name: _hosted(spec, worker, fleet, outbox, settings) for spec in specs})


def _hosted(spec: ModelSpec, worker: Worker, fleet: Fleet, outbox: Outbox, settings: Settings) -> HostedModel:
    watch = ChampionWatch(
        spec=spec, store=worker.store, fleet=fleet, metrics=worker.metrics, pause=settings.alias_poll_seconds
    )
    predictor = Predictor(
        spec=spec,
        champion=watch.champion,
        lookup=FeatureLookup(
            spec=spec, features=worker.features, budget=timedelta(milliseconds=settings.feature_budget_ms)
        ),
        outbox=outbox,
        now=worker.now,
        control_share=settings.control_share if settings.control_share >= 0 else spec.experiment.control,
        metrics=worker.metrics,
    )
    outcomes = OutcomeRecorder(spec=spec, outbox=outbox, now=worker.now, metrics=worker.metrics)
    return HostedModel(spec=spec, predictor=predictor, outcomes=outcomes, watch=watch)


def _leave_with(supervisor: int, closed: Event) -> None:
    """End this worker when its server was killed: nobody would restart it, and it would hold the port and the home.

    A thread of its own, which looks whatever the worker is busy with, and has the last word.
    """
    while os.getppid() == supervisor:
        if closed.wait(PARENT_SECONDS):
            return
    logger.warning("the server that started this worker is gone; ending")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LEAVE_SECONDS)
    os._exit(EX_TEMPFAIL)


def _calm_collector() -> None:
    """What was built so far lives as long as the process, so collections need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
