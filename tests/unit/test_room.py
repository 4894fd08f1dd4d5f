"""Files of SQLite give the room of removed rows back to the disk."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.outbox_sqlite import OutboxSqlite
from services.adapters.record_store import RecordStoreSql
from services.core.clock import wall_clock
from services.core.events import prediction_event
from services.core.records import Batch
from tests.toy import NOON, prediction

ROWS = 8000
LIMIT = 500
YOUNG = timedelta(hours=-1)
"""Everything is older than in an hour."""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLogSqlite]:
    log = EventLogSqlite(tmp_path / "events.sqlite")
    yield log
    log.close()


def filled(log: EventLogSqlite) -> None:
    data = b"x" * 1500
    for start in range(0, ROWS, 400):
        some = (prediction_event(prediction(number)) for number in range(start, start + 400))
        log.append(*(msgspec.structs.replace(each, data=data) for each in some)).result(30)


def size(path: Path) -> int:
    """Once what the journal holds is written into the file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def pruned(outbox: OutboxSqlite) -> int:
    now = wall_clock()
    return outbox.prune(before=now - YOUNG, now=now - YOUNG, below=10 * ROWS, limit=LIMIT)


def test_a_log_shrinks_after_its_events_went_and_goes_on_taking_some(log: EventLogSqlite) -> None:
    filled(log)
    full = size(log.file.path)
    outbox = OutboxSqlite(log)

    while pruned(outbox):
        pass
    for _ in range(50):  # there is nothing to remove any more, and room to give back
        pruned(outbox)

    assert size(log.file.path) < 0.45 * full
    assert log.append(prediction_event(prediction(ROWS + 1))).result(10)
    assert log.end() == ROWS + 1


def test_a_log_whose_events_come_and_go_keeps_its_room_for_them(log: EventLogSqlite) -> None:
    """What is given back only to be asked for again costs writing."""
    filled(log)
    full = size(log.file.path)
    now = wall_clock()
    OutboxSqlite(log).prune(before=now - YOUNG, now=now - YOUNG, below=LIMIT, limit=LIMIT)
    assert size(log.file.path) == full


def test_a_log_that_was_made_without_the_means_is_pruned_as_before_and_gives_back_once_it_is_rewritten(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.sqlite"
    with closing(sqlite3.connect(path)) as earlier:
        earlier.execute("CREATE TABLE of_an_earlier_version (x)")
    with closing(EventLogSqlite(path)) as log:
        filled(log)
        full = size(path)
        assert sum(iter(lambda: pruned(OutboxSqlite(log)), 0)) == ROWS
        assert size(path) == full
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
    assert size(path) < 0.1 * full
    with closing(EventLogSqlite(path)) as log:
        filled(log)
        while pruned(OutboxSqlite(log)):
            pass
    assert size(path) < 0.5 * full


def test_a_record_store_shrinks_after_its_rows_went(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    with closing(RecordStoreSql(f"sqlite:///{path}")) as store:
        store.migrate()
        for start in range(0, ROWS, 1000):
            made = [prediction(number, reasons=["x" * 1000]) for number in range(start, start + 1000)]
            store.commit(Batch(made, [], []), consumer="c", position=start + 1000)
        full = size(path)

        while store.prune("toy", before=NOON + timedelta(1), as_of=NOON, limit=1000).rows:
            pass
        given = sum(iter(store.give_room_back, 0))

        assert size(path) < 0.4 * full
        assert given > 0.5 * full
        assert store.counts("toy").predictions == 0
