"""The local log on its way somewhere else: how far it has come, and how much of it waits."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from services.adapters.event_log_sqlite import BUSY_SECONDS, EventLogSqlite
from services.adapters.sqlite_files import ThreadConnections
from services.adapters.turns import turn
from services.core.clock import from_microseconds, to_microseconds
from services.core.errors import EventLogUnavailable
from services.core.events import LoggedEvent
from services.core.transport import Unsent

LOOK_SECONDS: Final = 0.1
"""Between two looks at how full the outbox is: a limit of thousands may be passed by what comes in so long a time."""

_FORWARDED: Final = "coalesce((SELECT position FROM forwarded), 0)"
_WAITING: Final = f"coalesce((SELECT max(position) FROM events), 0) - {_FORWARDED}"
_FIRST: Final = "SELECT appended_at FROM events ORDER BY position LIMIT 1"
_PRUNE: Final = f"""
DELETE FROM events WHERE position IN (
    WITH oldest AS (SELECT position, appended_at FROM events WHERE position <= {_FORWARDED} ORDER BY position LIMIT ?)
    SELECT position FROM oldest WHERE appended_at < ?
)
"""
_OLDEST: Final = f"SELECT nullif(appended_at, 0) FROM events WHERE position > {_FORWARDED} ORDER BY position LIMIT 1"


class OutboxSqlite:
    """See `services.core.transport.Outbox`. The position stands in the log's own file, and is synced as events are."""

    def __init__(self, path: Path, log: EventLogSqlite) -> None:
        self._path = path
        self._log = log
        self._connections = ThreadConnections(path, synchronous="FULL", busy_seconds=BUSY_SECONDS)
        self._turn = path.with_name(path.name + ".turn").open("ab")

    def read(self, *, after: int, limit: int) -> list[LoggedEvent]:
        return self._log.read(after=after, limit=limit)

    def forwarded(self, destination: str) -> int:
        query = "SELECT position FROM forwarded WHERE destination = ?"
        with self._translated():
            row = self._connections.get().execute(query, (destination,)).fetchone()
        return 0 if row is None else int(row[0])

    def forward_to(self, destination: str, position: int) -> None:
        statement = "INSERT OR REPLACE INTO forwarded VALUES (1, ?, ?)"
        with self._translated(), turn(self._turn):
            self._connections.get().execute(statement, (destination, position))

    def unsent(self) -> Unsent:
        with self._translated():
            connection = self._connections.get()
            waiting = connection.execute(f"SELECT {_WAITING}").fetchone()[0]
            oldest = connection.execute(_OLDEST).fetchone()
        appended_at = oldest[0] if oldest else None
        return Unsent(events=max(0, waiting), oldest_at=None if appended_at is None else from_microseconds(appended_at))

    def prune(self, *, before: datetime, limit: int) -> int:
        moment = to_microseconds(before)
        with self._translated():
            first = self._connections.get().execute(_FIRST).fetchone()
            if first is None or first[0] >= moment:
                return 0
            with turn(self._turn):
                return self._connections.get().execute(_PRUNE, (limit, moment)).rowcount

    def close(self) -> None:
        self._turn.close()
        self._log.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise EventLogUnavailable(f"outbox {self._path}: {error}; look at the disk and its rights") from error


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
