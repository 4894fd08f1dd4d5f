"""The file of the local log: opened by every process that uses it, and opened anew when it was removed meanwhile."""

import contextlib
import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from services.adapters.sqlite_files import FileWatch, ThreadConnections, is_damaged, set_orphaned_journals_aside
from services.adapters.sqlite_reading import Readable
from services.adapters.turns import turn
from services.core.errors import EventLogUnavailable
from services.core.events import OUTCOME_OBSERVED

# A reader's or writer's patience with SQLite's own locks; turns between writers are taken on the lock file.
BUSY_SECONDS: Final = 10.0

LOOK_SECONDS: Final = 0.05
"""How often a busy writer looks whether its file was removed: a look takes a twentieth of what a commit does, and
readers stay with a removed file for far longer."""
DRAIN_SECONDS: Final = 2.0
"""How long a reader stays with a file that was removed: it reads to its end what writers still put there."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    source TEXT NOT NULL,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    time INTEGER NOT NULL,
    data BLOB NOT NULL,
    appended_at INTEGER NOT NULL DEFAULT 0
)
"""
# What is known of a prediction's outcomes is looked up before each of them. Predictions, which are most of the log, are
# not in it and cost nothing more.
_OUTCOMES_INDEX: Final = f"""
CREATE INDEX IF NOT EXISTS outcomes_by_prediction ON events (source, key, time) WHERE type = '{OUTCOME_OBSERVED}'
"""
_FORWARDED_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS forwarded (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    destination TEXT NOT NULL,
    position INTEGER NOT NULL
)
"""
_IDENTITY_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS identity (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL
)
"""

logger = logging.getLogger(__name__)


class EventLogFile:
    """Connections of one process to the log's file. Threads: every method may be called from any thread."""

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Opens the log, and makes one where there is none."""
        self.path = path
        self._monotonic = monotonic
        self._connections = ThreadConnections(path, synchronous="FULL", busy_seconds=BUSY_SECONDS)
        self._opening = threading.Lock()
        self._gone_at: float | None = None
        self._drained = False
        self._looked_at: float | None = None
        with self.translated():
            self._open()

    def writer(self) -> sqlite3.Connection:
        """Of the file that has the name now, or had it `LOOK_SECONDS` ago."""
        now = self._monotonic()
        if self._looked_at is None or now - self._looked_at >= LOOK_SECONDS:
            if self._watch.has_changed():
                self._open_again()
            self._looked_at = now
        return self._connections.get()

    def reader(self) -> sqlite3.Connection:
        """Of the file that was opened, until what is left in it has been read."""
        if self._gone_at is None and self._watch.has_changed():
            self._gone_at, self._drained = self._monotonic(), False
        if self._gone_at is not None and self._drained and self._monotonic() - self._gone_at >= DRAIN_SECONDS:
            self._open_again()
        return self._connections.get()

    def drained(self) -> None:
        """A reader found nothing more."""
        self._drained = True

    def turn(self) -> contextlib.AbstractContextManager[None]:
        """This process's turn to write."""
        return turn(self._lock)

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """The driver's errors in our words."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise EventLogUnavailable(f"event log {self.path}: {error}; {self._remedy(error)}") from error

    def close(self) -> None:
        self._connections.close()

    def _remedy(self, error: Exception) -> str:
        return _remedy(self.path, error)

    def _open(self) -> None:
        self._lock = self.path.with_name(self.path.name + ".turn").open("ab")
        with self.turn():
            set_orphaned_journals_aside(self.path)
            _create(self._connections.get())
            self._watch = FileWatch(self.path)

    def _open_again(self) -> None:
        with self._opening:
            if not self._watch.has_changed():
                return
            self._watch.await_rest()
            self._watch.require_own_journal()
            logger.error("event log %s was removed or replaced while it was open; opening it again", self.path)
            if self._watch.lost_its_journal_alone():
                self._save_journal()
            self._connections.renew()
            self._gone_at = None
            self._open()

    def _save_journal(self) -> None:
        """What was committed into the journal goes into the file, before another journal takes its name."""
        busy, *_ = self._connections.get().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise OSError("its journal was removed while it was open, and somebody still reads it; try again")


class EventLogFileToRead:
    """The same for a reader that changes nothing: the file as it is, or a copy where it cannot be read in its place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise EventLogUnavailable(
                f"event log {path} does not exist: nothing was ever appended in this home; name the service's home "
                "with --home or BELLWETHER_HOME"
            )
        with self.translated():
            self._readable = Readable(path)
            self._connection = self._readable.connect()

    def writer(self) -> sqlite3.Connection:
        """What a writer looks into: the same, since nobody writes."""
        return self._connection

    def reader(self) -> sqlite3.Connection:
        return self._connection

    def drained(self) -> None:
        """What was there is all there is."""

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise EventLogUnavailable(f"event log {self.path}: {error}; {_remedy(self.path, error)}") from error

    def close(self) -> None:
        self._connection.close()
        self._readable.close()


def _remedy(path: Path, error: Exception) -> str:
    if is_damaged(error):
        return (
            "stop every process that uses it and restore a copy; remove "
            f"{path.name}-wal and {path.name}-shm first, which belong to the file that was there before"
        )
    if "no such table" in str(error):
        return "it is no log of this version; `bellwether serve` of this version brings it up to date"
    return "look at the disk and its rights"


def _create(connection: sqlite3.Connection) -> None:
    """A log of an earlier version does not know when its events were appended, and has neither an id nor the index."""
    connection.execute(_SCHEMA)
    connection.execute(_OUTCOMES_INDEX)
    connection.execute(_FORWARDED_SCHEMA)
    connection.execute(_IDENTITY_SCHEMA)
    connection.execute("INSERT OR IGNORE INTO identity VALUES (1, ?)", (str(uuid.uuid4()),))
    if "appended_at" not in {name for _, name, *_ in connection.execute("PRAGMA table_info(events)")}:
        connection.execute("ALTER TABLE events ADD COLUMN appended_at INTEGER NOT NULL DEFAULT 0")
