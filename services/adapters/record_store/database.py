"""The engine, its transactions, and its errors in our words."""

import contextlib
import copy
import fcntl
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import alembic.command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, ExceptionContext, Table, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from services.adapters.record_store import counting
from services.adapters.record_store.failures import UNENCODABLE, failure_of, needs_another_session
from services.adapters.record_store.schema import leases
from services.adapters.sqlite_files import GIVES_ROOM_BACK, opened_to_read
from services.core.clock import wall_clock
from services.core.errors import BellwetherError, ContentRefused, LeaseLost, SettingsError
from services.core.records import Lease

MIGRATIONS: Final = Path(__file__).parent / "migrations"
# Above the longest transaction of a consumer (a second), below what a person would wait for a command.
BUSY_SECONDS: Final = 10
SQLITE: Final = "sqlite"
MIGRATION_LOCK: Final = 0x42656C6C
"""Names the lock among those that a database's users agree on ("Bell"); any number would do."""
HIDE_PARAMETERS: Final = True
"""Errors are logged, and the rows in them are people's."""
ENCODING: Final = "UTF8"
SERVER: Final = {
    "connect_timeout": 5,
    # A role or a database can have another one set, and the texts of an answer are in any.
    "client_encoding": ENCODING,
    "application_name": "bellwether",
    # A consumer whose server is away, or whose rows somebody holds, has to hear of it to try again.
    # And one that stands still in the middle of a transaction must not hold up the others for ever.
    "options": (
        f"-c statement_timeout={3 * BUSY_SECONDS}s -c lock_timeout={BUSY_SECONDS}s "
        f"-c idle_in_transaction_session_timeout={BUSY_SECONDS}s"
    ),
    # A server that vanished without a word is noticed in seconds, not in the two hours that TCP takes.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


READ_ONLY: Final = "-c default_transaction_read_only=on"


class Database:
    """One engine. Driver errors come out as `StoreUnavailable` or `ContentRefused`, see `failures`.

    One that is `read_only` makes no file and changes none, also where nothing could be written.
    """

    def __init__(self, url: str, *, password: str = "", read_only: bool = False) -> None:
        parsed = _parsed(url)
        self._lease: Lease | None = None
        self.name = parsed.render_as_string()
        self.is_sqlite = parsed.get_backend_name() == SQLITE
        if self.is_sqlite and read_only:
            file = Path(parsed.database or "").absolute()
            self._engine = create_engine(
                parsed,
                hide_parameters=HIDE_PARAMETERS,
                creator=lambda: opened_to_read(file, busy_seconds=BUSY_SECONDS),
                poolclass=QueuePool,
            )
            event.listen(self._engine, "begin", _begin_sqlite)
        elif self.is_sqlite:
            self._engine = create_engine(parsed, hide_parameters=HIDE_PARAMETERS)
            event.listen(self._engine, "connect", _configure_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        else:
            secured = parsed.set(password=password) if password else parsed
            self._engine = create_engine(
                secured,
                hide_parameters=HIDE_PARAMETERS,
                connect_args=SERVER | ({"options": f"{SERVER['options']} {READ_ONLY}"} if read_only else {}),
                pool_pre_ping=True,
                pool_timeout=BUSY_SECONDS,
            )
            event.listen(self._engine, "handle_error", _renew_sessions)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Everything inside is committed together, or nothing of it is.

        A transaction that writes has to write first: SQLite gives the write lock to a reader only while nobody has
        written since its first read.
        """
        with self.translated(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that changes something: of a fenced database only while its lease has not changed hands.

        Raises `LeaseLost`.
        """
        with self.transaction() as connection:
            if self._lease is not None:
                _require(connection, self._lease)
            yield connection

    def fenced(self, lease: Lease) -> Self:
        """This database, with the same connections, for the holder of `lease`."""
        fenced = copy.copy(self)
        fenced._lease = lease  # noqa: SLF001 - its own class
        return fenced

    def now(self, connection: Connection) -> datetime:
        """The time by a clock that every process which uses this database can read."""
        return wall_clock() if self.is_sqlite else connection.execute(select(func.clock_timestamp())).scalar_one()

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, *UNENCODABLE) as error:
            raise self._in_our_words(error) from error

    def insert(self, table: Table) -> Any:
        """The dialect's INSERT, which knows ON CONFLICT."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self._migration_turn(), self.translated(), self._engine.begin() as connection:
            if not self.is_sqlite:
                self._require_encoding(connection)
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")
            counting.install(connection)

    def require_current(self) -> bool:
        """Whether there are tables at all. Raises `SettingsError` where they are of another version of ours."""
        if self.is_sqlite and not Path(self._engine.url.database or "").is_file():
            return False
        with self.transaction() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        if found not in (None, expected := ScriptDirectory(str(MIGRATIONS)).get_current_head()):
            raise SettingsError(
                f"record store {self.name} has the tables of version {found}, expected {expected}; commands that only "
                "read change nothing: start `bellwether consume` of this version, which brings older ones up to date"
            )
        return found is not None

    def close(self) -> None:
        self._engine.dispose()

    def _in_our_words(self, error: Exception) -> BellwetherError:
        failure = failure_of(error)
        if failure is ContentRefused:
            # Behind the first line PostgreSQL repeats the row, and the toolkit its statement.
            reason, *_ = str(error).splitlines() or [""]
            return failure(f"record store {self.name} refuses what it was given: {reason}")
        return failure(f"record store {self.name}: {error}")

    def _require_encoding(self, connection: Connection) -> None:
        """Any other encoding lacks letters, and would refuse a row when the first of them comes."""
        found = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if found != ENCODING:
            raise SettingsError(
                f"record store {self.name}: the database's encoding is {found}, expected {ENCODING}; make one with "
                f"`createdb --template=template0 --encoding={ENCODING} --locale=C NAME` and name it in BELLWETHER_STORE"
            )

    @contextlib.contextmanager
    def _migration_turn(self) -> Iterator[None]:
        """Processes that start together migrate one after the other; the later ones find nothing left to do.

        A database server has a lock of its own for it, inside the migration's transaction.
        """
        path = self._engine.url.database
        if not self.is_sqlite or not path or path == ":memory:":
            yield
            return
        with Path(f"{path}.migrating").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _require(connection: Connection, lease: Lease) -> None:
    """Hold the lease's row until the end of the transaction; who wants to take it over waits that long.

    An update and no look-up: SQLite refuses to write after a read when somebody else has written since.
    """
    held = leases.c.name == lease.name, leases.c.token == lease.token
    if not connection.execute(leases.update().where(*held).values(token=lease.token)).rowcount:
        raise LeaseLost(
            f"{lease.holder} does not hold the lease {lease.name} any more (its token was {lease.token}); "
            "the process that does goes on with the work"
        )


def _parsed(url: str) -> URL:
    """Raises `SettingsError`."""
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError) as error:
        raise SettingsError(
            "the record store's URL is none that is known; expected sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"
        ) from error
    if parsed.password:
        raise SettingsError(
            f"the record store's URL {parsed.render_as_string()} has a password in it, which logs would show; set "
            "BELLWETHER_STORE_PASSWORD instead"
        )
    return parsed


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own idea of when a transaction begins splits ours; `_begin_sqlite` says it instead.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    connection.execute(GIVES_ROOM_BACK)
    connection.execute("PRAGMA journal_mode = WAL")
    # Rows can be read again from the log after a loss of power: position and rows are lost or kept together.
    connection.execute("PRAGMA synchronous = NORMAL")


def _renew_sessions(context: ExceptionContext) -> None:
    """Let every session of the pool begin anew where that can help; the work at hand is tried again by its caller."""
    if needs_another_session(context.original_exception):
        context.is_disconnect = True


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def engine_of(database: Database) -> Engine:
    """The engine itself, for tests that look at the schema."""
    return database._engine  # noqa: SLF001 - the same module
