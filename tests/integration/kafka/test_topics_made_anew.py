"""Topics that are deleted and made anew keep their names and lose what they held: the local log has it still."""

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from services.adapters.event_log_kafka import KafkaCluster, KafkaSink, KafkaSource, KafkaStored
from services.adapters.event_log_kafka.topic_watch import LOOK_SECONDS
from services.adapters.outbox_sqlite import OutboxSqlite
from services.adapters.record_store import RecordStoreSql
from services.core.errors import EventLogUnavailable
from services.ingest.consume import consume, consume_once
from services.ingest.forward import forward_once
from tests.consuming import Heard
from tests.integration.kafka.carrying import append, carry_until, event, ids
from tests.integration.kafka.conftest import open_outbox
from tests.toy import NOON
from tests.waiting import eventually


def make_topics_anew(cluster: KafkaCluster) -> None:
    names = [topic.name for topic in cluster.topics().values()]
    with closing(KafkaAdminClient(**cluster.connection())) as admin:
        admin.delete_topics(names)
        eventually(lambda: not set(names) & set(admin.list_topics()), what="the topics are gone")
    cluster.topics()


def forward_all(outbox: OutboxSqlite, sink: KafkaSink) -> int:
    delivered = 0
    while some := forward_once(outbox, sink, limit=100):
        delivered += some
    return delivered


def test_what_the_old_topics_held_and_nobody_had_stored_is_sent_again_by_the_same_forwarder(
    cluster: KafkaCluster, sink: KafkaSink, source: KafkaSource, store: RecordStoreSql, tmp_path: Path
) -> None:
    append(tmp_path, *map(event, range(10)))
    with closing(open_outbox(tmp_path)) as outbox:
        assert forward_all(outbox, sink) == 10
        make_topics_anew(cluster)

        eventually(lambda: forward_all(outbox, sink) == 10, what="all are sent again", seconds=LOOK_SECONDS + 20)

    carry_until(source, store, lambda: len(store.stored_event_ids(list(ids(*range(10))))) == 10)


def test_a_running_consumer_reads_topics_that_were_made_anew_from_their_start_and_counts_it(
    cluster: KafkaCluster, sink: KafkaSink, source: KafkaSource, store: RecordStoreSql
) -> None:
    heard, stop = Heard(), threading.Event()
    consuming = threading.Thread(
        target=consume,
        args=(source, store),
        kwargs={
            "limit": 100,
            "now": lambda: NOON,
            "stop": stop,
            "idle_seconds": 0.02,
            "observer": heard,
            "each_round": lambda: None,
        },
    )
    sink.deliver([event(number) for number in range(20)])
    consuming.start()
    try:
        eventually(lambda: sum(heard.stored) == 20, what="the first are stored", seconds=30)
        make_topics_anew(cluster)
        fresh = KafkaSink(cluster, now=lambda: NOON)
        fresh.deliver([event(number) for number in range(15, 25)])
        fresh.close()
        eventually(lambda: sum(heard.stored) == 25, what="the new ones are stored", seconds=60)
    finally:
        stop.set()
        consuming.join()
    assert heard.resets == ["topics_replaced"]


def test_nothing_is_removed_from_the_local_log_before_consumers_have_stored_it(
    cluster: KafkaCluster,
    sink: KafkaSink,
    open_source: Callable[[], KafkaSource],
    store: RecordStoreSql,
    tmp_path: Path,
) -> None:
    append(tmp_path, *map(event, range(10)))
    with closing(open_outbox(tmp_path)) as outbox:
        forward_all(outbox, sink)
        stored = KafkaStored(cluster, forwarded=outbox.forwarded, look_seconds=0)

        assert stored.position() == 0
        source = open_source()
        carry_until(source, store, lambda: len(store.stored_event_ids(list(ids(*range(10))))) == 10)
        source.close()
        eventually(lambda: stored.position() == 10, what="the consumer has told", seconds=20)

        assert outbox.prune(before=datetime.now(UTC), now=datetime.now(UTC), below=stored.position(), limit=100) == 9
        make_topics_anew(cluster)
        assert stored.position() == 0


def test_what_consumers_told_of_the_old_topics_says_nothing_about_the_new_ones(
    cluster: KafkaCluster, sink: KafkaSink, source: KafkaSource, store: RecordStoreSql, tmp_path: Path
) -> None:
    append(tmp_path, *map(event, range(10)))
    with closing(open_outbox(tmp_path)) as outbox:
        forward_all(outbox, sink)
        carry_until(source, store, lambda: len(store.stored_event_ids(list(ids(*range(10))))) == 10)
        source.close()
        make_topics_anew(cluster)
        eventually(lambda: forward_all(outbox, sink) == 10, what="all are sent again", seconds=LOOK_SECONDS + 20)

        stored = KafkaStored(cluster, forwarded=outbox.forwarded, look_seconds=0)

        assert [stored.position() for _ in range(2)] == [0, 0]


def test_a_cluster_that_is_away_is_an_outage_for_who_prunes(tmp_path: Path) -> None:
    nobody = KafkaCluster(servers="127.0.0.1:9", patience=timedelta(seconds=1))
    with closing(open_outbox(tmp_path)) as outbox, pytest.raises(EventLogUnavailable):
        KafkaStored(nobody, forwarded=outbox.forwarded).position()


def test_a_store_that_goes_back_is_noticed_by_a_running_consumer_to_which_nothing_comes(
    sink: KafkaSink, source: KafkaSource, store: RecordStoreSql
) -> None:
    heard = Heard()
    sink.deliver([event(number) for number in range(20)])
    carry_until(source, store, lambda: len(store.stored_event_ids(list(ids(*range(20))))) == 20)
    stored = {name: store.position(name) for name in source.positions_before(datetime.now(UTC))}

    for name in stored:
        store.rewind(name, position=0)
    eventually(
        lambda: (
            consume_once(source, store, limit=100, now=lambda: NOON, observer=heard) is not None
            and {name: store.position(name) for name in stored} == stored
        ),
        what="the positions are where they were",
    )

    assert "store_behind" in heard.resets
