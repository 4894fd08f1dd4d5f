"""What every source of events promises a consumer. A further one joins by a line in `SOURCES`."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from services.adapters.event_log_kafka import KafkaCluster, KafkaSink, KafkaSource
from services.adapters.event_log_sqlite import EventLogSqlite
from services.core.events import Event, outcome_event, prediction_event
from services.core.letters import findable
from services.core.outcomes import OutcomeObserved
from services.core.records import Position
from services.core.transport import EventSource, Portion
from services.ingest.local import LocalSource
from tests.consuming import LastLogInMemory
from tests.toy import NOON, prediction

Positions = dict[str, Position]
"""A consumer's positions, as the store has them."""


class Way:
    """Somewhere that events are put in and read from. `positions` outlives the sources that are opened."""

    def __init__(self, put: Callable[[list[Event]], None], opening: Callable[[Positions], EventSource]) -> None:
        self.put = put
        self.positions: Positions = {}
        self._opening = opening
        self._opened: list[EventSource] = []

    def open(self) -> EventSource:
        self._opened.append(self._opening(self.positions))
        return self._opened[-1]

    def close(self) -> None:
        for source in self._opened:
            source.close()

    def keep(self, source: EventSource, portion: Portion) -> None:
        self.positions[portion.partition] = Position(portion.position, portion.last_event)
        source.kept(portion)


@pytest.fixture(params=["sqlite", "kafka"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    way = local(tmp_path) if request.param == "sqlite" else kafka(request.getfixturevalue("cluster"))
    yield way
    way.close()


def local(directory: Path) -> Way:
    def put(events: list[Event]) -> None:
        log = EventLogSqlite(directory / "events.sqlite")
        log.append(*events).result(10)
        log.close()

    def opening(positions: Positions) -> EventSource:
        log = EventLogSqlite(directory / "events.sqlite")
        return LocalSource(log, committed=lambda name: positions.get(name, Position()), last_log=LastLogInMemory())

    return Way(put, opening)


def kafka(cluster: KafkaCluster) -> Way:
    def put(events: list[Event]) -> None:
        sink = KafkaSink(cluster, now=lambda: NOON)
        sink.deliver(events)
        sink.close()

    def opening(positions: Positions) -> EventSource:
        return KafkaSource(cluster, committed=lambda name: positions.get(name, Position()), now=lambda: NOON)

    return Way(put, opening)


def event(number: int) -> Event:
    return prediction_event(prediction(number))


def read(source: EventSource, *, at_least: int, limit: int = 100) -> list[Portion]:
    """What the source has, until there are so many events; nothing of it is kept by the reading."""
    deadline = time.monotonic() + 30
    portions: list[Portion] = []
    while sum(len(each.events) for each in portions) < at_least:
        assert time.monotonic() < deadline, f"{portions} after 30 s"
        portions = source.read(limit=limit)
    return portions


def read_and_keep(way: Way, source: EventSource, *, at_least: int) -> list[str]:
    """The ids of events, until there are so many."""
    ids: list[str] = []
    while len(ids) < at_least:
        for portion in read(source, at_least=1):
            ids += [each.event.id for each in portion.events]
            way.keep(source, portion)
    return ids


def test_every_event_comes_as_it_was_put_in(way: Way) -> None:
    outcome = OutcomeObserved(prediction_id=prediction(1).prediction_id, model="toy", value="left", observed_at=NOON)
    events = [event(1), outcome_event(outcome), event(2)]
    way.put(events)

    found: list[Event] = []
    source = way.open()
    while len(found) < 3:
        for portion in read(source, at_least=1):
            found += [each.event for each in portion.events]
            way.keep(source, portion)

    assert sorted(found, key=lambda each: each.id) == sorted(events, key=lambda each: each.id)


def test_the_events_of_one_key_come_in_their_order(way: Way) -> None:
    def correction(number: int) -> Event:
        key = prediction(1).prediction_id
        return outcome_event(OutcomeObserved(prediction_id=key, model="toy", value=str(number), observed_at=NOON))

    way.put([correction(number) for number in range(20)])

    assert read_and_keep(way, way.open(), at_least=20) == [correction(number).id for number in range(20)]


def test_what_was_kept_does_not_come_again_to_whoever_reads_next(way: Way) -> None:
    way.put([event(number) for number in range(10)])
    first = way.open()
    read_and_keep(way, first, at_least=10)
    first.close()
    way.put([event(10)])

    assert read_and_keep(way, way.open(), at_least=1) == [event(10).id]


def test_what_was_not_kept_comes_again_to_the_same_reader_and_to_the_next(way: Way) -> None:
    way.put([event(1)])
    source = way.open()
    (before,) = read(source, at_least=1)

    (again,) = read(source, at_least=1)
    source.close()
    (elsewhere,) = read(way.open(), at_least=1)

    assert before == again == elsewhere


def test_of_two_portions_only_the_one_that_was_not_kept_comes_again(way: Way) -> None:
    way.put([event(number) for number in range(4)])
    source = way.open()
    kept = read(source, at_least=1, limit=2)[0]
    way.keep(source, kept)

    rest = read_and_keep(way, source, at_least=4 - len(kept.events))

    assert {each.event.id for each in kept.events} | set(rest) == {event(number).id for number in range(4)}
    assert not {each.event.id for each in kept.events} & set(rest)


def test_an_event_with_an_id_that_no_store_keeps_as_it_is_comes_once(way: Way) -> None:
    foreign = msgspec.structs.replace(event(1), id="x" * 9000)
    way.put([foreign])
    first = way.open()
    read_and_keep(way, first, at_least=1)
    way.positions = {name: Position(each.offset, findable(each.last_event)) for name, each in way.positions.items()}
    first.close()
    way.put([event(2)])

    assert read_and_keep(way, way.open(), at_least=1) == [event(2).id]


def test_positions_rise_and_the_portion_ends_behind_its_last_event(way: Way) -> None:
    way.put([event(number) for number in range(10)])
    source = way.open()

    for portion in read(source, at_least=1):
        positions = [each.position for each in portion.events]
        assert positions == sorted(set(positions))
        assert portion.position >= positions[-1]


def test_each_partition_can_be_read_again_from_a_moment_on(way: Way) -> None:
    way.put([event(number) for number in range(4)])
    source = way.open()
    read_and_keep(way, source, at_least=4)
    between = datetime.now(UTC)
    way.put([event(number) for number in range(4, 8)])
    read_and_keep(way, source, at_least=4)

    before = source.positions_before(between)
    source.close()
    way.positions |= {name: Position(offset) for name, offset in before.items()}

    assert set(read_and_keep(way, way.open(), at_least=4)) >= {event(number).id for number in range(4, 8)}


def test_the_lag_is_what_was_put_in_and_not_read(way: Way) -> None:
    way.put([event(number) for number in range(10)])
    source = way.open()
    read_and_keep(way, source, at_least=10)

    assert sum(lag.events for lag in source.lags()) == 0


def test_an_empty_log_gives_nothing_and_does_not_wait_long(way: Way) -> None:
    source = way.open()
    way.put([event(1)])
    read_and_keep(way, source, at_least=1)

    began = time.monotonic()

    assert source.read(limit=10) == []
    assert time.monotonic() - began < 2


def test_each_portion_begins_where_the_one_before_it_ended(way: Way) -> None:
    way.put([event(number) for number in range(20)])
    source = way.open()
    ends: dict[str, int] = {}

    count = 0
    while count < 20:
        for portion in read(source, at_least=1, limit=3):
            assert portion.start == ends.get(portion.partition, 0)
            ends[portion.partition] = portion.position
            count += len(portion.events)
            way.keep(source, portion)


def test_the_end_is_reached_when_all_that_was_there_is_kept_and_not_before(way: Way) -> None:
    way.put([event(number) for number in range(10)])
    source = way.open()
    for portion in read(source, at_least=1, limit=1):
        way.keep(source, portion)
    assert not source.reached_end()

    read_and_keep(way, source, at_least=9)

    assert reaches_end(source)


def test_what_is_put_in_after_the_question_does_not_move_the_end(way: Way) -> None:
    way.put([event(1)])
    source = way.open()
    read_and_keep(way, source, at_least=1)
    assert reaches_end(source)

    way.put([event(2)])

    assert source.reached_end()


def test_a_log_without_events_is_at_its_end(way: Way) -> None:
    assert reaches_end(way.open())


def reaches_end(source: EventSource) -> bool:
    """Whether it does without an event of its own, within the time that a group takes to form."""
    deadline = time.monotonic() + 30
    while not source.reached_end():
        assert time.monotonic() < deadline, "the end was not reached in 30 s"
        assert source.read(limit=10) == []
    return True
