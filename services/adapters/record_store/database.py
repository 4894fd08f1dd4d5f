"""The engine, its transactions, and its errors in our words."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import alembic.command
from alembic.config import Config
from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from services.core.errors import StoreUnavailable

MIGRATIONS: Final = Path(__file__).parent / "migrations"
# Above the longest transaction of a consumer (a second), below what a person would wait for a command.
BUSY_SECONDS: Final = 10


class Database:
    """One engine. Driver errors come out as `StoreUnavailable`."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)
        self.name = make_url(url).render_as_string(hide_password=True)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _configure_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Everything inside is committed together, or nothing of it is.

        A transaction that writes has to write first: SQLite gives the write lock to a reader only while nobody has
        written since its first read.
        """
        with self.translated(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"record store {self.name}: {error}") from error

    def insert(self, table: Table) -> Any:
        """The dialect's INSERT, which knows ON CONFLICT."""
        return sqlite.insert(table) if self._engine.dialect.name == "sqlite" else postgresql.insert(table)

    def migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self._migration_turn(), self.translated(), self._engine.begin() as connection:
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")

    def close(self) -> None:
        self._engine.dispose()

    @contextlib.contextmanager
    def _migration_turn(self) -> Iterator[None]:
        """Processes that start together migrate one after the other; the later ones find nothing left to do."""
        path = self._engine.url.database
        if self._engine.dialect.name != "sqlite" or not path or path == ":memory:":
            yield
            return
        with Path(f"{path}.migrating").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own idea of when a transaction begins splits ours; `_begin_sqlite` says it instead.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA journal_mode = WAL")
    # Rows can be read again from the log after a loss of power: position and rows are lost or kept together.
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def engine_of(database: Database) -> Engine:
    """The engine itself, for tests that look at the schema."""
    return database._engine  # noqa: SLF001 - the same module
