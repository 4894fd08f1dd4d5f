"""What was read or sent before comes once more from a moment on, and whoever has it ignores it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitoring.entrypoints.cli import main
from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.outbox_sqlite import OutboxSqlite
from services.adapters.record_store import RecordStoreSql
from services.core.events import Event, prediction_event
from services.core.records import Batch
from services.ingest.again import read_again, send_again
from services.ingest.consume import consume_once
from services.ingest.forward import forward_once
from services.ingest.local import LocalSource, partition_of
from tests.consuming import Heard, LastLogInMemory
from tests.toy import NOON, prediction


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLogSqlite]:
    log = EventLogSqlite(tmp_path / "events.sqlite")
    yield log
    log.close()


class SinkInMemory:
    """See `services.core.transport.EventSink`."""

    def __init__(self) -> None:
        self.delivered: list[str] = []

    def destination(self) -> str:
        return "memory"

    def deliver(self, events: list[Event]) -> None:
        self.delivered += [event.id for event in events]


def append(log: EventLogSqlite, *numbers: int) -> None:
    log.append(*(prediction_event(prediction(number)) for number in numbers)).result(10)


def test_a_store_that_lacks_rows_gets_them_from_the_log(log: EventLogSqlite, tmp_path: Path) -> None:
    append(log, 1, 2)
    between = datetime.now(UTC)
    append(log, 3, 4)
    store = RecordStoreSql(f"sqlite:///{tmp_path / 'records.sqlite'}")
    store.migrate()
    source = LocalSource(log, committed=store.committed, last_log=LastLogInMemory())
    store.commit(apply_nothing(), consumer=partition_of(log), position=4)

    assert read_again(source, store, since=between) == {partition_of(log): 2}
    consume_once(source, store, limit=10, now=lambda: NOON, observer=Heard())

    assert store.stored_event_ids([prediction(number).prediction_id for number in range(1, 5)]) == {
        prediction(3).prediction_id,
        prediction(4).prediction_id,
    }
    store.close()


def test_a_time_after_the_newest_event_changes_nothing(log: EventLogSqlite) -> None:
    append(log, 1, 2)

    assert log.position_before(datetime.now(UTC) + timedelta(hours=1)) == 2


def test_a_broker_that_lacks_events_gets_them_from_the_log(log: EventLogSqlite) -> None:
    append(log, 1)
    between = datetime.now(UTC)
    append(log, 2)
    outbox, sink = OutboxSqlite(log), SinkInMemory()
    forward_once(outbox, sink, limit=10)  # type: ignore[arg-type]  # it is never closed

    assert send_again(log, outbox, sink, since=between) == 1  # type: ignore[arg-type]
    forward_once(outbox, sink, limit=10)  # type: ignore[arg-type]

    assert sink.delivered == [prediction(number).prediction_id for number in (1, 2, 2)]


@pytest.mark.parametrize("command", ["consume", "forward"])
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--again"], "--again and --from go together"),
        (["--from", "2026-03-01T08:00Z"], "--again and --from go together"),
        (["--again", "--from", "yesterday"], "--from: Invalid isoformat string: 'yesterday'"),
        (["--again", "--from", "2026-03-01T08:00"], "without a time zone"),
    ],
)
def test_a_time_that_is_missing_or_none_is_refused(command: str, flags: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [command, "--home", str(tmp_path), *flags])

    assert result.exit_code == 2
    assert said in result.output


def apply_nothing() -> Batch:
    return Batch([], [], [])
