"""Bytes of a partition that are no batch of records, or none that can be read here."""

import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import calc_crc32c

from services.adapters.event_log_kafka.decompression import BATCH_BYTES
from services.adapters.event_log_kafka.unreadable import (
    OFFSETS_AT_ONCE,
    Unreadable,
    first_unreadable,
    unreadable_up_to,
)
from tests.servers.kafka_files import ATTRIBUTES_AT, CHECKSUM_AT, RECORDS_AT

LENGTH_AT = 8
BEHIND_LENGTH_AT = 12
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
OFFSET = 100


def batch_of(codec: str, *, first: int = OFFSET, records: int = 3, value: bytes | None = None) -> bytearray:
    """Of so many short records, or of one with this value."""
    if value is not None:
        records = 1
    builder = MemoryRecordsBuilder(2, CODECS[codec], 1_000_000, offset=0)
    for number in range(records):
        builder.append(timestamp=0, key=b"key", value=value or b"value %d" % number, headers=[("ce_id", b"id")])
    builder.close()
    batch = bytearray(builder.buffer())
    struct.pack_into(">q", batch, 0, first)
    return batch


def rotted(*, first: int, records: int) -> bytearray:
    batch = batch_of("none", first=first, records=records)
    batch[-5] ^= 1
    return batch


def vouched_for(batch: bytearray) -> bytes:
    """With the checksum of what it holds."""
    struct.pack_into(">I", batch, CHECKSUM_AT, calc_crc32c(memoryview(batch)[ATTRIBUTES_AT:]))
    return bytes(batch)


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_of_every_codec_is_readable(codec: str) -> None:
    assert first_unreadable(bytes(batch_of(codec)), OFFSET) is None


def test_nothing_is_not_unreadable() -> None:
    assert first_unreadable(b"", OFFSET) is None


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_batch_that_its_codec_did_not_write_is_unreadable_to_its_end(codec: str) -> None:
    batch = batch_of(codec)
    batch[RECORDS_AT:] = bytes(byte ^ 0x55 for byte in batch[RECORDS_AT:])

    found = first_unreadable(vouched_for(batch), OFFSET)

    assert found is not None
    assert found.end == OFFSET + 3


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_batch_that_would_fill_the_memory_is_unreadable_to_its_end(codec: str) -> None:
    bomb = batch_of(codec, value=bytes(BATCH_BYTES))

    found = first_unreadable(bytes(bomb), OFFSET)

    assert found == Unreadable(
        OFFSET + 1,
        "BatchTooLarge: the batch is more than 134,217,728 bytes when it is taken apart, expected at most that",
    )


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_batch_that_packs_well_is_readable(codec: str) -> None:
    assert first_unreadable(bytes(batch_of(codec, value=bytes(20_000_000))), OFFSET) is None


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_batch_whose_records_end_too_early_is_unreadable(codec: str) -> None:
    batch = batch_of(codec, records=100)
    del batch[-10:]
    struct.pack_into(">i", batch, LENGTH_AT, len(batch) - BEHIND_LENGTH_AT)

    found = first_unreadable(vouched_for(batch), OFFSET)

    assert found is not None
    assert found.end == OFFSET + 100


def test_a_batch_that_rotted_is_unreadable_to_its_end_if_its_length_did_not_rot() -> None:
    batch = batch_of("none")
    batch[-5] ^= 1

    assert first_unreadable(bytes(batch), OFFSET) == Unreadable(OFFSET + 3, "the batch of 100 failed its crc check")


def test_a_length_that_rotted_is_not_believed_and_one_offset_is_passed_over() -> None:
    batch = batch_of("none")
    batch[ATTRIBUTES_AT + 2] ^= 1  # a batch of sixteen million records

    found = first_unreadable(bytes(batch + batch_of("none", first=OFFSET + 3)), OFFSET)

    assert found is not None
    assert found.end == OFFSET + 1


def test_unreadable_batches_that_follow_each_other_are_one_up_to_what_can_be_read() -> None:
    rotten = bytes(rotted(first=OFFSET, records=3) + rotted(first=OFFSET + 3, records=3))
    log = {OFFSET: rotten, OFFSET + 3: rotten[len(rotten) // 2 :], OFFSET + 6: bytes(batch_of("none", first=106))}

    found = unreadable_up_to(OFFSET + 9, OFFSET, log.__getitem__)

    assert found is not None
    assert found.end == OFFSET + 6


def test_unreadable_batches_without_end_are_looked_at_in_parts() -> None:
    looked = []

    def rotten(offset: int) -> bytes:
        looked.append(offset)
        return bytes(rotted(first=offset, records=1000))

    found = unreadable_up_to(10**9, OFFSET, rotten)

    assert found is not None
    assert found.end == OFFSET + OFFSETS_AT_ONCE
    assert len(looked) == OFFSETS_AT_ONCE // 1000


@given(fetched=st.binary(max_size=400))
def test_bytes_of_any_kind_are_passed_over_or_are_none(fetched: bytes) -> None:
    found = first_unreadable(fetched, OFFSET)
    assert found is None or found.end > OFFSET


@given(
    codec=st.sampled_from(list(CODECS)),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=4),
    is_vouched_for=st.booleans(),
)
def test_a_batch_with_any_bytes_turned_is_readable_or_passed_over(
    codec: str, flips: list[tuple[int, int]], *, is_vouched_for: bool
) -> None:
    batch = batch_of(codec)
    for place, bits in flips:
        batch[ATTRIBUTES_AT + place % (len(batch) - ATTRIBUTES_AT)] ^= bits

    found = first_unreadable(vouched_for(batch) if is_vouched_for else bytes(batch), OFFSET)

    assert found is None or found.end > OFFSET


@pytest.mark.parametrize(("codec", "library"), [("snappy", "snappy"), ("lz4", "lz4.frame"), ("zstd", "zstandard")])
def test_a_codec_that_is_not_on_this_machine_is_a_setting_that_is_named(codec: str, library: str) -> None:
    script = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from services.adapters.event_log_kafka.unreadable import first_unreadable\n"
        "first_unreadable(sys.stdin.buffer.read(), 100)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script], input=bytes(batch_of(codec)), capture_output=True, check=False
    )

    assert f"SettingsError: Kafka's records at offset 100 are compressed with {codec}" in ended.stderr.decode()
