"""Round after round, through every outage of what a round needs."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from services.core.errors import EventLogUnavailable, StoreUnavailable

LONGEST_PAUSE_SECONDS: Final = 5.0
"""A store or a broker that is down comes back in seconds or in hours; for the latter a look every five is enough."""

logger = logging.getLogger(__name__)


def keep_going(each_round: Callable[[], object], *, stop: threading.Event, idle_seconds: float) -> None:
    """Call `each_round` until `stop` is set: at once while it finds something to do, else after a wait.

    While the log or the store is away the waits grow; the round that failed is made again, and nothing is skipped.
    """
    pause = idle_seconds
    while not stop.is_set():
        try:
            found = each_round()
        except (StoreUnavailable, EventLogUnavailable) as error:
            logger.warning("%s: %s; trying again in %.1f s", error.code, error, pause)
            stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            continue
        pause = idle_seconds
        if not found:
            stop.wait(idle_seconds)
