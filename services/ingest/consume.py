"""From the event log into the record store, each event exactly once.

At-least-once reading, unique ids and a position that commits together with the rows: whatever dies in between, the
next round reads the same events again and the store ignores what it has.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from services.core.clock import Now
from services.core.errors import EventLogUnavailable, StoreUnavailable
from services.core.ports import EventLog, Records
from services.core.records import Batch, Stored
from services.ingest.apply import apply

CONSUMER: Final = "records"
ORIGIN: Final = "event-log"
# A store that is down comes back in seconds or in hours; a look every five seconds is enough for the latter.
LONGEST_PAUSE_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)
Observe = Callable[[Stored, Batch], None]


def consume_once(log: EventLog, store: Records, *, limit: int, now: Now) -> tuple[Stored, Batch] | None:
    """Carry up to `limit` events over; None when there were none."""
    logged = log.read(after=store.position(CONSUMER), limit=limit)
    if not logged:
        return None
    batch = apply(logged, origin=ORIGIN, now=now())
    return store.commit(batch, consumer=CONSUMER, position=logged[-1].position), batch


def consume(
    log: EventLog,
    store: Records,
    *,
    limit: int,
    now: Now,
    stop: threading.Event,
    idle_seconds: float,
    observe: Observe,
) -> None:
    """Carry events over until `stop` is set. Outages of the log or the store are waited out; no event is skipped."""
    pause = idle_seconds
    while not stop.is_set():
        try:
            carried = consume_once(log, store, limit=limit, now=now)
        except (StoreUnavailable, EventLogUnavailable) as error:
            logger.warning("%s: %s; trying again in %.1f s", error.code, error, pause)
            stop.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            continue
        pause = idle_seconds
        if carried is None:
            stop.wait(idle_seconds)
        else:
            observe(*carried)
