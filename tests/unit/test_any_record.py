"""No record of anybody ends a consumer: it becomes an event or a dead letter, and a store can keep either."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.adapters.event_log_kafka.cloud_events import event_of, headers_of, letter_of, unreadable_letter
from services.adapters.record_store import RecordStoreSql
from services.core.errors import MalformedEvent
from services.core.events import (
    OUTCOME_OBSERVED,
    PREDICTION_MADE,
    PREDICTIONS_TOPIC,
    LoggedEvent,
    prediction_event,
)
from services.ingest.apply import apply
from tests.toy import NOON, prediction

EVENT = prediction_event(prediction(1))
DEPTHS = [100, 1000, 100_000]


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordStoreSql]:
    directory: Path = tmp_path_factory.mktemp("records")
    store = RecordStoreSql(f"sqlite:///{directory / 'records.sqlite'}")
    store.migrate()
    yield store
    store.close()


values = st.one_of(
    st.none(),
    st.binary(max_size=200),
    st.just(EVENT.data),
    st.sampled_from(DEPTHS).map(lambda depth: nested(EVENT.data, depth)),
)
texts = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode(errors="replace")),
    st.datetimes().map(lambda moment: moment.isoformat().encode()),
    st.sampled_from([b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59-14:00", b"1.0", b"", b"\x00", b"x" * 100_000]),
)
names = st.one_of(
    st.sampled_from([name for name, _ in headers_of(EVENT)]),
    st.sampled_from(["event_id", "reason", "detail", "origin", "type", "key", "at"]),
    st.text(max_size=20),
)
records = st.builds(
    Record,
    key=st.one_of(st.none(), texts),
    value=values,
    headers=st.lists(st.tuples(names, st.one_of(st.none(), texts)), max_size=20).flatmap(
        lambda odd: st.sampled_from([odd, [*headers_of(EVENT), *odd], [*odd, *headers_of(EVENT)]])
    ),
)


def nested(data: bytes, depth: int) -> bytes:
    return b'{"more":' + b"[" * depth + b"]" * depth + b"," + data[1:]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("kind", [PREDICTION_MADE, OUTCOME_OBSERVED])
def test_data_of_any_depth_is_an_event_or_a_dead_letter(depth: int, opening: bytes, closing: bytes, kind: str) -> None:
    data = b'{"more":' + opening * depth + b"1" + closing * depth + b"," + EVENT.data[1:]

    batch = apply([LoggedEvent(1, msgspec.structs.replace(EVENT, type=kind, data=data))], origin="log", now=NOON)

    assert len(batch.predictions) + len(batch.dead_letters) == 1
    assert all(letter.reason == "undecodable" for letter in batch.dead_letters)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(record=records)
def test_a_record_of_anybody_is_stored_as_an_event_or_as_a_dead_letter(record: Record, store: RecordStoreSql) -> None:
    try:
        event = event_of(record, topic=PREDICTIONS_TOPIC)
        batch = apply([LoggedEvent(1, event)], origin="log", now=NOON)
    except MalformedEvent as error:
        batch = apply([], origin="log", now=NOON)
        batch.dead_letters.append(unreadable_letter(record, error, origin="log@1", now=NOON))

    assert len(batch.predictions) + len(batch.outcomes) + len(batch.dead_letters) == 1
    store.commit(batch, consumer="log", position=1)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(record=records)
def test_a_record_of_anybody_in_the_topic_of_dead_letters_is_stored(record: Record, store: RecordStoreSql) -> None:
    batch = apply([], origin="log", now=NOON)
    try:
        batch.dead_letters.append(letter_of(record))
    except MalformedEvent as error:
        batch.dead_letters.append(unreadable_letter(record, error, origin="log@1", now=NOON))

    store.commit(batch, consumer="letters", position=1)
    assert store.dead_letters(limit=1)
