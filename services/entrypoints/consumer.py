"""The consumer process: from the event log into the record store."""

import logging
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry

from services import bootstrap, home_settings
from services.adapters.home_lock import use
from services.core.clock import wall_clock
from services.core.errors import EventLogUnavailable, StoreUnavailable
from services.core.ports import RecordStore
from services.core.transport import EventSource, Lag
from services.entrypoints.access import access_of_monitor
from services.entrypoints.processes import (
    end_unless_called_within,
    log_to_stderr,
    opened,
    serve_metrics,
    stop_on_signals,
)
from services.ingest.again import read_again
from services.ingest.consume import consume, consume_once
from services.metrics import ConsumerMetrics
from services.settings import Settings

NAME: Final = "bellwether consume"
LONGEST_ROUND_SECONDS: Final = 180.0
"""Above every limit of time that a round has, and below what an operator would wait before restarting it by hand."""

ASK_SECONDS: Final = 5.0
"""Between two questions to a store that has nothing to do: as often as a round that fails comes again."""
NOBODY: Final = ""
"""A consumer that there is not, whose position is a question that costs nothing."""

logger = logging.getLogger("bellwether.consumer")


def run_consumer(settings: Settings, *, once: bool = False, again_from: datetime | None = None) -> int:
    """Carry events over until the process is told to stop; with `once`, until what was there at the start is stored.

    With `again_from`, consumers first go back to what the log has taken since then.

    Raises:
        AlreadyRunning: the home's files are being moved away.
        SettingsError: others than this machine could read its metrics without a token, or the home keeps its records or
            its events somewhere else.
    """
    log_to_stderr()
    if not once:
        access_of_monitor(settings, "metrics_host")
    with use(settings.home, command=NAME):
        settings = home_settings.of_home(settings, *home_settings.OF_CONSUMING)
        with home_settings.beside_others(settings, command=NAME):
            return _consume(settings, once=once, again_from=again_from)


def _consume(settings: Settings, *, once: bool, again_from: datetime | None) -> int:
    stop = stop_on_signals()
    metrics = ConsumerMetrics(CollectorRegistry())
    if not once:
        serve_metrics(metrics.registry, settings, "consumer_port")
    store = opened(lambda: _opened(settings, metrics), stop=stop, patient=not once)
    if store is None:
        return 0
    source = bootstrap.event_source(settings, store)
    home_settings.keep(settings, *home_settings.OF_CONSUMING)
    now = bootstrap.clock(settings)
    retention = bootstrap.stored_log_retention(settings, store)

    def each_round() -> None:
        end_unless_called_within(LONGEST_ROUND_SECONDS)
        metrics.looked(_lags(source), at=wall_clock())
        if retention is not None:
            # What keeps the log from being pruned keeps the round from reading it, and is told there.
            with suppress(EventLogUnavailable, StoreUnavailable):
                retention.prune()

    logger.info("reads %s", settings.event_log)
    try:
        if again_from is not None:
            logger.info("reads again: %s", read_again(source, store, since=again_from))
        if once:
            while not stop.is_set() and (
                consume_once(source, store, limit=settings.consume_batch, now=now, observer=metrics)
                or not source.reached_end()
            ):
                pass
        else:
            consume(
                source,
                store,
                limit=settings.consume_batch,
                now=now,
                stop=stop,
                idle_seconds=settings.poll_seconds,
                observer=metrics,
                each_round=each_round,
                alive=lambda: end_unless_called_within(LONGEST_ROUND_SECONDS),
                nothing_found=AskedSometimes(store, metrics),
            )
    finally:
        logger.info("stored %d events", metrics.stored)
        source.close()
        if retention is not None:
            retention.close()
        store.close()
    return 0


def _opened(settings: Settings, metrics: ConsumerMetrics) -> RecordStore:
    """Raises `StoreUnavailable`, once that is shown."""
    metrics.looked([], at=wall_clock())
    try:
        return bootstrap.record_store(settings)
    except StoreUnavailable:
        metrics.store_is(there=False)
        raise


def _lags(source: EventSource) -> list[Lag]:
    try:
        return source.lags()
    except EventLogUnavailable:
        # The round says so itself; what was known before is not known now.
        return []


@dataclass
class AskedSometimes:
    """Shows whether the store is there while nothing comes that could be stored."""

    store: RecordStore
    metrics: ConsumerMetrics
    monotonic: Callable[[], float] = time.monotonic
    _asked_at: float = -ASK_SECONDS

    def __call__(self) -> None:
        if self.monotonic() - self._asked_at < ASK_SECONDS:
            return
        try:
            self.store.position(NOBODY)
            self.metrics.store_is(there=True)
        except StoreUnavailable:
            self.metrics.store_is(there=False)
        # After the answer, which may have taken long.
        self._asked_at = self.monotonic()


if __name__ == "__main__":
    sys.exit(run_consumer(Settings.from_environment()))
