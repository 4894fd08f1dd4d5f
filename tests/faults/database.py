"""What may happen to the PostgreSQL of a stage: each begins when it is entered, and is over when it is left."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psutil
import psycopg

from tests.servers.process import ServerProcess

LOCKED_SECONDS: Final = 0.9
"""Of each second, where the database is slow."""
CUT_EVERY_SECONDS: Final = 0.2
LOCK: Final = "LOCK TABLE predictions IN ACCESS EXCLUSIVE MODE"
COPIED: Final = ("predictions", "outcomes", "current_outcomes", "dead_letters", "positions")
CUT: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Database:
    """`url` is SQLAlchemy's, of one database on the server."""

    server: ServerProcess
    url: str

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Every process of it at once, as a machine that loses its power; then it is started again."""
        for process in self._stand_still():
            process.kill()
        self.server.stop(signal.SIGKILL)
        yield
        self.server.start()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """It keeps its connections, even takes new ones, and answers nothing."""
        processes = self._stand_still()
        yield
        for process in processes:
            process.resume()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """By somebody else's transaction, which does not end."""
        with self._connection() as other, other.transaction():
            other.execute(LOCK)
            yield

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Statements wait for a second, each time."""
        with self._connection() as other, _again_and_again(lambda: _lock_a_while(other), pause=1 - LOCKED_SECONDS):
            yield

    @contextmanager
    def cutting_connections(self) -> Iterator[None]:
        """All of them, again and again, whatever their transactions are doing."""
        with (
            self._connection() as other,
            _again_and_again(lambda: _drain(other.execute(CUT)), pause=CUT_EVERY_SECONDS),
        ):
            yield

    @contextmanager
    def restored(self) -> Iterator[None]:
        """An earlier copy takes the tables' place under the running consumer."""
        with self._connection() as other:
            with other.transaction():
                other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")  # as of one moment, as a backup is
                for table in COPIED:
                    other.execute(f"CREATE TABLE {table}_copy AS TABLE {table}")
            yield
            while not _put_back(other):
                pass
            for table in COPIED:
                other.execute(f"DROP TABLE {table}_copy")

    def _connection(self) -> psycopg.Connection:
        return psycopg.connect(self.url.replace("+psycopg", "", 1), autocommit=True)

    def _stand_still(self) -> list[psutil.Process]:
        """Stop the server's processes; the one that starts the others comes first, so that these are all."""
        assert self.server.process is not None
        first = psutil.Process(self.server.process.pid)
        first.suspend()
        others = first.children(recursive=True)
        for process in others:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        return [*others, first]


def _put_back(connection: psycopg.Connection) -> bool:
    """False where it and a consumer's transaction waited for each other, and the server ended this one."""
    try:
        with connection.transaction():
            for table in COPIED:
                connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            for table in COPIED:
                connection.execute(f"DELETE FROM {table}")
                connection.execute(f"INSERT INTO {table} TABLE {table}_copy")
    except psycopg.errors.DeadlockDetected:
        return False
    return True


def _lock_a_while(connection: psycopg.Connection) -> None:
    with connection.transaction():
        connection.execute(LOCK)
        time.sleep(LOCKED_SECONDS)


def _drain(cursor: psycopg.Cursor) -> None:
    cursor.fetchall()


@contextmanager
def _again_and_again(do: Callable[[], None], *, pause: float) -> Iterator[None]:
    """In a thread of its own; what goes wrong there is raised at the end."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            do()
            stop.wait(pause)

    with ThreadPoolExecutor(1) as thread:
        repeating = thread.submit(repeat)
        try:
            yield
        finally:
            stop.set()
        repeating.result()
