"""The local log on its way somewhere else: how far it has come, and how much of it waits."""

import sqlite3
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from services.adapters.event_log_sqlite import EventLogSqlite, EventLogToRead
from services.adapters.sqlite_files import give_back, pages_to_give_back, transaction
from services.core.clock import from_microseconds, to_microseconds
from services.core.errors import EventLogUnavailable
from services.core.events import LoggedEvent
from services.core.transport import Unsent

LOOK_SECONDS: Final = 0.1
"""Between two looks at how full the outbox is: a limit of thousands may be passed by what comes in so long a time."""

_FORWARDED: Final = "coalesce((SELECT position FROM forwarded), 0)"
_WAITING: Final = f"coalesce((SELECT max(position) FROM events), 0) - {_FORWARDED}"
_FIRST: Final = "SELECT appended_at FROM events ORDER BY position LIMIT 1"
# An event that was appended by a clock ahead of its time is as old as the next one behind it that is old enough.
_PRUNE: Final = """
DELETE FROM events WHERE position IN (
    WITH oldest AS (SELECT position, appended_at FROM events WHERE position < :below ORDER BY position LIMIT :limit),
    last AS (SELECT max(position) AS position FROM oldest WHERE appended_at < :before)
    SELECT oldest.position FROM oldest, last
    WHERE oldest.appended_at < :before OR (oldest.appended_at > :now AND oldest.position < last.position)
)
"""
_OLDEST: Final = f"SELECT nullif(appended_at, 0) FROM events WHERE position > {_FORWARDED} ORDER BY position LIMIT 1"


class OutboxToRead:
    """How far the log has come, for who changes nothing."""

    def __init__(self, log: EventLogSqlite | EventLogToRead) -> None:
        self._to_read = log

    def forwarded(self, destination: str) -> int:
        query = "SELECT position FROM forwarded WHERE destination = ?"
        with self._to_read.file.translated():
            row = self._to_read.file.reader().execute(query, (destination,)).fetchone()
        return 0 if row is None else int(row[0])

    def close(self) -> None:
        self._to_read.close()


class OutboxSqlite(OutboxToRead):
    """See `services.core.transport.Outbox`. The position stands in the log's own file, and is synced as events are."""

    def __init__(self, log: EventLogSqlite) -> None:
        super().__init__(log)
        self._log = log
        self._file = log.file

    def read(self, *, after: int, limit: int) -> list[LoggedEvent]:
        return self._log.read(after=after, limit=limit)

    def forward_to(self, destination: str, position: int, *, start: int | None = None) -> None:
        with self._file.translated():
            connection = self._file.reader()
            with self._file.turn():
                if start is None or self.forwarded(destination) == start:
                    connection.execute("INSERT OR REPLACE INTO forwarded VALUES (1, ?, ?)", (destination, position))

    def unsent(self) -> Unsent:
        with self._file.translated():
            connection = self._file.reader()
            waiting = connection.execute(f"SELECT {_WAITING}").fetchone()[0]
            oldest = connection.execute(_OLDEST).fetchone()
        appended_at = oldest[0] if oldest else None
        return Unsent(events=max(0, waiting), oldest_at=None if appended_at is None else from_microseconds(appended_at))

    def prune(self, *, before: datetime, now: datetime, below: int, limit: int) -> int:
        moment = to_microseconds(before)
        with self._file.translated():
            connection = self._file.reader()
            first = connection.execute(_FIRST).fetchone()
            is_young = first is None or moment <= first[0] <= to_microseconds(now)
            if is_young and not pages_to_give_back(connection):
                return 0
            named = {"below": below, "limit": limit, "before": moment, "now": to_microseconds(now)}
            with self._file.turn(), transaction(connection):
                gone = 0 if is_young else connection.execute(_PRUNE, named).rowcount
                if pages := pages_to_give_back(connection):
                    give_back(connection, pages)
                return gone


def refuse_beyond(
    limit: int, *, monotonic: Callable[[], float] = time.monotonic
) -> Callable[[sqlite3.Connection], None]:
    """What an `EventLogSqlite` asks before it appends: raises `EventLogUnavailable` while `limit` events wait."""
    waiting, look_at = 0, 0.0

    def require_room(connection: sqlite3.Connection) -> None:
        nonlocal waiting, look_at
        if monotonic() >= look_at:
            waiting = int(connection.execute(f"SELECT {_WAITING}").fetchone()[0])
            look_at = monotonic() + LOOK_SECONDS
        if waiting >= limit:
            raise EventLogUnavailable(
                f"{waiting} events wait to be forwarded and the limit is {limit}; "
                "look at the broker and the forwarder, or raise BELLWETHER_OUTBOX_LIMIT"
            )

    return require_room
