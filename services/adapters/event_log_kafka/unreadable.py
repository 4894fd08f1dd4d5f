"""Looks for the end of what the client cannot read: bytes that rotted on a broker's disk, or that it does not know.

A batch of records is readable as a whole or not at all. The client says of one that it cannot read neither where it
ends nor whether it is the batch or the broker that failed, so the bytes are fetched as they are and looked at here.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from kafka import KafkaConsumer, TopicPartition, codec
from kafka.record import MemoryRecords

from services.adapters.event_log_kafka.cluster import READING, KafkaCluster
from services.core.errors import SettingsError

_LIBRARIES: Final = {2: ("snappy", codec.has_snappy), 3: ("lz4", codec.has_lz4), 4: ("zstd", codec.has_zstd)}
"""By a codec's number in Kafka's format: its name, and whether its library is on this machine. Gzip is Python's own."""


OFFSETS_AT_ONCE: Final = 10_000
"""Each becomes a dead letter, in the same transaction. What one batch holds stays together."""
LOOK_SECONDS: Final = 10.0
"""Bytes come from the broker for one batch after the other, in milliseconds each."""


class Unreadable(NamedTuple):
    """`end` is the first offset from which records can be read again, or the end of the partition."""

    end: int
    reason: str


def unreadable_at(cluster: KafkaCluster, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Unreadable]:
    """What cannot be read at these offsets, of those partitions where that is so.

    Raises:
        EventLogUnavailable: the broker did not give the bytes.
        SettingsError: what stands there needs a codec that is not on this machine.
    """
    with cluster.translated(), contextlib.closing(alone(cluster)) as consumer:
        ends = consumer.end_offsets(list(offsets), timeout_ms=cluster.patience_ms)
        looked = {
            part: _looked_at(consumer, part, offset, ends[part], cluster.patience_ms)
            for part, offset in offsets.items()
        }
    return {part: found for part, found in looked.items() if found is not None}


def _looked_at(
    consumer: KafkaConsumer, part: TopicPartition, offset: int, end: int, patience_ms: int
) -> Unreadable | None:
    consumer.assign([part])
    return unreadable_up_to(end, offset, lambda at: _bytes_at(consumer, part, at, patience_ms))


def unreadable_up_to(end: int, offset: int, bytes_at: Callable[[int], bytes]) -> Unreadable | None:
    """Unreadable batches that follow each other count as one, of so many offsets at most, or in so little time: a
    producer with a codec of its own may have written them for days, and a round must come to its end."""
    found, began = None, offset
    deadline = time.monotonic() + LOOK_SECONDS
    while offset < end and offset - began < OFFSETS_AT_ONCE and time.monotonic() < deadline:
        bad = first_unreadable(bytes_at(offset), offset)
        if bad is None:
            break
        offset = min(bad.end, end)
        found = Unreadable(offset, bad.reason)
    return found


def alone(cluster: KafkaCluster) -> KafkaConsumer:
    """A consumer that is in no group."""
    return KafkaConsumer(**cluster.connection(), client_id="bellwether-look", **READING)


def _bytes_at(consumer: KafkaConsumer, part: TopicPartition, offset: int, patience_ms: int) -> bytes:
    """What the broker gives from this offset on, as it is; nothing of a partition that it cannot give. Raises
    `KafkaError`."""
    consumer.seek(part, offset)
    fetcher = consumer._fetcher  # noqa: SLF001 - the client has no word for what it has not decoded
    for answer in fetcher.send_fetches():
        consumer._net.run(consumer._manager.wait_for, answer, patience_ms)  # noqa: SLF001
    fetched = fetcher._completed_fetches.popleft() if fetcher._completed_fetches else None  # noqa: SLF001
    return bytes(fetched.partition_data.records or b"") if fetched else b""


def first_unreadable(fetched: bytes, offset: int) -> Unreadable | None:
    """What is wrong with the first batch; None if it can be read, or if there is none."""
    try:
        records = MemoryRecords(fetched)
        batch = records.next_batch()
        is_sound = batch is None or batch.validate_crc()
    except Exception as error:  # noqa: BLE001 - what a decoder raises on bytes that are no batch
        return Unreadable(offset + 1, f"{type(error).__name__}: {error}")
    if batch is None:
        return None
    if not is_sound:
        return Unreadable(_behind(batch, records, offset), f"the batch of {batch.base_offset} failed its crc check")
    _require_codec(batch)
    try:
        for _ in batch:
            pass
    except Exception as error:  # noqa: BLE001 - what a codec raises on bytes that it did not write
        return Unreadable(_behind(batch, records, offset), f"{type(error).__name__}: {error}")
    return None


def _behind(batch: Any, records: MemoryRecords, offset: int) -> int:
    """What the batch says of its length may be as wrong as the rest: it is believed where it says so twice, and where
    the next batch agrees. Otherwise one offset is passed over, and the next one looked at."""
    with contextlib.suppress(Exception):
        following = records.next_batch()
        is_plausible = batch.last_offset_delta + 1 == batch.records_count
        if is_plausible and (following is None or following.base_offset >= batch.next_offset):
            return max(offset + 1, int(batch.next_offset))
    return offset + 1


def _require_codec(batch: Any) -> None:
    name, is_here = _LIBRARIES.get(batch.compression_type, ("", bool))
    if name and not is_here():
        raise SettingsError(
            f"Kafka's records at offset {batch.base_offset} are compressed with {name}, and its library is not "
            f"installed; expected what the package asks for. Remedy: pip install 'kafka-python[{name}]'"
        )
