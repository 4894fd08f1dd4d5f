"""Logs that no longer begin or end where a consumer stood: what expired is counted, what was lost is noticed."""

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, TopicPartition

from services.adapters.event_log_kafka import KafkaCluster, KafkaSink, KafkaSource
from services.adapters.record_store import RecordStoreSql
from services.core.errors import EventLogUnavailable, LostPosition
from services.core.events import PREDICTIONS_TOPIC
from services.ingest.consume import consume_once
from tests.consuming import Heard
from tests.integration.kafka.carrying import event
from tests.ports import free_port
from tests.servers.kafka import Broker, broker_in
from tests.servers.kafka_files import cut
from tests.toy import NOON
from tests.waiting import eventually


def expire(cluster: KafkaCluster, *, before: int) -> None:
    """What retention does, at once."""
    admin = KafkaAdminClient(bootstrap_servers=cluster.servers)
    admin.delete_records({TopicPartition(cluster.topics()[PREDICTIONS_TOPIC].name, 0): before})
    admin.close()


def carry(source: KafkaSource, store: RecordStoreSql, heard: Heard, *, until: Callable[[], bool]) -> None:
    def look() -> bool:
        try:
            consume_once(source, store, limit=100, now=lambda: NOON, observer=heard)
        except EventLogUnavailable:
            return False
        return until()

    eventually(look, what="it is stored", seconds=60)


class TestALogThatNoLongerHasWhatComesNext:
    @pytest.fixture
    def cluster(self, cluster: KafkaCluster) -> KafkaCluster:
        return replace(cluster, partitions=1)

    def test_what_expired_before_it_was_read_is_counted_and_passed(
        self, cluster: KafkaCluster, sink: KafkaSink, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        sink.deliver([event(number) for number in range(10)])
        expire(cluster, before=6)
        heard = Heard()

        carry(source, store, heard, until=lambda: store.counts().predictions == 4)

        assert (heard.events_expired, heard.resets) == (6, [])

    def test_a_partition_whose_every_event_expired_is_passed_to_its_end(
        self, cluster: KafkaCluster, sink: KafkaSink, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        sink.deliver([event(number) for number in range(10)])
        expire(cluster, before=10)
        heard = Heard()

        carry(source, store, heard, until=source.reached_end)

        name = cluster.topics()[PREDICTIONS_TOPIC].part_name(0)
        assert (heard.events_expired, store.position(name)) == (10, 10)
        assert all(lag.events == 0 for lag in source.lags())

    def test_what_expired_behind_the_position_is_no_loss(
        self, cluster: KafkaCluster, sink: KafkaSink, open_source: Callable[[], KafkaSource], store: RecordStoreSql
    ) -> None:
        sink.deliver([event(number) for number in range(10)])
        first, heard = open_source(), Heard()
        carry(first, store, heard, until=lambda: store.counts().predictions == 10)
        first.close()
        expire(cluster, before=10)
        sink.deliver([event(10)])

        carry(open_source(), store, heard, until=lambda: store.counts().predictions == 11)

        assert (heard.events_expired, heard.resets) == (0, [])


class TestABrokerThatLosesItsTail:
    """Its disk did not keep what it had acknowledged, or an earlier copy was put back."""

    @pytest.fixture
    def own(self, tmp_path: Path, broker: Broker) -> Iterator[Broker]:
        directory = tmp_path / "broker"
        directory.mkdir()
        own = broker_in(directory, port=free_port())
        own.start()
        yield own
        own.stop()

    @pytest.fixture
    def cluster(self, own: Broker, cluster: KafkaCluster) -> KafkaCluster:
        return replace(cluster, servers=own.servers, partitions=1)

    def test_a_consumer_that_comes_back_when_others_stand_in_their_place_reads_the_log_again(
        self,
        own: Broker,
        cluster: KafkaCluster,
        sink: KafkaSink,
        open_source: Callable[[], KafkaSource],
        store: RecordStoreSql,
    ) -> None:
        first, heard = open_source(), Heard()
        fill(sink, first, store, heard)
        first.close()
        lose_tail(own, cluster)
        deliver(sink, *range(10, 20))

        carry(open_source(), store, heard, until=lambda: store.counts().predictions == 20)

        assert heard.resets == [LostPosition.OFFSET_GONE]

    def test_a_log_that_ends_before_the_position_is_read_again_before_it_grows(
        self, own: Broker, cluster: KafkaCluster, sink: KafkaSink, source: KafkaSource, store: RecordStoreSql
    ) -> None:
        heard = Heard()
        fill(sink, source, store, heard)
        lose_tail(own, cluster)

        carry(source, store, heard, until=lambda: heard.resets == [LostPosition.OFFSET_GONE] and source.reached_end())

        assert store.position(cluster.topics()[PREDICTIONS_TOPIC].part_name(0)) == 5
        assert all(lag.events == 0 for lag in source.lags())

    @pytest.mark.parametrize("reopened", [False, True], ids=["it stays", "it comes back"])
    def test_an_earlier_copy_of_the_brokers_disk_is_noticed_when_it_has_grown_as_far_again(
        self,
        reopened: bool,
        own: Broker,
        sink: KafkaSink,
        open_source: Callable[[], KafkaSource],
        store: RecordStoreSql,
    ) -> None:
        source, heard = open_source(), Heard()
        deliver(sink, *range(5))
        carry(source, store, heard, until=lambda: store.counts().predictions == 5)
        with earlier_copy_put_back(own):
            deliver(sink, *range(5, 10))
            carry(source, store, heard, until=lambda: store.counts().predictions == 10)
            if reopened:
                source.close()
        deliver(sink, *range(10, 20))

        if reopened:
            source = open_source()
        carry(source, store, heard, until=lambda: store.counts().predictions == 20)

        assert LostPosition.OFFSET_GONE in heard.resets


@contextmanager
def earlier_copy_put_back(broker: Broker) -> Iterator[None]:
    """What comes about meanwhile is not on the broker's disk afterwards."""
    data, copy = broker.directory / "data", broker.directory / "copy"
    broker.stop(signal.SIGTERM)
    shutil.copytree(data, copy)
    broker.start()
    yield
    broker.stop(signal.SIGTERM)
    shutil.rmtree(data)
    copy.rename(data)
    broker.start()


def deliver(sink: KafkaSink, *numbers: int) -> None:
    """Each in a batch of its own, as a forwarder that tries until it may."""

    def delivered(number: int) -> bool:
        try:
            sink.deliver([event(number)])
        except EventLogUnavailable:
            return False
        return True

    for number in numbers:
        eventually(lambda number=number: delivered(number), what="it is delivered")  # type: ignore[misc]  # bound at once


def fill(sink: KafkaSink, source: KafkaSource, store: RecordStoreSql, heard: Heard) -> None:
    deliver(sink, *range(10))
    carry(source, store, heard, until=lambda: store.counts().predictions == 10)


def lose_tail(broker: Broker, cluster: KafkaCluster) -> None:
    """The last five of ten events."""
    topic = cluster.topics()[PREDICTIONS_TOPIC].name
    broker.stop(signal.SIGKILL)
    cut(broker, topic, 0, last=5)
    broker.start()
