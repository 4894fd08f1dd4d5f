"""The consumer process: from the event log into the record store."""

import logging
import sys

from prometheus_client import CollectorRegistry, start_http_server

from services import bootstrap
from services.entrypoints.processes import log_to_stderr, stop_on_signals
from services.ingest.consume import CONSUMER, consume, consume_once
from services.metrics import ConsumerMetrics
from services.settings import Settings

logger = logging.getLogger("bellwether.consumer")


def run_consumer(settings: Settings, *, once: bool = False) -> int:
    """Carry events over until the process is told to stop; with `once`, until the log has no more."""
    log_to_stderr()
    stop = stop_on_signals()
    log, store = bootstrap.event_log(settings), bootstrap.record_store(settings)
    metrics = ConsumerMetrics(CollectorRegistry())
    now = bootstrap.clock(settings)
    logger.info("reads %s from position %d", settings.event_log_path, store.position(CONSUMER))
    try:
        if once:
            while carried := consume_once(log, store, limit=settings.consume_batch, now=now):
                metrics.observe_consumed(*carried)
        else:
            start_http_server(settings.consumer_port, addr="127.0.0.1", registry=metrics.registry)
            consume(
                log,
                store,
                limit=settings.consume_batch,
                now=now,
                stop=stop,
                idle_seconds=settings.poll_seconds,
                observe=metrics.observe_consumed,
            )
    finally:
        logger.info("stopped at position %d", store.position(CONSUMER))
        log.close()
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(run_consumer(Settings.from_environment()))
