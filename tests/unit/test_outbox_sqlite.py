"""The local log on its way to a broker: its position, what waits, and what happens when too much does."""

import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services import bootstrap
from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.outbox_sqlite import OutboxSqlite, refuse_beyond
from services.core.clock import to_microseconds
from services.core.errors import EventLogUnavailable
from services.core.events import prediction_event
from services.core.ports import Appended, Settled
from services.settings import Settings
from tests.toy import prediction

HOUR = timedelta(hours=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[EventLogSqlite]:
    log = EventLogSqlite(path)
    yield log
    log.close()


@pytest.fixture
def outbox(log: EventLogSqlite) -> OutboxSqlite:
    return OutboxSqlite(log)


def append(log: EventLogSqlite, *numbers: int) -> list[Settled]:
    return log.append(*(prediction_event(prediction(number)) for number in numbers)).result(10)


def test_the_position_survives_and_belongs_to_one_destination(path: Path, log: EventLogSqlite) -> None:
    append(log, 1, 2)
    OutboxSqlite(log).forward_to("there", 2)

    again = OutboxSqlite(log)

    assert again.forwarded("there") == 2
    assert again.forwarded("elsewhere") == 0


def test_what_waits_is_what_was_appended_and_not_forwarded(log: EventLogSqlite, outbox: OutboxSqlite) -> None:
    assert outbox.unsent().events == 0
    append(log, 1, 2, 3)
    outbox.forward_to("there", 1)

    assert outbox.unsent().events == 2

    outbox.forward_to("there", 3)

    assert (outbox.unsent().events, outbox.unsent().oldest_at) == (0, None)


def test_the_age_is_that_of_the_oldest_event_that_waits_by_the_machines_clock(
    log: EventLogSqlite, outbox: OutboxSqlite
) -> None:
    append(log, 1)
    between = datetime.now(UTC)
    append(log, 2)
    outbox.forward_to("there", 1)

    oldest = outbox.unsent().oldest_at

    assert oldest is not None
    assert between <= oldest <= datetime.now(UTC)


def test_only_what_lies_below_the_stored_position_and_is_old_enough_is_pruned(
    log: EventLogSqlite, outbox: OutboxSqlite
) -> None:
    append(log, 1, 2)
    between = datetime.now(UTC)
    append(log, 3, 4, 5)

    assert outbox.prune(before=between, now=datetime.now(UTC), below=4, limit=1) == 1
    assert outbox.prune(before=between, now=datetime.now(UTC), below=4, limit=10) == 1
    assert outbox.prune(before=datetime.now(UTC), now=datetime.now(UTC), below=4, limit=10) == 1
    assert outbox.prune(before=datetime.now(UTC), now=datetime.now(UTC), below=4, limit=10) == 0
    assert [each.position for each in log.read(after=0, limit=10)] == [4, 5]


def test_what_a_clock_that_was_ahead_stamped_goes_with_what_lies_behind_it(
    log: EventLogSqlite, outbox: OutboxSqlite, path: Path
) -> None:
    append(log, 1, 2, 3, 4, 5)
    ahead = to_microseconds(datetime.now(UTC) + timedelta(days=500))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET appended_at = ? WHERE position IN (1, 3, 4)", (ahead,))
    connection.close()
    soon = datetime.now(UTC) + timedelta(seconds=1)

    assert outbox.prune(before=soon, now=soon, below=5, limit=10) == 2
    assert [each.position for each in log.read(after=0, limit=10)] == [3, 4, 5]
    append(log, 6)
    assert outbox.prune(before=soon, now=soon, below=6, limit=10) == 3


def test_a_position_that_somebody_moved_back_stays_back(log: EventLogSqlite, outbox: OutboxSqlite) -> None:
    append(log, 1, 2, 3)
    outbox.forward_to("there", 2)
    outbox.forward_to("there", 0)

    outbox.forward_to("there", 3, start=2)

    assert outbox.forwarded("there") == 0
    outbox.forward_to("there", 3, start=0)
    assert outbox.forwarded("there") == 3


def test_positions_go_on_rising_after_everything_else_was_pruned(log: EventLogSqlite, outbox: OutboxSqlite) -> None:
    append(log, 1, 2, 3)
    outbox.prune(before=datetime.now(UTC), now=datetime.now(UTC), below=3, limit=10)

    (again,) = append(log, 4)

    assert isinstance(again, Appended)
    assert again.position == 4


def test_a_log_of_an_earlier_version_is_taken_up_and_does_not_know_how_old_its_events_are(path: Path) -> None:
    EventLogSqlite(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE events DROP COLUMN appended_at")
        connection.execute("DROP TABLE forwarded")
        connection.execute("INSERT INTO events VALUES (1, 'id', 'type', 'source', 'topic', 'key', 0, x'')")
    connection.close()

    log = EventLogSqlite(path)
    unsent = OutboxSqlite(log).unsent()

    assert (unsent.events, unsent.oldest_at) == (1, None)
    assert isinstance(append(log, 1)[0], Appended)
    log.close()


def test_beyond_the_limit_events_are_refused_with_what_to_look_at_until_some_have_left(
    path: Path, outbox: OutboxSqlite
) -> None:
    clock = [0.0]
    log = EventLogSqlite(path, require_room=refuse_beyond(2, monotonic=lambda: clock[0]))
    append(log, 1, 2)
    clock[0] += 1

    refused = append(log, 3, 4)

    assert all(isinstance(each, EventLogUnavailable) for each in refused)
    assert "2 events wait to be forwarded and the limit is 2; look at the broker" in str(refused[0])
    assert outbox.unsent().events == 2
    outbox.forward_to("there", 1)
    clock[0] += 1
    assert isinstance(append(log, 3)[0], Appended)
    log.close()


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"event_log": "kafka", "outbox_limit": 1}, True),
        ({"event_log": "kafka", "outbox_limit": 1, "outbox_full": "grow"}, False),
        ({"event_log": "sqlite", "outbox_limit": 1}, False),
    ],
    ids=["refuse", "grow", "nothing to forward"],
)
def test_the_policy_is_a_setting_and_holds_where_there_is_something_to_wait_for(
    settings: dict[str, str], refused: bool, tmp_path: Path
) -> None:
    log = bootstrap.event_log(Settings(home=tmp_path, **settings))  # type: ignore[arg-type]  # a test's own choice
    deadline = time.monotonic() + 10
    outcomes: list[Settled] = []
    for number in range(2000):
        outcomes += log.append(prediction_event(prediction(number))).result(10)
        if isinstance(outcomes[-1], EventLogUnavailable) or (not refused and number == 20):
            break
        assert time.monotonic() < deadline

    assert any(isinstance(each, EventLogUnavailable) for each in outcomes) == refused
    log.close()


def test_the_metrics_show_depth_limit_and_age(log: EventLogSqlite, outbox: OutboxSqlite) -> None:
    from prometheus_client import CollectorRegistry

    from services.metrics import ForwarderMetrics

    append(log, 1)
    unsent = outbox.unsent()
    assert unsent.oldest_at is not None
    metrics = ForwarderMetrics(CollectorRegistry())

    metrics.waiting(unsent, limit=10, at=unsent.oldest_at + timedelta(seconds=5))
    metrics.delivered(3)

    def value(name: str) -> float | None:
        return metrics.registry.get_sample_value(f"bellwether_{name}")

    assert value("outbox_depth") == 1
    assert value("outbox_limit") == 10
    assert value("outbox_oldest_seconds") == 5
    assert value("events_delivered_total") == 3
