"""From the local log to where consumers read, each event at least once.

The position moves only when the destination has every event before it for good: a forwarder that dies in between
delivers some of them again, and the store ignores what it has.
"""

import threading
from collections.abc import Callable

from services.core.transport import EventSink, Outbox
from services.ingest.rounds import keep_going


def forward_once(outbox: Outbox, sink: EventSink, *, limit: int) -> int:
    """Deliver up to `limit` events, and move the position behind them; returns how many there were."""
    destination = sink.destination()
    start = outbox.forwarded(destination)
    logged = outbox.read(after=start, limit=limit)
    if logged:
        sink.deliver([each.event for each in logged])
        outbox.forward_to(destination, logged[-1].position, start=start)
    return len(logged)


def forward(
    outbox: Outbox,
    sink: EventSink,
    *,
    limit: int,
    stop: threading.Event,
    idle_seconds: float,
    observe: Callable[[int], None],
    each_round: Callable[[], None],
) -> None:
    """Deliver events until `stop` is set. A destination that is away is waited for; no event is skipped.

    No more than `limit` events are in memory. `each_round` is called before every look for events.
    """

    def look() -> int:
        each_round()
        delivered = forward_once(outbox, sink, limit=limit)
        observe(delivered)
        return delivered

    keep_going(look, stop=stop, idle_seconds=idle_seconds)
