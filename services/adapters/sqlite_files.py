"""What the adapters that keep a SQLite file of their own have in common."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

JOURNALS: Final = ("-wal", "-shm")
"""What SQLite keeps beside a file in WAL mode, by the end of the name."""
REST_SECONDS: Final = 0.25
"""A command that removes a file and its journals takes milliseconds, also on a busy machine."""

_GIVES_ROOM_BACK: Final = "PRAGMA auto_vacuum = INCREMENTAL"
"""Asked of every connection. It makes a difference to a file that has no table yet, and to one that is rewritten."""
_INCREMENTAL: Final = 2
PAGES_AT_ONCE: Final = 256
"""A megabyte is moved to the front of the file within some milliseconds, for which writers wait."""
SPARE_PAGES: Final = 1024
SPARE_SHARE: Final = 0.1
"""Of the file, for the rows that come next: what is given back only to be asked for again is moved for nothing."""


class ThreadConnections:
    """A connection per thread to one file in WAL mode; SQLite's own are not to be shared.

    Statements commit one by one outside of `transaction`. `synchronous` is FULL where a commit has to survive a loss of
    power, NORMAL where it has to survive no more than the process.
    """

    def __init__(self, path: Path, *, synchronous: Literal["FULL", "NORMAL"], busy_seconds: float) -> None:
        self._path = path
        self._synchronous = synchronous
        self._busy_seconds = busy_seconds
        self._local = threading.local()
        self._generation = 0

    def get(self) -> sqlite3.Connection:
        """This thread's connection. Raises `sqlite3.Error`."""
        if getattr(self._local, "generation", None) != self._generation:
            self.close()
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._opened()
            self._local.generation = self._generation
        return connection

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=self._busy_seconds, isolation_level=None)
        let_room_be_given_back(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        return connection

    def renew(self) -> None:
        """Let every thread open the file anew the next time that it asks."""
        self._generation += 1

    def close(self) -> None:
        """Close this thread's connection; the next `get` opens another."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            del self._local.connection


def let_room_be_given_back(connection: sqlite3.Connection) -> None:
    """Of a new file; of an old one, the setting would write into the file at each opening and change nothing."""
    if not connection.execute("PRAGMA page_count").fetchone()[0]:
        connection.execute(_GIVES_ROOM_BACK)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit everything inside together, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has already rolled it back
            connection.execute("ROLLBACK")
        raise


def pages_to_give_back(connection: sqlite3.Connection) -> int:
    """How many of its empty pages the file may lose now; 0 for one that was made without the means.

    The cost does not grow with the file.
    """
    facts = ("auto_vacuum", "freelist_count", "page_count")
    mode, free, pages = (int(connection.execute(f"PRAGMA {fact}").fetchone()[0]) for fact in facts)
    spare = max(SPARE_PAGES, int(pages * SPARE_SHARE))
    return min(PAGES_AT_ONCE, max(0, free - spare)) if mode == _INCREMENTAL else 0


def give_back(connection: sqlite3.Connection, pages: int) -> None:
    """Within a transaction. The disk has the room once the journal has been written into the file."""
    for _ in range(pages):
        # One by one: of a statement without columns the driver takes the first step alone, which is a page.
        connection.execute("PRAGMA incremental_vacuum(1)")


def is_damaged(error: BaseException | None) -> bool:
    """Whether SQLite says so. Extended codes such as SQLITE_CORRUPT_INDEX have the primary one in their lowest byte."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class FileWatch:
    """Notices when a file that is open was removed, moved away, or replaced by another under its name.

    Its open connections would go on with a file that nobody else can find.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Kept as strings: they are asked for before each commit, and to build a path takes longer than to ask.
        self._name, self._journal_name = str(path), str(_beside(path, "-wal"))
        self._opened = _inode(self._name)
        self._journal = _inode(self._journal_name)

    def has_changed(self) -> bool:
        """Also when the journal alone is gone: what is committed into it is seen by nobody else."""
        return _inode(self._name) != self._opened or _inode(self._journal_name) != self._journal

    def await_rest(self) -> None:
        """Return when nobody has removed or made any of the files for a moment: they are removed one by one."""
        seen, since = self._files(), time.monotonic()
        while time.monotonic() - since < REST_SECONDS:
            time.sleep(REST_SECONDS / 10)
            if (now := self._files()) != seen:
                seen, since = now, time.monotonic()

    def lost_its_journal_alone(self) -> bool:
        return _inode(self._name) == self._opened and _inode(self._journal_name) is None

    def require_own_journal(self) -> None:
        """Raises `OSError` when what took the file's place lies beside the journal of the old one: SQLite would write
        the journal into it, and damage it."""
        replaced = _inode(self._name) not in (None, self._opened)
        if replaced and self._journal is not None and _inode(self._journal_name) == self._journal:
            raise OSError(
                "another file has taken its place while it was open, beside the journal of the old one; stop the "
                f"processes that use it, remove {self._path.name}-wal and {self._path.name}-shm, and start them again"
            )

    def _files(self) -> list[tuple[int, int] | None]:
        return [_inode(str(_beside(self._path, ending))) for ending in ("", *JOURNALS)]


def set_orphaned_journals_aside(path: Path) -> None:
    """Where a file is gone and its journals are not, SQLite would take them for those of the file that it makes."""
    if path.exists():
        return
    for ending in JOURNALS:
        with contextlib.suppress(FileNotFoundError):
            journal = _beside(path, ending)
            journal.rename(journal.with_name(f"{journal.name}.orphaned-{time.time_ns()}"))


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _inode(name: str) -> tuple[int, int] | None:
    try:
        found = os.stat(name)  # noqa: PTH116 - of a string, see FileWatch
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
