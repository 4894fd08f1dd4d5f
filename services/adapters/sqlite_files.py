"""What the adapters that keep a SQLite file of their own have in common."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal


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

    def get(self) -> sqlite3.Connection:
        """This thread's connection. Raises `sqlite3.Error`."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=self._busy_seconds, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            self._local.connection = connection
        return connection

    def close(self) -> None:
        """Close this thread's connection; the next `get` opens another."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            del self._local.connection


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
