"""The forwarder process: from the local log to Kafka."""

import logging
import sys
from contextlib import closing
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry

from services import bootstrap, home_settings
from services.adapters.home_lock import use
from services.core.clock import wall_clock
from services.core.errors import EventLogUnavailable
from services.entrypoints.access import access_of_monitor
from services.entrypoints.processes import end_unless_called_within, log_to_stderr, serve_metrics, stop_on_signals
from services.ingest.again import send_again
from services.ingest.forward import forward, forward_once
from services.metrics import ForwarderMetrics
from services.settings import Settings

NAME: Final = "bellwether forward"
LONGEST_ROUND_SECONDS: Final = 180.0
"""Above every limit of time that a round has, and below what an operator would wait before restarting it by hand."""

logger = logging.getLogger("bellwether.forwarder")


def run_forwarder(settings: Settings, *, once: bool = False, again_from: datetime | None = None) -> int:
    """Deliver events until the process is told to stop; with `once`, until there are no more.

    With `again_from`, what was appended since then is delivered again.

    Raises:
        AlreadyRunning: the home's files are being moved away.
        SettingsError: others than this machine could read its metrics without a token, or the home's events go
            somewhere else.
    """
    log_to_stderr()
    if not once:
        access_of_monitor(settings, "metrics_host")
    with use(settings.home, command=NAME):
        return _forward(home_settings.of_home(settings, *home_settings.OF_THE_LOG), once=once, again_from=again_from)


def _forward(settings: Settings, *, once: bool, again_from: datetime | None) -> int:
    stop = stop_on_signals()
    sink = bootstrap.event_sink(settings)
    outbox = bootstrap.outbox(settings)
    home_settings.keep(settings, *home_settings.OF_THE_LOG)
    metrics = ForwarderMetrics(CollectorRegistry())
    retention = bootstrap.forwarded_log_retention(settings)

    def each_round() -> None:
        end_unless_called_within(LONGEST_ROUND_SECONDS)
        try:
            metrics.waiting(outbox.unsent(), limit=settings.outbox_limit, at=wall_clock())
        except EventLogUnavailable:
            metrics.waiting_is_unknown()
            raise
        try:
            retention.prune()
        except EventLogUnavailable as error:
            # Delivering may work all the same; the look for what is stored comes twice a minute, and so does this line.
            logger.warning("nothing is removed from the local log: %s", error)

    logger.info("carries %s to %s", settings.event_log_path, settings.kafka)
    try:
        if again_from is not None:
            with closing(bootstrap.event_log(settings)) as log:
                logger.info("delivers again from %d", send_again(log, outbox, sink, since=again_from))
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
        retention.close()
        outbox.close()
    return 0


if __name__ == "__main__":
    sys.exit(run_forwarder(Settings.from_environment()))
