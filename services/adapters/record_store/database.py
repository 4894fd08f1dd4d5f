"""The engine, its transactions, and its errors in our words."""

import contextlib
import copy
import fcntl
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import alembic.command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    Table,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from services.adapters.record_store import counting
from services.adapters.record_store.failures import UNENCODABLE, failure_of, needs_another_session
from services.adapters.record_store.schema import leases
from services.adapters.sqlite_files import is_damaged, let_room_be_given_back
from services.adapters.sqlite_reading import Readable
from services.adapters.wire import OPT_OUT, is_here, require_tls
from services.core.clock import wall_clock
from services.core.errors import (
    BellwetherError,
    ContentRefused,
    LeaseLost,
    NoRecordsYet,
    SettingsError,
    StoreUnavailable,
)
from services.core.records import Lease
from services.core.urls import redacted, secret_in

MIGRATIONS: Final = Path(__file__).parent / "migrations"
# Above the longest transaction of a consumer (a second), below what a person would wait for a command.
BUSY_SECONDS: Final = 10
SQLITE: Final = "sqlite"
SCHEMA_TABLE: Final = "alembic_version"
BACKENDS: Final = (SQLITE, "postgresql")
REQUIRE: Final = "require"
ENCRYPTED: Final = frozenset({REQUIRE, "verify-ca", "verify-full"})
"""Of libpq's `sslmode`; the others go on without TLS where the server, or somebody on the way, says so."""
NO_TLS: Final = f"; turn on its TLS, or where the network itself is closed: {OPT_OUT}"
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
        f"-c idle_in_transaction_session_timeout={BUSY_SECONDS}s "
        # A database can have others. The driver reads no time in another style, and where a backslash begins an escape
        # in every string, the bytes of what is stored are no longer what they were.
        "-c DateStyle=ISO -c standard_conforming_strings=on"
    ),
    # A server that vanished without a word is noticed in seconds, not in the two hours that TCP takes.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

READING: Final = SERVER | {"options": f"{SERVER['options']} -c default_transaction_read_only=on"}
DAMAGED: Final = (
    "; the file is damaged. Stop every process that uses it, and restore a copy. Without one, move it aside with its "
    "-wal and -shm: `bellwether consume` then stores anew what the log still has (from Kafka with --again --from "
    "TIME), and `bellwether promote MODEL VERSION` names the champion again"
)


class Database:
    """One engine. Driver errors come out as `StoreUnavailable` or `ContentRefused`, see `failures`."""

    def __init__(self, url: str, *, password: str = "", allow_plaintext: bool = False, read_only: bool = False) -> None:
        parsed = _parsed(url)
        self._readable: Readable | None = None
        self.encryption: dict[str, str] = {}
        """What the driver is told of TLS beyond the URL."""
        self._lease: Lease | None = None
        self.name = redacted(parsed.render_as_string())
        self.is_sqlite = parsed.get_backend_name() == SQLITE
        if self.is_sqlite and read_only:
            self._readable = readable = _readable(parsed)
            self._engine = create_engine(
                "sqlite://", creator=readable.connect, poolclass=NullPool, hide_parameters=HIDE_PARAMETERS
            )
            event.listen(self._engine, "begin", _begin_sqlite)
        elif self.is_sqlite:
            self._engine = create_engine(parsed, hide_parameters=HIDE_PARAMETERS)
            event.listen(self._engine, "connect", _configure_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        else:
            self.encryption = _encryption(parsed, allow_plaintext=allow_plaintext)
            secured = parsed.set(password=password) if password else parsed
            self._engine = create_engine(
                secured,
                hide_parameters=HIDE_PARAMETERS,
                connect_args=(READING if read_only else SERVER) | self.encryption,
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

    def require_schema(self) -> None:
        """For a reader, which brings no schema up to date: of an older file it reads a copy that is.

        Raises `SettingsError`.
        """
        found = self._revision()
        known = [each.revision for each in ScriptDirectory.from_config(_config()).walk_revisions()]
        if found == known[0]:
            return
        if found not in known:
            raise self._unknown_schema(found)
        if self._readable is None:
            raise SettingsError(
                f"record store {self.name} has schema {found}, and this version reads {known[0]}; start `bellwether "
                "consume` of this version, which brings it up to date"
            )
        try:
            copy_of_it = self._readable.copy()
        except (OSError, sqlite3.Error) as error:
            raise _unreadable(self._readable.path, error) from error
        upgraded = Database(f"sqlite:///{copy_of_it}")
        upgraded.migrate()
        upgraded.close()

    def migrate(self) -> None:
        config = _config()
        with self._migration_turn(), self.translated(), self._engine.begin() as connection:
            if not self.is_sqlite:
                self._require_encoding(connection)
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            config.attributes["connection"] = connection
            try:
                alembic.command.upgrade(config, "head")
            except CommandError as error:
                # It looks for the way from a schema that it has never heard of.
                found = connection.exec_driver_sql(f"SELECT version_num FROM {SCHEMA_TABLE}").scalar()
                raise self._unknown_schema(found) from error
            counting.install(connection)

    def close(self) -> None:
        self._engine.dispose()
        if self._readable is not None:
            self._readable.close()

    def _revision(self) -> str | None:
        """The schema's; None where the database has none of ours."""
        with self.translated(), self._engine.begin() as connection:
            if not inspect(connection).has_table(SCHEMA_TABLE):
                return None
            found: str | None = connection.exec_driver_sql(f"SELECT version_num FROM {SCHEMA_TABLE}").scalar()
            return found

    def _unknown_schema(self, found: str | None) -> SettingsError:
        if found is None:
            return SettingsError(
                f"record store {self.name} has no tables of Bellwether; name the right one with --store or "
                "BELLWETHER_STORE, or start `bellwether consume`, which makes them"
            )
        newest = ScriptDirectory.from_config(_config()).get_current_head()
        return SettingsError(
            f"record store {self.name} has schema {found}, and this version knows those up to {newest}: a newer "
            "version of Bellwether has used it; run that version, or restore a copy from before"
        )

    def _in_our_words(self, error: Exception) -> BellwetherError:
        failure = failure_of(error)
        if failure is ContentRefused:
            # Behind the first line PostgreSQL repeats the row, and the toolkit its statement.
            reason, *_ = str(error).splitlines() or [""]
            return failure(f"record store {self.name} refuses what it was given: {reason}")
        return failure(f"record store {self.name}: {error}{_hint(error)}")

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


def _hint(error: Exception) -> str:
    """What to do about an error whose own words say nothing of it."""
    if "SSL was required" in str(error):
        return NO_TLS
    return DAMAGED if is_damaged(getattr(error, "orig", None)) else ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _readable(url: URL) -> Readable:
    """Raises `SettingsError`."""
    path = Path(url.database or "")
    if not path.is_file():
        raise NoRecordsYet(
            f"record store {path} does not exist: no consumer has stored anything there yet; start `bellwether "
            "consume`, or name the store that it uses with --store or BELLWETHER_STORE"
        )
    try:
        return Readable(path)
    except (OSError, sqlite3.Error) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> BellwetherError:
    """Why a file could not be read where it lies, nor copied to be read."""
    if is_damaged(error):
        return StoreUnavailable(f"record store {path}: {error}{DAMAGED}")
    return SettingsError(
        f"record store {path} cannot be read where it lies, and not be copied either: {error}; look at its rights, and "
        f"at the room in {tempfile.gettempdir()} (TMPDIR names another place)"
    )


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
    if problem := secret_in(url):
        raise SettingsError(
            f"the record store's URL {redacted(url)} {problem}, which logs would show; set BELLWETHER_STORE_PASSWORD "
            "instead"
        )
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError):
        # Nothing is chained to what follows: such an error may hold the whole URL.
        parsed = None
    if parsed is None or parsed.get_backend_name() not in BACKENDS:
        raise SettingsError(
            f"the record store's URL {redacted(url)} is none that is known; expected sqlite:///FILE or "
            "postgresql+psycopg://USER@HOST/NAME"
        )
    if parsed.get_backend_name() != SQLITE:
        _require_parameters(parsed)
    return parsed


def _require_parameters(url: URL) -> None:
    """Of the server's connection, as libpq has them. What the driver takes beside those is not for a URL: under
    `autocommit`, whatever it is set to, a position would stay although its rows were refused.

    Raises `SettingsError`.
    """
    from psycopg.pq import Conninfo  # noqa: PLC0415 - a store in a file needs no libpq

    known = {each.keyword.decode() for each in Conninfo.get_defaults()}
    if unknown := sorted(set(url.query) - known):
        raise SettingsError(
            f"the record store's URL {redacted(url.render_as_string())} has the parameter {unknown[0][:64]!r}, which "
            "is none of libpq's; leave it out"
        )


def _encryption(url: URL, *, allow_plaintext: bool) -> dict[str, str]:
    """What the driver is told of TLS beyond the URL. Its own default is to go on without where there is none.

    Raises `SettingsError`.
    """
    hosts = [host for name in ("host", "hostaddr") for host in _said(url, name)]
    modes = _said(url, "sslmode")
    if allow_plaintext:
        return {}
    if hosts and all(map(is_here, hosts)) and "service" not in url.query:
        # An address that the environment has (PGHOSTADDR) goes over the host's name.
        return {} if _said(url, "hostaddr") else {"hostaddr": ""}
    require_tls(
        "the record store",
        [host for host in hosts if not is_here(host)] or ["the service's or the environment's host"],
        encrypted=not modes or set(modes) <= ENCRYPTED,
        allowed=False,
        found=f"sslmode={','.join(modes)}",
        remedy="say sslmode=verify-full (or verify-ca, require) in BELLWETHER_STORE",
    )
    # A socket has no TLS and needs none; the driver knows.
    return {} if modes else {"sslmode": REQUIRE}


def _said(url: URL, name: str) -> list[str]:
    """What a URL says of a parameter: of several hosts each."""
    found = url.query.get(name, ())
    said = [found] if isinstance(found, str) else list(found)
    if name == "host" and url.host:
        said.append(url.host)
    return [part for each in said for part in each.split(",") if part]


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own idea of when a transaction begins splits ours; `_begin_sqlite` says it instead.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    let_room_be_given_back(connection)
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
