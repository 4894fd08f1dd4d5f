import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.record_store import RecordStoreSql
from services.core.errors import StoreUnavailable
from services.core.events import prediction_event
from services.core.records import Batch, Position, Stored
from services.ingest.audit import audit
from services.ingest.consume import consume, consume_once
from services.ingest.local import LocalSource, partition_of
from tests.consuming import Heard, LastLogInMemory
from tests.toy import NOON, prediction


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLogSqlite]:
    log = EventLogSqlite(tmp_path / "events.sqlite")
    yield log
    log.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStoreSql]:
    store = RecordStoreSql(f"sqlite:///{tmp_path / 'records.sqlite'}")
    store.migrate()
    yield store
    store.close()


class StoreThatFails(RecordStoreSql):
    """Fails the first commits, as one whose database is away for a while."""

    def __init__(self, url: str, *, failures: int) -> None:
        super().__init__(url)
        self.failures = failures

    def commit(self, batch: Batch, **progress: Any) -> Stored:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("record store: away")
        return super().commit(batch, **progress)


def append(log: EventLogSqlite, *numbers: int) -> None:
    for future in [log.append(prediction_event(prediction(number))) for number in numbers]:
        future.result(10)


def carry(log: EventLogSqlite, store: RecordStoreSql, *, limit: int, seen: list[int]) -> bool:
    heard = Heard(stored=seen)
    return consume_once(source_of(log, store), store, limit=limit, now=lambda: NOON, observer=heard)


def source_of(log: EventLogSqlite, store: RecordStoreSql) -> LocalSource:
    return LocalSource(log, committed=store.committed, last_log=LastLogInMemory())


def test_a_round_carries_at_most_the_limit_and_the_next_one_goes_on(log: EventLogSqlite, store: RecordStoreSql) -> None:
    append(log, 1, 2, 3)

    seen: list[int] = []

    carried = [carry(log, store, limit=2, seen=seen) for _ in range(3)]

    assert (carried, seen) == ([True, True, False], [2, 1])
    assert store.position(partition_of(log)) == log.end()


def test_an_outage_of_the_store_is_waited_out_and_nothing_is_skipped(log: EventLogSqlite, tmp_path: Path) -> None:
    store = StoreThatFails(f"sqlite:///{tmp_path / 'records.sqlite'}", failures=3)
    store.migrate()
    append(log, 1, 2, 3)
    stop, heard = threading.Event(), Heard()

    def each_round() -> None:
        if sum(heard.stored) == 3:
            stop.set()

    consume(
        source_of(log, store),
        store,
        limit=2,
        now=lambda: NOON,
        stop=stop,
        idle_seconds=0.001,
        observer=heard,
        each_round=each_round,
    )

    assert heard.stored == [2, 1]
    assert heard.store_there == [False, True]
    assert audit(log, store).stored == 3
    store.close()


def test_the_lag_grows_while_the_store_is_away(log: EventLogSqlite, store: RecordStoreSql) -> None:
    away = [False]

    def committed(partition: str) -> Position:
        if away[0]:
            raise StoreUnavailable("record store: away")
        return store.committed(partition)

    source = LocalSource(log, committed=committed, last_log=LastLogInMemory())
    before = source.lags()
    append(log, 1, 2)
    consume_once(source, store, limit=10, now=lambda: NOON, observer=Heard())
    caught_up, away[0] = [lag.events for lag in source.lags()], True
    append(log, 3, 4, 5)

    assert (before, caught_up) == ([], [0])
    assert [lag.events for lag in source.lags()] == [3]


def test_the_account_tells_stored_dead_and_in_flight_apart(log: EventLogSqlite, store: RecordStoreSql) -> None:
    append(log, 1)
    poison = prediction_event(prediction(2))
    log.append(type(poison)(**{**{f: getattr(poison, f) for f in poison.__struct_fields__}, "data": b"?"})).result(10)
    carry(log, store, limit=10, seen=[])
    append(log, 3)

    account = audit(log, store)

    assert (account.appended, account.stored, account.dead_lettered, account.in_flight) == (3, 1, 1, 1)
    assert (account.unaccounted, account.duplicates_stored, account.examples) == (0, 0, [])


def test_an_event_that_the_consumer_passed_and_nobody_has_is_unaccounted_for_and_named(
    log: EventLogSqlite, store: RecordStoreSql
) -> None:
    append(log, 1, 2)
    store.commit(Batch([prediction(1)], [], []), consumer=partition_of(log), position=log.end())

    account = audit(log, store)

    assert account.unaccounted == 1
    assert account.examples == [prediction(2).prediction_id]
