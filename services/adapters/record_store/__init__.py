"""The record store in SQL: SQLite by default, PostgreSQL where users outgrow it, from the same code."""

import copy
from typing import Self

from services.adapters.record_store.database import Database
from services.adapters.record_store.jobs import SqlJobs
from services.adapters.record_store.leases import SqlLeases
from services.adapters.record_store.records import SqlRecords
from services.adapters.record_store.results import SqlResults
from services.adapters.record_store.retention import SqlRetention
from services.adapters.record_store.versions import SqlVersions
from services.core.records import Lease


class RecordStoreSql(SqlRecords, SqlResults, SqlJobs, SqlVersions, SqlLeases, SqlRetention):
    """See `services.core.ports.RecordStore`.

    Args:
        url: SQLAlchemy's, such as `sqlite:////var/lib/records.sqlite` or `postgresql+psycopg://user@host/database`.
        password: kept out of the URL, which stands in errors and logs.
        allow_plaintext: whether a server on another machine may be spoken to without TLS.
        read_only: leave the store exactly as it is, also its files; then nothing may be written, and `require_schema`
            stands in for `migrate`.

    Raises:
        SettingsError: the URL is none, has a password in it, or leads to another machine without TLS.
    """

    def __init__(self, url: str, *, password: str = "", allow_plaintext: bool = False, read_only: bool = False) -> None:
        self._database = Database(url, password=password, allow_plaintext=allow_plaintext, read_only=read_only)

    def migrate(self) -> None:
        self._database.migrate()

    def require_schema(self) -> None:
        """Raises `SettingsError` where the store is none that this version can read."""
        self._database.require_schema()

    def fenced(self, lease: Lease) -> Self:
        fenced = copy.copy(self)
        fenced._database = self._database.fenced(lease)  # noqa: SLF001 - its own class
        return fenced

    def confirm(self) -> None:
        with self._database.writing():
            pass

    def close(self) -> None:
        self._database.close()
