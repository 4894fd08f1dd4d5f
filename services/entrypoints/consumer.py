"""The consumer process: from the event log into the record store."""

import logging
import sys
from contextlib import suppress
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry

from services import bootstrap
from services.adapters.home_lock import use
from services.core.clock import wall_clock
from services.core.errors import EventLogUnavailable, StoreUnavailable
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

logger = logging.getLogger("bellwether.consumer")


def run_consumer(settings: Settings, *, once: bool = False, again_from: datetime | None = None) -> int:
    """Carry events over until the process is told to stop; with `once`, until what was there at the start is stored.

    With `again_from`, consumers first go back to what the log has taken since then.

    Raises:
        AlreadyRunning: the home's files are being moved away.
        SettingsError: others than this machine could read its metrics without a token.
    """
    log_to_stderr()
    if not once:
        access_of_monitor(settings, "metrics_host")
    with use(settings.home, command=NAME):
        return _consume(settings, once=once, again_from=again_from)


def _consume(settings: Settings, *, once: bool, again_from: datetime | None) -> int:
    stop = stop_on_signals()
    store = opened(lambda: bootstrap.record_store(settings), stop=stop, patient=not once)
    if store is None:
        return 0
    source = bootstrap.event_source(settings, store)
    metrics = ConsumerMetrics(CollectorRegistry())
    now = bootstrap.clock(settings)
    retention = bootstrap.stored_log_retention(settings, store)

    def each_round() -> None:
        end_unless_called_within(LONGEST_ROUND_SECONDS)
        metrics.looked(source.lags(), at=wall_clock())
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
            serve_metrics(metrics.registry, settings, "consumer_port")
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
            )
    finally:
        logger.info("stored %d events", metrics.stored)
        source.close()
        if retention is not None:
            retention.close()
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(run_consumer(Settings.from_environment()))
