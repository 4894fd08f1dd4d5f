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
from services.core.ports import Records
from services.core.records import Batch, Stored
from services.core.transport import EventSource
from services.ingest.apply import apply

# A store that is down comes back in seconds or in hours; a look every five seconds is enough for the latter.
LONGEST_PAUSE_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)
Observe = Callable[[Stored, Batch], None]


def consume_once(source: EventSource, store: Records, *, limit: int, now: Now, observe: Observe) -> bool:
    """Carry about `limit` events over, and tell what each commit did; returns whether there were any."""
    portions = source.read(limit=limit)
    for portion in portions:
        batch = apply(portion.events, origin=portion.origin, now=now())
        batch.dead_letters.extend(portion.dead_letters)
        source.bury(portion, batch.dead_letters)
        stored = store.commit(batch, consumer=portion.partition, position=portion.position)
        source.kept(portion)
        observe(stored, batch)
    return bool(portions)


def consume(
    source: EventSource,
    store: Records,
    *,
    limit: int,
    now: Now,
    stop: threading.Event,
    idle_seconds: float,
    observe: Observe,
    each_round: Callable[[], None],
) -> None:
    """Carry events over until `stop` is set. Outages of the log or the store are waited out; no event is skipped.

    `each_round` is called before every look for events, so that somebody notices when that stops.
    """
    pause = idle_seconds
    while not stop.is_set():
        try:
            each_round()
            carried = consume_once(source, store, limit=limit, now=now, observe=observe)
        except (StoreUnavailable, EventLogUnavailable) as error:
            logger.warning("%s: %s; trying again in %.1f s", error.code, error, pause)
            stop.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            continue
        pause = idle_seconds
        if not carried:
            stop.wait(idle_seconds)
