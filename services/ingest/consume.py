"""From the event log into the record store, each event exactly once.

At-least-once reading, unique ids and a position that commits together with the rows: whatever dies in between, the
next round reads the same events again and the store ignores what it has. What cannot be stored holds up nobody: see
`keep`.
"""

import threading
from collections.abc import Callable

from services.core.clock import Now
from services.core.ports import Records
from services.core.records import Batch, Stored
from services.core.transport import EventSource
from services.ingest.keep import keep
from services.ingest.rounds import keep_going

Observe = Callable[[Stored, Batch], None]


def consume_once(source: EventSource, store: Records, *, limit: int, now: Now, observe: Observe) -> bool:
    """Carry about `limit` events over, and tell what each commit did; returns whether there were any."""
    portions = source.read(limit=limit)
    for portion in portions:
        stored, batch = keep(source, store, portion, now=now())
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

    def look() -> bool:
        each_round()
        return consume_once(source, store, limit=limit, now=now, observe=observe)

    keep_going(look, stop=stop, idle_seconds=idle_seconds)
