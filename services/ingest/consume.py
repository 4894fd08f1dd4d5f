"""From the event log into the record store, each event exactly once.

At-least-once reading, unique ids and a position that commits together with the rows: whatever dies in between, the
next round reads the same events again and the store ignores what it has.
"""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from services.core.clock import Now
from services.core.errors import LostPosition, PositionLost
from services.core.ports import Records
from services.core.records import Batch, Stored
from services.core.transport import EventSource, Portion
from services.ingest.apply import apply
from services.ingest.rounds import keep_going

logger = logging.getLogger(__name__)


class Observer(Protocol):
    """Hears of what a consumer did, to count it."""

    def consumed(self, stored: Stored, batch: Batch) -> None:
        """A batch was committed."""
        ...

    def expired(self, events: int) -> None:
        """The log had lost so many events before the consumer came to them."""
        ...

    def position_reset(self, reason: LostPosition) -> None:
        """Reading began again."""
        ...


def consume_once(source: EventSource, store: Records, *, limit: int, now: Now, observer: Observer) -> bool:
    """Carry about `limit` events over, and tell what each commit did; returns whether there may be more."""
    try:
        portions = source.read(limit=limit)
        for portion in portions:
            _carry(portion, source, store, now=now, observer=observer)
    except PositionLost as lost:
        logger.warning("%s", lost)
        if lost.restart_at is not None:
            store.rewind(lost.partition, position=lost.restart_at)
        observer.position_reset(lost.reason)
        return True
    return bool(portions)


def consume(
    source: EventSource,
    store: Records,
    *,
    limit: int,
    now: Now,
    stop: threading.Event,
    idle_seconds: float,
    observer: Observer,
    each_round: Callable[[], None],
) -> None:
    """Carry events over until `stop` is set. Outages of the log or the store are waited out; no event is skipped.

    `each_round` is called before every look for events, so that somebody notices when that stops.
    """

    def look() -> bool:
        each_round()
        return consume_once(source, store, limit=limit, now=now, observer=observer)

    keep_going(look, stop=stop, idle_seconds=idle_seconds)


def _carry(portion: Portion, source: EventSource, store: Records, *, now: Now, observer: Observer) -> None:
    batch = apply(portion.events, origin=portion.origin, now=now())
    batch.dead_letters.extend(portion.dead_letters)
    source.bury(portion, batch.dead_letters)
    stored = store.commit(
        batch,
        consumer=portion.partition,
        start=portion.start,
        position=portion.position,
        last_event=portion.last_event,
    )
    source.kept(portion)
    observer.consumed(stored, batch)
    if portion.expired:
        logger.error("%s: the log no longer has %d events that were not stored", portion.partition, portion.expired)
        observer.expired(portion.expired)
