"""Steps of carrying events that several tests take."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from services.adapters.event_log_kafka import KafkaSource
from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.record_store import RecordStoreSql
from services.core.errors import EventLogUnavailable
from services.core.events import Event, prediction_event
from services.core.records import Batch
from services.core.transport import Portion
from services.ingest.apply import apply
from services.ingest.consume import consume_once
from tests.consuming import Heard
from tests.toy import NOON, prediction


def append(directory: Path, *events: Event) -> None:
    log = EventLogSqlite(directory / "events.sqlite")
    log.append(*events).result(10)
    log.close()


def event(number: int) -> Event:
    return prediction_event(prediction(number))


def ids(*numbers: int) -> set[str]:
    return {event(number).id for number in numbers}


def carry(source: KafkaSource, store: RecordStoreSql) -> None:
    consume_once(source, store, limit=100, now=lambda: NOON, observer=Heard())


def carry_until(
    source: KafkaSource, store: RecordStoreSql, condition: Callable[[], bool], *, seconds: float = 30.0
) -> None:
    """What the loop does: outages are waited out."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        with contextlib.suppress(EventLogUnavailable):
            carry(source, store)


def await_portions(source: KafkaSource) -> list[Portion]:
    deadline = time.monotonic() + 20
    while True:
        assert time.monotonic() < deadline, "nothing was read"
        if portions := source.read(limit=100):
            return portions


def keep_rows(store: RecordStoreSql, portions: list[Portion]) -> None:
    for portion in portions:
        rows: Batch = apply(portion.events, origin=portion.origin, now=NOON)
        store.commit(rows, consumer=portion.partition, position=portion.position)


def keep(source: KafkaSource, store: RecordStoreSql, portions: list[Portion]) -> None:
    keep_rows(store, portions)
    for portion in portions:
        source.kept(portion)
