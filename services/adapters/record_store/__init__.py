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
        read_only: make no file and change none.

    Raises:
        SettingsError: the URL is none, or has a password in it.
    """

    def __init__(self, url: str, *, password: str = "", read_only: bool = False) -> None:
        self._database = Database(url, password=password, read_only=read_only)

    def migrate(self) -> None:
        self._database.migrate()

    def has_records(self) -> bool:
        """Whether somebody has made the store; raises `SettingsError` where that was another version of ours."""
        return self._database.require_current()

    def fenced(self, lease: Lease) -> Self:
        fenced = copy.copy(self)
        fenced._database = self._database.fenced(lease)  # noqa: SLF001 - its own class
        return fenced

    def confirm(self) -> None:
        with self._database.writing():
            pass

    def close(self) -> None:
        self._database.close()
