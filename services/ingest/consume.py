"""From the event log into the record store, each event exactly once.

At-least-once reading, unique ids and a position that commits together with the rows: whatever dies in between, the
next round reads the same events again and the store ignores what it has. What cannot be stored holds up nobody: see
`keep`.
"""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from services.core.clock import Now
from services.core.errors import LostPosition, PositionLost, StoreFailed, StoreUnavailable
from services.core.ports import Records
from services.core.records import Batch, Stored
from services.core.transport import EventSource, Portion
from services.ingest.keep import Evidence, keep
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

    def store_is(self, *, there: bool) -> None:
        """What was read could be stored, or could not; where there was nothing to store, the store was asked."""
        ...


def consume_once(
    source: EventSource,
    store: Records,
    *,
    limit: int,
    now: Now,
    observer: Observer,
    evidence: Evidence | None = None,
) -> bool:
    """Carry about `limit` events over, and tell what each commit did; returns whether there may be more.

    A portion that fails for an unknown reason holds up no other one. `evidence` is kept from call to call.
    """
    evidence = evidence or Evidence()
    failed: StoreFailed | None = None
    try:
        portions = source.read(limit=limit)
        for portion in portions:
            began = evidence.monotonic()
            try:
                _carry(portion, source, store, now=now, observer=observer, evidence=evidence)
            except StoreFailed as error:
                if not evidence.took_some_since(began):
                    raise
                failed = error
    except PositionLost as lost:
        logger.warning("%s", lost)
        if lost.restart_at is not None:
            store.rewind(lost.partition, position=lost.restart_at)
        observer.position_reset(lost.reason)
        return True
    if failed is not None:
        raise failed
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
    alive: Callable[[], None] = lambda: None,
    nothing_found: Callable[[], None] = lambda: None,
) -> None:
    """Carry events over until `stop` is set. Outages of the log or the store are waited out; no event is skipped.

    `each_round` is called before every look for events, and `alive` between two steps of a long one, so that somebody
    notices when that stops; `nothing_found` after a look that had nothing to store. Behind a failure that may be an
    event's fewer are read at once, until all goes well again.
    """
    evidence, at_once = Evidence(alive=alive), limit

    def look() -> bool:
        nonlocal at_once
        each_round()
        try:
            found = consume_once(source, store, limit=at_once, now=now, observer=observer, evidence=evidence)
        except StoreUnavailable as error:
            observer.store_is(there=False)
            if isinstance(error, StoreFailed):
                at_once = max(1, at_once // 4)
            raise
        at_once = min(limit, 2 * at_once)
        if found:
            observer.store_is(there=True)
        else:
            nothing_found()
        return found

    keep_going(look, stop=stop, idle_seconds=idle_seconds)


def _carry(
    portion: Portion, source: EventSource, store: Records, *, now: Now, observer: Observer, evidence: Evidence
) -> None:
    stored, batch = keep(portion, store=store, bury=source.bury, now=now(), evidence=evidence)
    source.kept(portion)
    observer.consumed(stored, batch)
    if portion.expired:
        logger.error("%s: the log no longer has %d events that were not stored", portion.partition, portion.expired)
        observer.expired(portion.expired)
