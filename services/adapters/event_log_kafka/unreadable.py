"""Looks for the end of what the client cannot read: bytes that rotted on a broker's disk, or that it does not know."""

import contextlib

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError

from services.adapters.event_log_kafka.cluster import KafkaCluster


def end_of_unreadable(cluster: KafkaCluster, part: TopicPartition, offset: int) -> int:
    """The first offset at or behind `offset` from which records can be read, or the end of the partition.

    A batch of records is readable as a whole or not at all, but its length is not to be trusted when its checksum is
    wrong: every offset is tried. Each try has a consumer of its own, because one that has raised is not to be used
    again. Raises `EventLogUnavailable`.
    """
    with cluster.translated():
        while not _readable(cluster, part, offset):
            offset += 1
    return offset


def _readable(cluster: KafkaCluster, part: TopicPartition, offset: int) -> bool:
    with contextlib.closing(alone(cluster)) as consumer:
        if offset >= consumer.end_offsets([part], timeout_ms=cluster.patience_ms)[part]:
            return True
        consumer.assign([part])
        consumer.seek(part, offset)
        try:
            consumer.poll(timeout_ms=cluster.patience_ms, max_records=1)
        except CorruptRecordError:
            return False
        except KafkaError:
            raise
        except Exception:  # noqa: BLE001 - what a decoder raises on bytes that are no record
            return False
        return True


def alone(cluster: KafkaCluster) -> KafkaConsumer:
    """A consumer that is in no group."""
    return KafkaConsumer(
        **cluster.connection(),
        client_id="bellwether-look",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
    )
