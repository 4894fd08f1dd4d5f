"""What was read or sent before, once more: for a store or a broker that has lost what it had.

Whoever has an event already ignores it, so more than what is missing may come.
"""

from datetime import datetime

from services.core.ports import EventLog, Records
from services.core.transport import EventSink, EventSource, Outbox


def read_again(source: EventSource, store: Records, *, since: datetime) -> dict[str, int]:
    """Let consumers begin at what the log has taken since this moment; returns where each partition begins.

    Consumers that are at work notice with their next batch.
    """
    positions = source.positions_before(since)
    for partition, position in positions.items():
        store.rewind(partition, position=position)
    return positions


def send_again(log: EventLog, outbox: Outbox, sink: EventSink, *, since: datetime) -> int:
    """Let the forwarder begin at what was appended since this moment; returns where it does."""
    destination = sink.destination()
    position = min(outbox.forwarded(destination), log.position_before(since))
    outbox.forward_to(destination, position)
    return position
