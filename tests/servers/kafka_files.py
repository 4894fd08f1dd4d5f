"""What a disk may do to the files in which a broker keeps a partition."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kafka.record.util import calc_crc32c

from tests.servers.kafka import Broker

HEADER: Final = struct.Struct(">qi")
"""Of a batch of records: the offset of the first, and how many bytes come behind this header."""
CHECKSUM_AT: Final = 17
ATTRIBUTES_AT: Final = 21
RECORDS_AT: Final = 61


def batches(log: bytes) -> Iterator[tuple[int, int, int]]:
    """Of each batch: where it begins and ends in the file, and the offset of its first record."""
    begin = 0
    while begin + HEADER.size <= len(log):
        offset, length = HEADER.unpack_from(log, begin)
        if begin + HEADER.size + length > len(log) or not length:
            return
        yield begin, begin + HEADER.size + length, offset
        begin += HEADER.size + length


def newest(broker: Broker, topic: str, partition: int) -> Path:
    return max((broker.files / f"{topic}-{partition}").glob("*.log"))


def cut(broker: Broker, topic: str, partition: int, *, last: int) -> None:
    """Take away so many batches, or all that there are. The broker is not running."""
    path = newest(broker, topic, partition)
    begins = [begin for begin, _, _ in batches(path.read_bytes())]
    if begins:
        with path.open("r+b") as file:
            file.truncate(begins[-last:][0])


def rot(broker: Broker, topic: str, partition: int, data: bytes) -> None:
    """Turn a bit of this data in the file that the broker serves it from."""
    path = newest(broker, topic, partition)
    place = path.read_bytes().index(data) + len(data) // 2
    with path.open("r+b") as file:
        file.seek(place)
        turned = file.read(1)[0] ^ 1
        file.seek(place)
        file.write(bytes([turned]))


def rewrite(broker: Broker, topic: str, partition: int, *, offset: int, codec: int | None = None) -> None:
    """Let the batch that begins at this offset be of another codec, or of bytes that its codec did not write; its
    checksum is right, as of one that was written so."""
    path = newest(broker, topic, partition)
    log = path.read_bytes()
    (begin, end) = next((begin, end) for begin, end, first in batches(log) if first == offset)
    batch = bytearray(log[begin:end])
    if codec is None:
        batch[RECORDS_AT:] = bytes(byte ^ 0x55 for byte in batch[RECORDS_AT:])
    else:
        batch[ATTRIBUTES_AT + 1] = batch[ATTRIBUTES_AT + 1] & ~0x07 | codec
    struct.pack_into(">I", batch, CHECKSUM_AT, calc_crc32c(memoryview(batch)[ATTRIBUTES_AT:]))
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(batch)
