"""A SQLite file is read as it is, whoever else has it open, and is called damaged only when it is."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from services.adapters.record_store import RecordStoreSql
from services.adapters.sqlite_reading import Readable
from services.core.errors import StoreUnavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.sqlite"


@pytest.fixture
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    """A file that somebody has open, all of which has left the journal."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE rows (word TEXT)")
        write(connection, 1000)
        yield connection


def write(connection: sqlite3.Connection, rows: int) -> None:
    connection.executemany("INSERT INTO rows VALUES (?)", [("word" * 100,) for _ in range(rows)])
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_who_reads_a_file_with_an_empty_journal_sees_what_is_written_meanwhile(
    path: Path, writer: sqlite3.Connection
) -> None:
    readable = Readable(path)
    with closing(readable.connect()) as reader:
        before = reader.execute("SELECT count(*) FROM rows").fetchone()
        writer.execute("DELETE FROM rows")
        write(writer, 5000)
        assert before == (1000,)
        assert reader.execute("SELECT count(*) FROM rows WHERE word > ''").fetchone() == (5000,)
        assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    readable.close()


def test_a_store_that_is_damaged_beside_a_journal_of_its_own_is_told_with_the_remedy(tmp_path: Path) -> None:
    for name in ("records.sqlite", "records.sqlite-wal"):
        (tmp_path / name).write_bytes(b"no database at all" * 1000)
    with pytest.raises(StoreUnavailable, match="the file is damaged"):
        RecordStoreSql(f"sqlite:///{tmp_path / 'records.sqlite'}", read_only=True)
