"""Records that cannot be read, or are no events: each becomes a dead letter and stops nobody."""

import contextlib
from collections.abc import Mapping

import msgspec
import pytest
from kafka import KafkaProducer

from services.adapters.event_log_kafka import KafkaCluster, KafkaSink, KafkaSource
from services.adapters.event_log_kafka.cloud_events import headers_of
from services.adapters.event_log_kafka.decompression import BATCH_BYTES
from services.adapters.event_log_kafka.unreadable import alone
from services.adapters.record_store import RecordStoreSql
from services.core.events import DEAD_LETTERS_TOPIC, PREDICTIONS_TOPIC
from services.core.records import DeadLetter
from tests.integration.kafka.carrying import carry_until, event, ids
from tests.servers.kafka import Broker
from tests.servers.kafka_files import rewrite, rot
from tests.toy import NOON


def put_raw(cluster: KafkaCluster, *records: Mapping[str, object], compression: str | None = None) -> None:
    """Records as somebody else's program may write them, one after the other into partition 0."""
    producer = KafkaProducer(bootstrap_servers=cluster.servers, compression_type=compression)
    topic = cluster.topics()[PREDICTIONS_TOPIC].name
    for record in records:
        producer.send(topic, partition=0, **record).get(10)
    producer.close()


def put_batch(cluster: KafkaCluster, *records: Mapping[str, object], compression: str | None = None) -> None:
    """The same, all of them in one batch."""
    producer = KafkaProducer(
        bootstrap_servers=cluster.servers,
        compression_type=compression,
        linger_ms=1000,
        batch_size=900_000,
        max_request_size=2 * BATCH_BYTES,
    )
    topic = cluster.topics()[PREDICTIONS_TOPIC].name
    sent = [producer.send(topic, partition=0, **record) for record in records]
    for each in sent:
        each.get(10)
    producer.close()


def record(number: int) -> dict[str, object]:
    return {"key": event(number).key.encode(), "value": event(number).data, "headers": headers_of(event(number))}


def letters_in_topic(cluster: KafkaCluster) -> int:
    """How many records the topic of dead letters has."""
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
        rot(broker, cluster.topics()[PREDICTIONS_TOPIC].name, 0, event(2).data)

        carry_until(source, store, lambda: store.stored_event_ids(list(ids(1, 3))) == ids(1, 3))

        (letter,) = store.dead_letters(limit=5)
        assert letter.reason == "unreadable"
        assert letter.origin.endswith("@1")
        assert "crc" in letter.detail


class TestCompressedRecords:
    @pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
    def test_what_another_producer_compresses_is_read(
        self, codec: str, cluster: KafkaCluster, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        put_batch(cluster, record(1), record(2), compression=codec)
        put_raw(cluster, record(3))

        carry_until(source, store, lambda: store.stored_event_ids(list(ids(1, 2, 3))) == ids(1, 2, 3))

        assert store.dead_letters(limit=5) == []

    def test_a_batch_that_would_fill_the_memory_is_passed_over_as_a_dead_letter(
        self, cluster: KafkaCluster, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        put_batch(cluster, {"key": b"k", "value": bytes(BATCH_BYTES)}, compression="gzip")
        put_raw(cluster, record(1))

        carry_until(source, store, lambda: store.stored_event_ids(list(ids(1))) == ids(1))

        (letter,) = store.dead_letters(limit=5)
        assert (letter.reason, letter.detail.split(":")[0]) == ("unreadable", "BatchTooLarge")

    @pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
    def test_a_batch_that_its_codec_did_not_write_is_passed_over_as_dead_letters(
        self, compression: str, broker: Broker, cluster: KafkaCluster, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        put_batch(cluster, *(record(number) for number in range(1, 200)), compression=compression)
        put_raw(cluster, record(200))
        rewrite(broker, cluster.topics()[PREDICTIONS_TOPIC].name, 0, offset=0)

        carry_until(source, store, lambda: store.stored_event_ids(list(ids(200))) == ids(200))

        assert [letter.reason for letter in store.dead_letters(limit=500)] == ["unreadable"] * 199

    @pytest.mark.parametrize("codec", [5, 6, 7])
    def test_a_codec_that_nobody_knows_is_passed_over_as_dead_letters(
        self, codec: int, broker: Broker, cluster: KafkaCluster, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        put_raw(cluster, record(1), record(2), record(3))
        rewrite(broker, cluster.topics()[PREDICTIONS_TOPIC].name, 0, offset=1, codec=codec)

        carry_until(source, store, lambda: store.stored_event_ids(list(ids(1, 3))) == ids(1, 3))

        (letter,) = store.dead_letters(limit=5)
        assert (letter.reason, letter.origin[-2:]) == ("unreadable", "@1")
        assert "compression" in letter.detail

    def test_good_batches_between_bad_ones_are_read(
        self, broker: Broker, cluster: KafkaCluster, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        put_raw(cluster, *(record(number) for number in range(6)))
        topic = cluster.topics()[PREDICTIONS_TOPIC].name
        rot(broker, topic, 0, event(1).data)
        rot(broker, topic, 0, event(4).data)
        rewrite(broker, topic, 0, offset=2, codec=7)

        carry_until(source, store, lambda: store.stored_event_ids(list(ids(*range(6)))) == ids(0, 3, 5))

        assert sorted(letter.origin[-2:] for letter in store.dead_letters(limit=9)) == ["@1", "@2", "@4"]


class TestTransactions:
    def test_what_is_not_committed_is_not_read_and_the_marks_behind_it_are_passed(
        self, cluster: KafkaCluster, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        topic = cluster.topics()[PREDICTIONS_TOPIC]
        producer = KafkaProducer(bootstrap_servers=cluster.servers, transactional_id=cluster.prefix)
        producer.init_transactions()
        for number in range(2):
            producer.begin_transaction()
            producer.send(topic.name, partition=0, **record(number)).get(10)
            producer.commit_transaction() if number else producer.abort_transaction()
        producer.close()

        carry_until(source, store, lambda: store.position(topic.part_name(0)) == 4)

        assert store.stored_event_ids(list(ids(0, 1))) == ids(1)
        assert all(lag.events == 0 for lag in source.lags())
        assert source.reached_end()
