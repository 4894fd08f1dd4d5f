"""The forwarder process: from the local log to Kafka."""

import logging
import sys
from datetime import timedelta
from typing import Final

from prometheus_client import CollectorRegistry

from services import bootstrap
from services.adapters.home_lock import use
from services.core.clock import wall_clock
from services.entrypoints.processes import end_unless_called_within, log_to_stderr, serve_metrics, stop_on_signals
from services.ingest.forward import forward, forward_once
from services.metrics import ForwarderMetrics
from services.settings import Settings

LONGEST_ROUND_SECONDS: Final = 180.0
"""Above every limit of time that a round has, and below what an operator would wait before restarting it by hand."""

logger = logging.getLogger("bellwether.forwarder")


NAME: Final = "bellwether forward"


def run_forwarder(settings: Settings, *, once: bool = False) -> int:
    """Deliver events until the process is told to stop; with `once`, until there are no more.

    Raises `AlreadyRunning` where the home's files are being moved away.
    """
    log_to_stderr()
    with use(settings.home, command=NAME):
        return _forward(settings, once=once)


def _forward(settings: Settings, *, once: bool) -> int:
    stop = stop_on_signals()
    sink = bootstrap.event_sink(settings)
    outbox = bootstrap.outbox(settings)
    metrics = ForwarderMetrics(CollectorRegistry())
    keep = timedelta(hours=settings.outbox_keep_hours)

    def each_round() -> None:
        end_unless_called_within(LONGEST_ROUND_SECONDS)
        # As many as a round delivers at most: the log shrinks as fast as it grows, and no append waits long for it.
        outbox.prune(before=wall_clock() - keep, limit=settings.forward_batch)
        metrics.waiting(outbox.unsent(), limit=settings.outbox_limit, at=wall_clock())

    logger.info("carries %s to %s", settings.event_log_path, settings.kafka)
    try:
        if once:
            while not stop.is_set() and (delivered := forward_once(outbox, sink, limit=settings.forward_batch)):
                metrics.delivered(delivered)
        else:
            serve_metrics(metrics.registry, settings, "forwarder_port")
            forward(
                outbox,
                sink,
                limit=settings.forward_batch,
                stop=stop,
                idle_seconds=settings.poll_seconds,
                observe=metrics.delivered,
                each_round=each_round,
            )
    finally:
        sink.close()
        outbox.close()
    return 0


if __name__ == "__main__":
    sys.exit(run_forwarder(Settings.from_environment()))
