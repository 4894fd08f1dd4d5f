"""The account: every appended event is stored, dead-lettered, or still on its way."""

from typing import Final

import msgspec

from services.core.ports import EventLog, Records
from services.ingest.local import partition_of

IDS_AT_ONCE: Final = 10_000
EXAMPLES: Final = 10


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of distinct events. `unaccounted` were passed by the consumers and are nowhere; some are named."""

    appended: int
    stored: int
    dead_lettered: int
    in_flight: int
    duplicates_stored: int
    unaccounted: int
    examples: list[str]


def audit(log: EventLog, store: Records, *, passed: int | None = None) -> Account:
    """Look up every event of the log in the store, by id, a portion at a time.

    Args:
        passed: the position up to which the consumers have passed every event (see `Passage`); by default what the
            consumer of the local log has. It is known before the look-ups begin, so consumers that work meanwhile can
            only turn "in flight" into "stored".
    """
    position = store.position(partition_of(log)) if passed is None else passed
    appended = stored = dead = in_flight = 0
    missing: list[str] = []
    unaccounted = after = 0
    while portion := log.ids(after=after, limit=IDS_AT_ONCE):
        ids = [event_id for _, event_id in portion]
        in_store, in_dead = store.stored_event_ids(ids), store.dead_event_ids(ids)
        accounted = in_store | in_dead
        elsewhere = [(at, event_id) for at, event_id in portion if event_id not in accounted]
        lost = [event_id for at, event_id in elsewhere if at <= position]
        appended += len(ids)
        stored += len(in_store)
        dead += len(in_dead - in_store)
        in_flight += len(elsewhere) - len(lost)
        unaccounted += len(lost)
        missing += lost[: EXAMPLES - len(missing)]
        after = portion[-1][0]
    return Account(
        appended=appended,
        stored=stored,
        dead_lettered=dead,
        in_flight=in_flight,
        duplicates_stored=store.stored_twice(),
        unaccounted=unaccounted,
        examples=missing,
    )
