"""What a real broker and its client do to us: records that cannot be read, brokers that do not answer, rebalances."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer

from services.adapters.event_log_kafka import KafkaCluster, KafkaSink, KafkaSource
from services.adapters.event_log_kafka.cloud_events import headers_of
from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.outbox_sqlite import OutboxSqlite
from services.adapters.record_store import RecordStoreSql
from services.core.errors import EventLogUnavailable
from services.core.events import DEAD_LETTERS_TOPIC, PREDICTIONS_TOPIC, Event, prediction_event
from services.core.records import Batch, DeadLetter
from services.core.transport import Portion
from services.ingest.apply import apply
from services.ingest.audit import audit
from services.ingest.consume import consume, consume_once
from services.ingest.forward import forward_once
from tests.ports import free_port
from tests.servers.kafka import Broker
from tests.toy import NOON, prediction

PATIENCE = 3.0
"""Seconds, as the fixture `cluster` has them."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStoreSql]:
    store = RecordStoreSql(f"sqlite:///{tmp_path / 'records.sqlite'}")
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[OutboxSqlite]:
    outbox = open_outbox(tmp_path)
    yield outbox
    outbox.close()


@pytest.fixture
def sink(cluster: KafkaCluster) -> Iterator[KafkaSink]:
    sink = KafkaSink(cluster, now=lambda: NOON)
    yield sink
    sink.close()


@pytest.fixture
def open_source(cluster: KafkaCluster, store: RecordStoreSql) -> Iterator[Callable[[], KafkaSource]]:
    opened: list[KafkaSource] = []

    def open_one() -> KafkaSource:
        opened.append(KafkaSource(cluster, position=store.position, now=lambda: NOON))
        return opened[-1]

    yield open_one
    for source in opened:
        source.close()


@pytest.fixture
def source(open_source: Callable[[], KafkaSource]) -> KafkaSource:
    return open_source()


def open_outbox(directory: Path) -> OutboxSqlite:
    path = directory / "events.sqlite"
    return OutboxSqlite(path, EventLogSqlite(path))


def append(directory: Path, *events: Event) -> None:
    log = EventLogSqlite(directory / "events.sqlite")
    log.append(*events).result(10)
    log.close()


def event(number: int) -> Event:
    return prediction_event(prediction(number))


def ids(*numbers: int) -> set[str]:
    return {event(number).id for number in numbers}


def carry(source: KafkaSource, store: RecordStoreSql) -> None:
    consume_once(source, store, limit=100, now=lambda: NOON, observe=lambda *_: None)


def carry_until(
    source: KafkaSource, store: RecordStoreSql, condition: Callable[[], bool], *, seconds: float = 30.0
) -> None:
    """What the loop does: outages are waited out."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        with contextlib.suppress(EventLogUnavailable):
            carry(source, store)


def put_raw(cluster: KafkaCluster, *records: Mapping[str, object]) -> None:
    """Records as somebody else's program may write them, one after the other into partition 0."""
    producer = KafkaProducer(bootstrap_servers=cluster.servers)
    for record in records:
        topic = cluster.topics()[PREDICTIONS_TOPIC].name
        producer.send(topic, partition=0, **record).get(10)
    producer.close()


def letters_in_topic(cluster: KafkaCluster) -> int:
    """How many records the topic of dead letters has."""
    from services.adapters.event_log_kafka.unreadable import alone

    parts = cluster.topics()[DEAD_LETTERS_TOPIC].parts
    with contextlib.closing(alone(cluster)) as consumer:
        return sum(consumer.end_offsets(parts, timeout_ms=3000).values())


UNKNOWN_MAJOR = msgspec.structs.replace(event(1), type="bellwether.prediction.made.v2")


class TestRecordsThatAreNoEvents:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"headers": []}, "unknown_version"),
            ({"headers": headers_of(event(1))[1:]}, "unknown_version"),
            ({"headers": [("ce_specversion", b"2.0")]}, "unknown_version"),
            ({"headers": [("ce_specversion", b"1.0")]}, "no_envelope"),
            ({"headers": [*headers_of(event(1)), ("ce_id", b"\xff")]}, "no_envelope"),
            ({"headers": [*headers_of(event(1)), ("ce_id", b"a\x00b")]}, "no_envelope"),
            ({"headers": [*headers_of(event(1)), ("ce_time", b"noon")]}, "no_envelope"),
            ({"key": b"\xff"}, "no_envelope"),
            ({"value": None}, "no_data"),
            ({"value": b"\xff{"}, "undecodable"),
            (
                {"headers": headers_of(msgspec.structs.replace(event(1), type="bellwether.prediction.made.v2"))},
                "unknown_type",
            ),
        ],
    )
    def test_poison_goes_to_the_dead_letters_with_its_reason_and_origin_and_stops_nobody(
        self,
        changes: dict[str, object],
        reason: str,
        cluster: KafkaCluster,
        source: KafkaSource,
        store: RecordStoreSql,
    ) -> None:
        good = {"key": event(2).key.encode(), "value": event(2).data, "headers": headers_of(event(2))}
        poison = {"key": event(1).key.encode(), "value": event(1).data, "headers": headers_of(event(1))} | changes
        put_raw(cluster, poison, good)

        carry_until(source, store, lambda: store.stored_event_ids([event(2).id]) == ids(2))

        (letter,) = store.dead_letters(limit=5)
        name = cluster.topics()[PREDICTIONS_TOPIC].part_name(0)
        assert (letter.reason, letter.origin) == (reason, f"{name}@0")
        assert letter.data == (changes.get("value", event(1).data) or b"")
        assert letters_in_topic(cluster) == 1

    def test_a_letter_that_others_put_into_the_topic_is_kept_in_the_store_once(
        self, cluster: KafkaCluster, source: KafkaSource, store: RecordStoreSql, sink: KafkaSink
    ) -> None:
        letter = DeadLetter(
            event_id="e", reason="oversized", detail="", origin="forwarder@e", type="t", key="k", data=b"d", at=NOON
        )
        letter = msgspec.structs.replace(letter, detail="too large")
        sink.bury([letter, letter])

        carry_until(source, store, lambda: bool(store.dead_letters(limit=5)))

        assert store.dead_letters(limit=5) == [letter]
        assert letters_in_topic(cluster) == 2

    def test_bytes_that_rotted_on_the_brokers_disk_are_passed_over_as_dead_letters(
        self, broker: Broker, cluster: KafkaCluster, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        put_raw(cluster, *({"key": b"k", "value": event(n).data, "headers": headers_of(event(n))} for n in (1, 2, 3)))
        rot(broker, cluster, event(2).data)

        carry_until(source, store, lambda: store.stored_event_ids(list(ids(1, 3))) == ids(1, 3))

        (letter,) = store.dead_letters(limit=5)
        assert letter.reason == "unreadable"
        assert letter.origin.endswith("@1")
        assert "crc" in letter.detail


def rot(broker: Broker, cluster: KafkaCluster, data: bytes) -> None:
    """Turn a bit of this data in the file that the broker serves it from."""
    directory = broker.directory / "data" / f"{cluster.topics()[PREDICTIONS_TOPIC].name}-0"
    (path,) = directory.glob("*.log")
    place = path.read_bytes().index(data) + len(data) // 2
    with path.open("r+b") as file:
        file.seek(place)
        turned = file.read(1)[0] ^ 1
        file.seek(place)
        file.write(bytes([turned]))


class TestForwarding:
    def test_an_event_larger_than_the_broker_takes_becomes_a_dead_letter_and_its_neighbours_arrive(
        self, tmp_path: Path, outbox: OutboxSqlite, sink: KafkaSink, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        large = prediction_event(prediction(2, reasons=["long" * 500_000]))
        append(tmp_path, event(1), large, event(3))

        assert forward_once(outbox, sink, limit=10) == 3
        assert forward_once(outbox, sink, limit=10) == 0
        carry_until(source, store, lambda: store.stored_event_ids(list(ids(1, 3))) == ids(1, 3))
        carry_until(source, store, lambda: bool(store.dead_letters(limit=5)))

        (letter,) = store.dead_letters(limit=5)
        assert (letter.reason, letter.event_id, letter.data) == ("oversized", large.id, large.data)
        assert letter.origin == f"forwarder@{large.id}"

    def test_a_dead_letter_that_is_too_large_for_its_topic_leaves_its_data_out_and_says_so(
        self, tmp_path: Path, outbox: OutboxSqlite, sink: KafkaSink, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        append(tmp_path, prediction_event(prediction(1, reasons=["long" * 3_000_000])))

        forward_once(outbox, sink, limit=10)
        carry_until(source, store, lambda: bool(store.dead_letters(limit=5)))

        (letter,) = store.dead_letters(limit=5)
        assert (letter.reason, letter.data) == ("oversized", b"")
        assert "too large for the dead letters, too" in letter.detail

    def test_a_forwarder_that_dies_before_its_position_moves_sends_again_and_the_store_has_each_event_once(
        self, tmp_path: Path, outbox: OutboxSqlite, sink: KafkaSink, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        append(tmp_path, *(event(number) for number in range(5)))
        sink.deliver([each.event for each in outbox.read(after=0, limit=5)])  # and then it is gone

        forward_once(outbox, sink, limit=10)
        carry_until(source, store, lambda: len(store.stored_event_ids(list(ids(*range(5))))) == 5)
        carry(source, store)

        log = EventLogSqlite(tmp_path / "events.sqlite")
        found = audit(log, store, passed=log.end())
        assert (found.appended, found.stored, found.duplicates_stored, found.unaccounted) == (5, 5, 0, 0)
        log.close()

    def test_topics_that_were_made_anew_get_every_event_again(
        self, tmp_path: Path, outbox: OutboxSqlite, cluster: KafkaCluster, store: RecordStoreSql, sink: KafkaSink
    ) -> None:
        append(tmp_path, event(1))
        forward_once(outbox, sink, limit=10)
        other = KafkaSink(replace(cluster, prefix=f"{cluster.prefix}-again"), now=lambda: NOON)

        assert forward_once(outbox, other, limit=10) == 1
        assert outbox.unsent().events == 0
        other.close()

    def test_a_broker_that_is_not_there_is_an_error_in_time_and_nothing_is_taken_for_sent(
        self, tmp_path: Path, outbox: OutboxSqlite, cluster: KafkaCluster
    ) -> None:
        append(tmp_path, event(1))
        sink = KafkaSink(replace(cluster, servers=f"127.0.0.1:{free_port()}"), now=lambda: NOON)

        began = time.monotonic()
        with pytest.raises(EventLogUnavailable, match="Kafka at 127"):
            forward_once(outbox, sink, limit=10)

        assert time.monotonic() - began < 2 * PATIENCE
        assert outbox.unsent().events == 1


class TestABrokerThatDoesNotAnswer:
    def test_a_delivery_ends_in_time_and_is_made_again(
        self, tmp_path: Path, broker: Broker, outbox: OutboxSqlite, sink: KafkaSink
    ) -> None:
        append(tmp_path, event(1))
        forward_once(outbox, sink, limit=10)
        append(tmp_path, event(2))
        with silent(broker):
            began = time.monotonic()
            with pytest.raises(EventLogUnavailable):
                forward_once(outbox, sink, limit=10)
            with pytest.raises(EventLogUnavailable):
                forward_once(outbox, sink, limit=10)
            assert time.monotonic() - began < 4 * PATIENCE
        assert outbox.unsent().events == 1

        assert forward_once(outbox, sink, limit=10) == 1
        assert outbox.unsent().events == 0

    def test_a_consumer_neither_waits_for_it_nor_misses_anything_afterwards(
        self, broker: Broker, sink: KafkaSink, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        sink.deliver([event(1)])
        portions = await_portions(source)
        with silent(broker):
            began = time.monotonic()
            keep(source, store, portions)
            with contextlib.suppress(EventLogUnavailable):
                assert source.read(limit=10) == []
            assert time.monotonic() - began < 2 * PATIENCE
        sink.deliver([event(2)])

        carry_until(source, store, lambda: store.stored_event_ids(list(ids(1, 2))) == ids(1, 2))


class TestAClientThatStopsReading:
    def test_a_consumer_that_gets_nothing_while_there_is_something_is_replaced(
        self, cluster: KafkaCluster, sink: KafkaSink, store: RecordStoreSql
    ) -> None:
        source = KafkaSource(cluster, position=store.position, now=lambda: NOON, stall_seconds=1.0)
        sink.deliver([event(1)])
        carry_until(source, store, lambda: store.stored_event_ids(list(ids(1))) == ids(1))
        consumer = source._consumer
        assert consumer is not None
        consumer.pause(*consumer.assignment())  # as a client that has lost its way would
        sink.deliver([event(2)])

        carry_until(source, store, lambda: store.stored_event_ids(list(ids(2))) == ids(2))

        assert source._consumer is not consumer
        source.close()


class TestRebalances:
    def test_a_batch_whose_partition_went_to_another_is_stored_once_and_moves_no_position_back(
        self, sink: KafkaSink, open_source: Callable[[], KafkaSource], store: RecordStoreSql
    ) -> None:
        sink.deliver([event(number) for number in range(40)])
        slow, other = open_source(), open_source()
        held = await_portions(slow)
        slow.close()
        sink.deliver([event(number) for number in range(40, 80)])
        carry_until(other, store, lambda: len(store.stored_event_ids(list(ids(*range(80))))) == 80)
        before = {portion.partition: store.position(portion.partition) for portion in held}

        keep_rows(store, held)

        assert {portion.partition: store.position(portion.partition) for portion in held} == before
        assert all(portion.position < before[portion.partition] for portion in held)
        assert (store.counts().predictions, store.stored_twice()) == (80, 0)

    def test_members_that_come_and_go_leave_out_nothing_and_settle_by_themselves(
        self, sink: KafkaSink, open_source: Callable[[], KafkaSource], store: RecordStoreSql
    ) -> None:
        with consuming(open_source, store), consuming(open_source, store) as leave:
            for start in range(0, 300, 20):
                sink.deliver([event(number) for number in range(start, start + 20)])
                if start == 100:
                    leave()
                if start == 200:
                    with consuming(open_source, store):
                        await_stored(store, count=200)
            await_stored(store, count=300)

        assert (store.counts().predictions, store.stored_twice()) == (300, 0)


@contextlib.contextmanager
def consuming(open_source: Callable[[], KafkaSource], store: RecordStoreSql) -> Iterator[Callable[[], None]]:
    """One more member of the group, on a thread of its own. Yields what makes it leave before the end."""
    leaving = threading.Event()
    source = open_source()

    def loop() -> None:
        consume(
            source,
            store,
            limit=5,
            now=lambda: NOON,
            stop=leaving,
            idle_seconds=0.02,
            observe=lambda *_: None,
            each_round=lambda: None,
        )
        source.close()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield leaving.set
    finally:
        leaving.set()
        thread.join(30)


def await_stored(store: RecordStoreSql, *, count: int) -> None:
    deadline = time.monotonic() + 30
    while store.counts().predictions < count:
        assert time.monotonic() < deadline, f"{store.counts().predictions} of {count} stored"
        time.sleep(0.02)


@contextlib.contextmanager
def silent(broker: Broker) -> Iterator[None]:
    """The broker neither answers nor closes connections."""
    broker.send(signal.SIGSTOP)
    try:
        yield
    finally:
        broker.send(signal.SIGCONT)


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
