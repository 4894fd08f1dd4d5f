"""Brokers that are not there or do not answer, and events that they do not take."""

import contextlib
import itertools
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient

from services.adapters.event_log_kafka import KafkaCluster, KafkaSink, KafkaSource
from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.outbox_sqlite import OutboxSqlite
from services.adapters.record_store import RecordStoreSql
from services.core.errors import EventLogUnavailable
from services.core.events import PREDICTIONS_TOPIC, prediction_event
from services.core.records import DeadLetter
from services.core.transport import Lag
from services.ingest.audit import audit
from services.ingest.forward import forward_once
from tests.integration.kafka.carrying import append, await_portions, carry, carry_until, event, ids, keep
from tests.ports import free_port
from tests.servers.kafka import Broker
from tests.toy import NOON, prediction

PATIENCE = 3.0
"""Seconds, as the fixture `cluster` has them."""


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

    def test_one_event_too_large_among_many_of_its_partition_is_the_only_one_that_does_not_arrive(
        self, tmp_path: Path, outbox: OutboxSqlite, cluster: KafkaCluster, store: RecordStoreSql
    ) -> None:
        cluster = replace(cluster, partitions=1, patience=timedelta(seconds=15))
        sink, source = (
            KafkaSink(cluster, now=lambda: NOON),
            KafkaSource(cluster, committed=store.committed, now=lambda: NOON),
        )
        large = prediction_event(prediction(200, reasons=["long" * 500_000]))
        append(tmp_path, *(event(number) for number in range(200)), large, *(event(n) for n in range(201, 400)))

        assert forward_once(outbox, sink, limit=500) == 400
        carry_until(source, store, lambda: store.counts().predictions == 399)
        carry_until(source, store, lambda: bool(store.dead_letters(limit=5)))

        (letter,) = store.dead_letters(limit=5)
        assert (letter.reason, letter.event_id) == ("oversized", large.id)
        sink.close()
        source.close()

    def test_letters_keep_their_data_beside_one_that_is_too_large(
        self, cluster: KafkaCluster, store: RecordStoreSql
    ) -> None:
        cluster = replace(cluster, partitions=1, patience=timedelta(seconds=15))
        sink, source = (
            KafkaSink(cluster, now=lambda: NOON),
            KafkaSource(cluster, committed=store.committed, now=lambda: NOON),
        )
        letter = DeadLetter(event_id="", reason="r", detail="d", origin="", type="t", key="k", data=b"d" * 100, at=NOON)
        letters = [msgspec.structs.replace(letter, event_id=str(n), origin=str(n)) for n in range(20)]
        letters[10] = msgspec.structs.replace(letters[10], data=b"d" * 9_000_000)
        sink.bury(letters)

        carry_until(source, store, lambda: len(store.dead_letters(limit=50)) == 20)

        assert [each.origin for each in store.dead_letters(limit=50) if not each.data] == ["10"]
        sink.close()
        source.close()

    def test_events_arrive_while_the_topic_gets_further_partitions_and_are_read_in_seconds(
        self, cluster: KafkaCluster, sink: KafkaSink, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        sink.deliver([event(number) for number in range(10)])
        carry_until(source, store, lambda: store.counts().predictions == 10)
        admin = KafkaAdminClient(bootstrap_servers=cluster.servers)
        admin.create_partitions({cluster.topics()[PREDICTIONS_TOPIC].name: 4})
        admin.close()
        numbers = itertools.count(10)

        def reads_new_partitions() -> bool:
            sink.deliver([event(next(numbers))])
            return len([lag for lag in source.lags() if lag.topic.endswith("predictions") and has_rows(lag)]) == 4

        def has_rows(lag: Lag) -> bool:
            return store.position(cluster.topics()[PREDICTIONS_TOPIC].part_name(lag.partition)) > 0

        carry_until(source, store, reads_new_partitions, seconds=40)

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
        source = KafkaSource(cluster, committed=store.committed, now=lambda: NOON, stall_seconds=1.0)
        sink.deliver([event(1)])
        carry_until(source, store, lambda: store.stored_event_ids(list(ids(1))) == ids(1))
        consumer = source._consumer
        assert consumer is not None
        consumer.pause(*consumer.assignment())  # as a client that has lost its way would
        sink.deliver([event(2)])

        carry_until(source, store, lambda: store.stored_event_ids(list(ids(2))) == ids(2))

        assert source._consumer is not consumer
        source.close()

    def test_a_consumer_that_no_group_takes_in_is_replaced(
        self, cluster: KafkaCluster, sink: KafkaSink, store: RecordStoreSql
    ) -> None:
        source = KafkaSource(cluster, committed=store.committed, now=lambda: NOON, forming_seconds=1.0)
        sink.deliver([event(1)])
        carry_until(source, store, lambda: store.stored_event_ids(list(ids(1))) == ids(1))
        consumer = source._consumer
        assert consumer is not None
        source._rebalances.on_partitions_lost(consumer.assignment())
        consumer.unsubscribe()  # as a client would that waits for a group for ever
        sink.deliver([event(2)])

        carry_until(source, store, lambda: store.stored_event_ids(list(ids(2))) == ids(2))

        assert source._consumer is not consumer
        source.close()


@contextlib.contextmanager
def silent(broker: Broker) -> Iterator[None]:
    """The broker neither answers nor closes connections."""
    broker.send(signal.SIGSTOP)
    try:
        yield
    finally:
        broker.send(signal.SIGCONT)
