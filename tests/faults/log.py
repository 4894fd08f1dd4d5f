"""What is done to the stage's topics, and how far the consumers have come in them."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from monitoring.entrypoints.reports import event_account
from services import bootstrap
from services.adapters.event_log_kafka import KafkaCluster
from services.adapters.event_log_kafka.cloud_events import headers_of
from services.adapters.event_log_kafka.cluster import Topic
from services.adapters.event_log_kafka.unreadable import alone
from services.adapters.event_log_sqlite import EventLogSqlite
from services.core.events import PREDICTIONS_TOPIC, Event, new_prediction_id, prediction_event
from tests.faults.stage import CONSUMER, FORWARDER, Stage
from tests.servers.kafka_files import cut, rewrite
from tests.toy import prediction
from tests.waiting import eventually

FOREIGN: Final = 5
"""Records that somebody else's producer puts into one batch."""
NO_CODEC: Final = 7
ODD: Final = 2 * FOREIGN
"""Of these, in batches that cannot be read."""
NESTED: Final = b'{"more":[['
DEPTH: Final = 1000
LOST_BATCHES: Final = 5
CATCH_UP_SECONDS: Final = 30.0


@contextmanager
def compressed_by_others(stage: Stage) -> Iterator[None]:
    """A batch by each codec, one that none of them wrote, and one of a codec that nobody knows."""
    topic = predictions(stage)
    with away(stage, CONSUMER):
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            put(stage, [foreign() for _ in range(FOREIGN)], codec=codec)
        for change in ({}, {"codec": NO_CODEC}):
            offset = put(stage, [foreign() for _ in range(FOREIGN)], codec="zstd")
            rewrite(stage.broker, topic.name, 0, offset=offset, **change)
    yield


@contextmanager
def nested_record(stage: Stage) -> Iterator[None]:
    """JSON a thousand levels deep, in two kilobytes."""
    event = foreign()
    data = NESTED + b"[" * DEPTH + b"]" * (DEPTH + 2) + b"," + event.data[1:]
    put(stage, [msgspec.structs.replace(event, data=data)])
    yield


@contextmanager
def one_too_large(stage: Stage) -> Iterator[None]:
    """Larger than its topic takes, among the others in the local log."""
    with contextlib.closing(EventLogSqlite(stage.serving.settings.event_log_path)) as log:
        log.append(foreign(reasons=["long" * 500_000])).result(10)
    yield


@contextmanager
def transactions_of_others(stage: Stage) -> Iterator[None]:
    """Some are committed and some are not, between the events of the forwarder."""
    transactions(stage)
    yield


@contextmanager
def tail_lost(stage: Stage) -> Iterator[None]:
    """The broker's disk did not keep the last batches, which were stored; others come in their place."""
    stage.end(FORWARDER)
    eventually(lambda: not behind(stage), what="what was forwarded is stored", seconds=CATCH_UP_SECONDS)
    topic = predictions(stage)
    stage.broker.stop(signal.SIGKILL)
    for partition in range(topic.partitions):
        cut(stage.broker, topic.name, partition, last=LOST_BATCHES)
    stage.broker.start()
    stage.start(FORWARDER)
    yield


def letters(*, reason: str, count: int, holding: bytes = b"") -> Callable[[Stage], Iterator[str]]:
    """Says what is wrong if there are not so many dead letters for this reason that hold these bytes, or not everything
    was passed."""

    def wrong(stage: Stage) -> Iterator[str]:
        yield from all_passed(stage)
        with stage.store() as store:
            letters = store.dead_letters(limit=10 * count + 100, reason=reason)
        found = len([letter for letter in letters if holding in letter.data])
        if found != count:
            yield f"{found} dead letters are {reason}; expected {count}"

    return wrong


def noticed(stage: Stage) -> Iterator[str]:
    """Says what is wrong if the consumer did not say that records were lost, or not everything was passed."""
    yield from all_passed(stage)
    if "the broker lost records or was restored" not in (stage.home / f"{CONSUMER}.log").read_text():
        yield "the consumer did not notice that records were lost"


def end_unread(stage: Stage) -> Iterator[str]:
    """End the partitions with what is no record for a consumer: marks of transactions, and what has expired."""
    with away(stage, CONSUMER):
        end = put(stage, [foreign() for _ in range(FOREIGN)]) + FOREIGN
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=stage.broker.servers)) as admin:
            admin.delete_records({TopicPartition(predictions(stage).name, 0): end})
        transactions(stage)
    yield from all_passed(stage)


def all_passed(stage: Stage) -> Iterator[str]:
    """What is wrong if a consumer has not passed everything by now, or the account takes something for under way."""
    try:
        eventually(lambda: not behind(stage), what="what was forwarded is passed", seconds=CATCH_UP_SECONDS)
    except AssertionError:
        yield f"not passed after {CATCH_UP_SECONDS:g} s: {behind(stage)}"
    if in_flight := event_account(stage.serving.settings)["in_flight"]:
        yield f"{in_flight} events in flight"


def cluster_of(stage: Stage) -> KafkaCluster:
    return bootstrap._kafka(stage.serving.settings)


def predictions(stage: Stage) -> Topic:
    return cluster_of(stage).topics()[PREDICTIONS_TOPIC]


def behind(stage: Stage) -> dict[str, int]:
    """By the name of each partition of events that is not stored up to its end: how many offsets are missing."""
    cluster = cluster_of(stage)
    topics = {topic.name: topic for topic in cluster.topics().values()}
    with contextlib.closing(alone(cluster)) as consumer:
        ends = consumer.end_offsets([part for topic in topics.values() for part in topic.parts])
    names = {topics[part.topic].part_name(part.partition): end for part, end in ends.items()}
    with stage.store() as store:
        return {name: end - position for name, end in names.items() if (position := store.position(name)) != end}


def foreign(**changes: Any) -> Event:
    """One that went through no service of the stage."""
    return prediction_event(msgspec.structs.replace(prediction(1, **changes), prediction_id=new_prediction_id()))


def put(stage: Stage, events: list[Event], *, codec: str | None = None) -> int:
    """Put them into partition 0 as one batch; returns the offset of the first."""
    servers, topic = stage.broker.servers, predictions(stage).name
    producer = KafkaProducer(bootstrap_servers=servers, compression_type=codec, linger_ms=500)
    sent = [producer.send(topic, partition=0, **record(event)) for event in events]
    offsets: list[int] = [each.get(CATCH_UP_SECONDS).offset for each in sent]
    producer.close()
    return min(offsets)


def transactions(stage: Stage) -> None:
    """In each partition of events one that is committed, and behind it one that is not."""
    topic = predictions(stage)
    producer = KafkaProducer(bootstrap_servers=stage.broker.servers, transactional_id=stage.home.name)
    producer.init_transactions()
    for ends in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        for partition in range(topic.partitions):
            producer.send(topic.name, partition=partition, **record(foreign())).get(CATCH_UP_SECONDS)
        ends()
    producer.close()


def record(event: Event) -> dict[str, Any]:
    return {"key": event.key.encode(), "value": event.data, "headers": headers_of(event)}


@contextmanager
def away(stage: Stage, module: str) -> Iterator[None]:
    stage.end(module, signal.SIGTERM)
    yield
    stage.start(module)
