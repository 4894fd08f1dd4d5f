"""The event log in one SQLite file, appended to by every worker of a machine.

A writer thread per process takes whatever has queued up, commits it in one transaction, and then resolves every
future that waited for it: one sync to disk serves many requests.
"""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

from services.adapters.event_log_file import EventLogFile, EventLogFileToRead
from services.core.clock import from_microseconds, to_microseconds
from services.core.errors import ContentRefused, EventLogUnavailable
from services.core.events import OUTCOME_OBSERVED, Event, LoggedEvent, source_of
from services.core.ports import Appended, Settled

# 500 events of 2 kB are a megabyte: one sync then costs more than the next group would wait for.
GROUP: Final = 500

CONTENT: Final = (ValueError, OverflowError, TypeError, sqlite3.DataError, sqlite3.ProgrammingError)
"""What is raised for a value that cannot be written: a time without a zone, a lone surrogate, more bytes than a row of
SQLite holds, another type. Everything else is about the file and its disk, which the same event may pass later."""

_COLUMNS: Final = "id, type, source, topic, key, time, data"
# The type is in the text, so that SQLite sees that its index of outcomes will do.
_LATEST_OUTCOMES: Final = (
    f"SELECT position, {_COLUMNS} FROM events WHERE type = '{OUTCOME_OBSERVED}' AND source = ? AND key = ? "
    "AND position < ? ORDER BY time DESC, position DESC LIMIT 30"
)
LAST_POSITION: Final = 2**63 - 1
_ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?)"

_Pending = tuple[Sequence[Event], Future[list[Settled]]]
RequireRoom = Callable[[sqlite3.Connection], None]


class _Read:
    """What a log is asked for, over the connections of its file."""

    file: EventLogFile | EventLogFileToRead

    def identity(self) -> str:
        with self.file.translated():
            return str(self.file.reader().execute("SELECT id FROM identity").fetchone()[0])

    def find(self, event_id: str) -> Event | None:
        with self.file.translated():
            row = self.file.writer().execute(f"SELECT {_COLUMNS} FROM events WHERE id = ?", (event_id,)).fetchone()
        return None if row is None else _event(row)

    def latest_outcomes(self, model: str, prediction_id: str, *, before: int | None = None) -> list[LoggedEvent]:
        about = (source_of(model), prediction_id, LAST_POSITION if before is None else before)
        with self.file.translated():
            rows = self.file.writer().execute(_LATEST_OUTCOMES, about).fetchall()
        found = [LoggedEvent(row[0], _event(row[1:])) for row in rows]
        return [each for each in found if each.event.time == found[0].event.time]

    def read(self, *, after: int, limit: int) -> list[LoggedEvent]:
        query = f"SELECT position, {_COLUMNS} FROM events WHERE position > ? ORDER BY position LIMIT ?"
        with self.file.translated():
            rows = self.file.reader().execute(query, (after, limit)).fetchall()
        if not rows:
            self.file.drained()
        return [LoggedEvent(row[0], _event(row[1:])) for row in rows]

    def ids(self, *, after: int, limit: int) -> list[tuple[int, str]]:
        query = "SELECT position, id FROM events WHERE position > ? ORDER BY position LIMIT ?"
        with self.file.translated():
            return self.file.reader().execute(query, (after, limit)).fetchall()

    def end(self) -> int:
        with self.file.translated():
            row = self.file.reader().execute("SELECT max(position) FROM events").fetchone()
        return int(row[0] or 0)

    def position_before(self, moment: datetime) -> int:
        first = "SELECT min(position) FROM events WHERE appended_at >= ?"
        with self.file.translated():
            row = self.file.reader().execute(first, (to_microseconds(moment),)).fetchone()
        return self.end() if row[0] is None else int(row[0]) - 1


class EventLogToRead(_Read):
    """A log that is read and left exactly as it is. Raises `EventLogUnavailable` where there is none."""

    def __init__(self, path: Path) -> None:
        self.file: EventLogFileToRead = EventLogFileToRead(path)

    def append(self, *events: Event) -> Future[list[Settled]]:
        future: Future[list[Settled]] = Future()
        future.set_result([EventLogUnavailable(f"event log {self.file.path} is open for reading") for _ in events])
        return future

    def close(self) -> None:
        self.file.close()


class EventLogSqlite(_Read):
    """See `services.core.ports.EventLog`.

    Durability: WAL with `synchronous=FULL`. Order: `AUTOINCREMENT` positions are given inside the write transaction,
    and transactions are serial, so positions rise in the order of commits. `require_room` is asked before each commit,
    and raises `EventLogUnavailable` when there is none.
    """

    def __init__(
        self,
        path: Path,
        *,
        require_room: RequireRoom | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.file: EventLogFile = EventLogFile(path, monotonic=monotonic)
        self._require_room = require_room
        self._queue: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._closed = False
        self._closing = threading.Lock()
        self._writer = threading.Thread(target=self._write, name="event-log-writer", daemon=True)
        self._writer.start()

    def append(self, *events: Event) -> Future[list[Settled]]:
        future: Future[list[Settled]] = Future()
        with self._closing:
            if not self._closed:
                self._queue.put((events, future))
                return future
        future.set_result([EventLogUnavailable(f"event log {self.file.path} is closed") for _ in events])
        return future

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._writer.join()
        self.file.close()

    def _write(self) -> None:
        open_for_more = True
        while open_for_more:
            group, open_for_more = self._next_group()
            if group:
                self._settle(group)
        self.file.close()

    def _next_group(self) -> tuple[list[_Pending], bool]:
        """What waits, without what its caller has given up; and whether more can come."""
        group: list[_Pending] = []
        size = 0
        pending = self._queue.get()
        while pending is not None:
            events, future = pending
            if future.set_running_or_notify_cancel():  # from here on it can no longer be given up
                group.append(pending)
                size += len(events)
            if size >= GROUP or self._queue.empty():
                return group, True
            pending = self._queue.get()
        return group, False

    def _settle(self, group: list[_Pending]) -> None:
        settled = iter(self._settled([event for events, _ in group for event in events]))
        for events, future in group:
            future.set_result(list(islice(settled, len(events))))

    def _settled(self, events: list[Event]) -> list[Settled]:
        """Refuses them all when the disk does; an event that cannot be written for what it holds is refused alone."""
        try:
            return [*self._commit(events)]
        except CONTENT as error:
            if len(events) > 1:
                return [each for event in events for each in self._settled([event])]
            return [ContentRefused(f"event log {self.file.path} refuses event {events[0].id[:64]!r}: {error}")]
        except Exception as error:  # noqa: BLE001 - the edge of the writer thread: every waiting request gets the reason
            why = f"event log {self.file.path}: {error}; the event was not appended"
            return [EventLogUnavailable(why) for _ in events]

    def _commit(self, events: list[Event]) -> list[Appended]:
        """All in one statement, which SQLite commits by itself.

        The interpreter's lock is handed over at each statement, and under load it comes back milliseconds later.
        """
        if not events:
            return []
        now = time.time_ns() // 1000
        rows = [value for event in events for value in (*_row(event), now)]
        statement = f"INSERT OR IGNORE INTO events ({_COLUMNS}, appended_at) VALUES {', '.join([_ROW] * len(events))}"
        connection = self.file.writer()
        if self._require_room is not None:
            self._require_room(connection)
        with self.file.turn():
            cursor = connection.execute(statement, rows)
            if cursor.rowcount < len(events):
                return _some_existed(connection, events, inserted=cursor.rowcount)
        last = cursor.lastrowid or 0
        return [Appended(position) for position in range(last - len(events) + 1, last + 1)]


def _some_existed(connection: sqlite3.Connection, events: list[Event], *, inserted: int) -> list[Appended]:
    """While the turn is held the newest `inserted` positions are the new ones; an id that stands twice is new once."""
    newest = connection.execute("SELECT position FROM events ORDER BY position DESC LIMIT ?", (inserted,))
    new = {position for (position,) in newest}
    appended = []
    for event in events:
        row = connection.execute(f"SELECT position, {_COLUMNS} FROM events WHERE id = ?", (event.id,)).fetchone()
        appended.append(Appended(row[0], None if row[0] in new else _event(row[1:])))
        new.discard(row[0])
    return appended


def _row(event: Event) -> tuple[str, str, str, str, str, int, bytes]:
    return (event.id, event.type, event.source, event.topic, event.key, to_microseconds(event.time), event.data)


def _event(row: tuple[str, str, str, str, str, int, bytes]) -> Event:
    identity, kind, source, topic, key, time, data = row
    return Event(
        id=identity,
        type=kind,
        source=source,
        topic=topic,
        key=key,
        time=from_microseconds(time),
        data=data,
    )
