"""A store, an outbox, and the two ends of Kafka between them; topics of its own for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.adapters.event_log_kafka import KafkaCluster, KafkaSink, KafkaSource
from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.outbox_sqlite import OutboxSqlite
from services.adapters.record_store import RecordStoreSql
from tests.toy import NOON


def open_outbox(directory: Path) -> OutboxSqlite:
    return OutboxSqlite(EventLogSqlite(directory / "events.sqlite"))


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
        opened.append(KafkaSource(cluster, committed=store.committed, now=lambda: NOON))
        return opened[-1]

    yield open_one
    for source in opened:
        source.close()


@pytest.fixture
def source(open_source: Callable[[], KafkaSource]) -> KafkaSource:
    return open_source()
