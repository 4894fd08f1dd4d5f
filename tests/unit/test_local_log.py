"""The local log as its consumer reads it: positions that belong to one log, and what goes when it is old."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.adapters.event_log_file import DRAIN_SECONDS, LOOK_SECONDS, EventLogFile
from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.last_log_file import LastLogFile
from services.adapters.outbox_sqlite import OutboxSqlite
from services.adapters.record_store import RecordStoreSql
from services.core.errors import EventLogUnavailable, LostPosition, PositionLost
from services.core.events import prediction_event
from services.ingest.apply import apply
from services.ingest.audit import audit
from services.ingest.consume import consume_once
from services.ingest.local import LocalSource, partition_of, stored_up_to
from services.ingest.log_retention import LogRetention
from services.ingest.steady_clock import SteadyClock
from tests.consuming import Heard
from tests.toy import NOON, prediction

HOUR = timedelta(hours=1)


class Home:
    """A directory with a log and a store, whose files a test takes away and puts back."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "events.sqlite"
        self.store = RecordStoreSql(f"sqlite:///{directory / 'records.sqlite'}")
        self.store.migrate()
        self.heard = Heard()
        self.elapsed = 0.0

    def append(self, *numbers: int) -> None:
        log = EventLogSqlite(self.path)
        log.append(*(prediction_event(prediction(number)) for number in numbers)).result(10)
        log.close()

    def consume(self) -> None:
        """As a consumer that starts now, until there is nothing more."""
        log = EventLogSqlite(self.path)
        source = LocalSource(
            log, committed=self.store.committed, last_log=LastLogFile(self.directory / "log-read-last")
        )
        while consume_once(source, self.store, limit=2, now=lambda: NOON, observer=self.heard):
            pass
        source.close()

    def copy_log(self) -> Path:
        copy = self.directory / "copy.sqlite"
        with closing(sqlite3.connect(self.path)) as log:
            log.execute("VACUUM INTO ?", (str(copy),))
        return copy

    def remove_log(self) -> None:
        for path in self.directory.glob("events.sqlite*"):
            path.unlink()
        self.let_writers_look()

    def opened_log(self) -> EventLogSqlite:
        """By the clock of this home."""
        return EventLogSqlite(self.path, monotonic=lambda: self.elapsed)

    def let_writers_look(self) -> None:
        self.elapsed += LOOK_SECONDS

    @property
    def stored(self) -> set[int]:
        numbers = range(1, 20)
        ids = {prediction(number).prediction_id: number for number in numbers}
        return {ids[each] for each in self.store.stored_event_ids(list(ids))}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.store.close()


def test_a_log_that_was_removed_is_read_from_the_start_of_the_new_one_and_counted(home: Home) -> None:
    home.append(1, 2, 3)
    home.consume()
    home.remove_log()
    home.append(4, 5)

    home.consume()

    assert home.stored == {1, 2, 3, 4, 5}
    assert home.heard.resets == ["log_replaced"]


@pytest.mark.parametrize("appended", [(4,), (4, 5, 6, 7, 8)], ids=["shorter than before", "longer than before"])
def test_an_older_copy_of_the_log_is_read_from_its_start_and_counted(appended: tuple[int, ...], home: Home) -> None:
    home.append(1)
    copy = home.copy_log()
    home.append(2, 3)
    home.consume()
    home.remove_log()
    copy.rename(home.path)
    home.append(*appended)

    home.consume()

    assert home.stored == {1, 2, 3, *appended}
    assert home.heard.resets == ["log_cut"]


def test_an_older_copy_of_a_log_whose_first_events_are_gone_loses_none_by_that(home: Home) -> None:
    home.append(1, 2, 3)
    home.consume()
    log = EventLogSqlite(home.path)
    OutboxSqlite(log).prune(before=datetime.now(UTC), now=datetime.now(UTC), below=3, limit=10)
    log.close()
    copy = home.copy_log()
    home.append(4)
    home.consume()
    home.remove_log()
    copy.rename(home.path)
    home.append(5)

    home.consume()

    assert home.stored == {1, 2, 3, 4, 5}
    assert (home.heard.resets, home.heard.events_expired) == (["log_cut"], 0)


def test_whatever_lies_in_the_file_that_names_the_last_log_ends_nobody(tmp_path: Path) -> None:
    path = tmp_path / "log-read-last"
    path.write_bytes(b"\xff\x00\xfe")

    assert LastLogFile(path).exchange("event-log/one") not in ("", "event-log/one")
    assert LastLogFile(path).exchange("event-log/one") == "event-log/one"


def test_two_logs_that_share_a_store_have_a_position_each(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one, other = Home(tmp_path), Home(tmp_path / "other")
    other.store.close()
    other.store = one.store
    one.append(1, 2, 3)
    other.append(4, 5)

    one.consume()
    other.consume()

    assert one.stored == {1, 2, 3, 4, 5}
    assert one.heard.resets == other.heard.resets == []
    one.store.close()


def test_a_store_that_is_an_earlier_copy_is_noticed_under_a_running_consumer_and_gets_what_it_lacks(home: Home) -> None:
    home.append(1, 2)
    home.consume()
    log = EventLogSqlite(home.path)
    source = LocalSource(log, committed=home.store.committed, last_log=LastLogFile(home.directory / "log-read-last"))
    home.append(3, 4)
    (portion,) = source.read(limit=10)
    home.store.rewind(portion.partition, position=1)

    with pytest.raises(PositionLost, match="up to position 1, and what was read begins at 2") as lost:
        home.store.commit(
            apply(portion.events, origin="log", now=NOON),
            consumer=portion.partition,
            start=portion.start,
            position=portion.position,
        )

    assert lost.value.reason is LostPosition.STORE_BEHIND
    source.close()
    home.consume()
    assert home.stored == {1, 2, 3, 4}


def test_events_that_the_log_no_longer_has_are_counted_as_expired(home: Home) -> None:
    home.append(1, 2, 3, 4)
    log = EventLogSqlite(home.path)
    OutboxSqlite(log).prune(before=datetime.now(UTC), now=datetime.now(UTC), below=3, limit=10)
    log.close()

    home.consume()

    assert home.stored == {3, 4}
    assert home.heard.events_expired == 2


def test_an_event_that_comes_twice_leaves_a_hole_and_nothing_has_expired(home: Home) -> None:
    home.append(1, 2)
    home.consume()
    home.append(1, 2)
    home.append(2, 3)
    home.append(3, 4)

    home.consume()

    assert home.stored == {1, 2, 3, 4}
    assert home.heard.events_expired == 0


def test_writers_go_on_with_a_new_file_when_theirs_was_removed_and_readers_read_the_old_one_to_its_end(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    log = home.opened_log()
    log.append(prediction_event(prediction(1))).result(10)
    identity = log.identity()
    home.remove_log()

    assert [each.event.id for each in log.read(after=0, limit=5)] == [prediction(1).prediction_id]
    log.append(prediction_event(prediction(2))).result(10)

    other = EventLogSqlite(home.path)
    assert other.identity() != identity
    assert [each.event.id for each in other.read(after=0, limit=5)] == [prediction(2).prediction_id]
    assert "was removed or replaced while it was open" in caplog.text
    log.close()
    other.close()


def test_a_reader_stays_with_a_removed_file_until_it_is_drained(tmp_path: Path) -> None:
    clock = [0.0]
    file = EventLogFile(tmp_path / "events.sqlite", monotonic=lambda: clock[0])

    def identity() -> str:
        return str(file.reader().execute("SELECT id FROM identity").fetchone()[0])

    first = identity()
    for path in tmp_path.glob("events.sqlite*"):
        path.unlink()

    assert identity() == first
    clock[0] += DRAIN_SECONDS
    assert identity() == first
    file.drained()
    assert identity() != first
    file.close()


def test_a_file_that_took_the_logs_place_beside_its_journal_is_refused(home: Home) -> None:
    home.append(1)
    copy = home.copy_log()
    log = home.opened_log()
    log.append(prediction_event(prediction(2))).result(10)
    copy.rename(home.path)
    home.let_writers_look()

    (refused,) = log.append(prediction_event(prediction(3))).result(10)

    assert isinstance(refused, EventLogUnavailable)
    assert "beside the journal of the old one; stop the processes" in str(refused)
    log.close()


def test_what_was_committed_is_there_for_everybody_after_the_journal_alone_was_removed(home: Home) -> None:
    log = home.opened_log()
    log.append(prediction_event(prediction(1))).result(10)
    for ending in ("-wal", "-shm"):
        (home.directory / f"events.sqlite{ending}").unlink()
    home.let_writers_look()

    log.append(prediction_event(prediction(2))).result(10)

    other = EventLogSqlite(home.path)
    assert len(other.read(after=0, limit=5)) == 2
    log.close()
    other.close()


def test_journals_without_their_file_are_set_aside(home: Home) -> None:
    (home.directory / "events.sqlite-wal").write_bytes(b"left behind")

    home.append(1)

    assert [path.read_bytes() for path in home.directory.glob("events.sqlite-wal.orphaned-*")] == [b"left behind"]


def retention_of(home: Home, log: EventLogSqlite, now: Callable[[], datetime], elapsed: list[float]) -> LogRetention:
    return LogRetention(
        OutboxSqlite(log),
        stored=lambda: stored_up_to(log, home.store.committed(partition_of(log))),
        keep=HOUR,
        limit=1,
        clock=SteadyClock(now=now, monotonic=lambda: elapsed[0]),
    )


def test_what_is_stored_and_old_enough_goes_and_the_last_stored_event_stays(home: Home) -> None:
    home.append(1, 2, 3)
    home.consume()
    log, elapsed, began = EventLogSqlite(home.path), [0.0], datetime.now(UTC)
    retention = retention_of(home, log, lambda: began + timedelta(seconds=elapsed[0]), elapsed)

    assert retention.prune() == 0
    elapsed[0] = 2 * HOUR.total_seconds()

    assert [retention.prune() for _ in range(3)] == [1, 1, 0]
    assert [each.position for each in log.read(after=0, limit=10)] == [3]
    assert audit(log, home.store).unaccounted == 0
    log.close()


@pytest.mark.parametrize("appended", [(11, 12), (11, 12, 13, 14, 15)])
def test_of_an_older_copy_nothing_goes_before_the_consumer_has_noticed(appended: tuple[int, ...], home: Home) -> None:
    """Its position is still that of the log that was there: behind it lies what nobody has stored."""
    home.append(1, 2)
    copy = home.copy_log()
    home.append(3, 4, 5)
    home.consume()
    home.remove_log()
    copy.rename(home.path)
    home.append(*appended)
    log, elapsed, began = EventLogSqlite(home.path), [0.0], datetime.now(UTC)
    retention = retention_of(home, log, lambda: began + timedelta(seconds=elapsed[0]), elapsed)
    elapsed[0] = 500 * HOUR.total_seconds()

    assert [retention.prune() for _ in range(5)] == [0] * 5
    home.consume()

    assert home.stored == {1, 2, 3, 4, 5, *appended}
    assert sum(retention.prune() for _ in range(20)) == 1 + len(appended)
    log.close()


def test_a_clock_that_jumps_ahead_removes_nothing_until_it_was_steady_for_an_hour(home: Home) -> None:
    home.append(1, 2, 3)
    home.consume()
    log, elapsed, jumped = EventLogSqlite(home.path), [0.0], timedelta(0)
    began = datetime.now(UTC)
    retention = retention_of(home, log, lambda: began + jumped + timedelta(seconds=elapsed[0]), elapsed)
    elapsed[0] = HOUR.total_seconds() * 0.99

    jumped = timedelta(days=500)
    during = retention.prune()
    jumped = timedelta(0)
    elapsed[0] += 60

    assert (during, retention.prune()) == (0, 0)
    elapsed[0] += 1.1 * HOUR.total_seconds()
    assert retention.prune() == 1
    log.close()
