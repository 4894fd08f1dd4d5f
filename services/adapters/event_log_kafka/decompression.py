"""A limit on what a batch of records may become when it is taken apart.

A megabyte of gzip can hold a gigabyte of one letter. The client unpacks whatever it is given, and who writes into a
topic would decide how much memory a consumer needs. A batch beyond the limit is unreadable, as one that rotted is.
"""

import gzip
import io
from collections.abc import Callable
from typing import Any, Final

from kafka import codec
from kafka.record import default_records, legacy_records

BATCH_BYTES: Final = 128 * 1024 * 1024
"""A broker takes a megabyte by default; events of one model, which repeat each other's names, are packed 1 to 20."""


class BatchTooLarge(ValueError):
    def __init__(self) -> None:
        super().__init__(f"the batch is more than {BATCH_BYTES:,} bytes when it is taken apart, expected at most that")


def _gzip(packed: Any) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(packed), mode="r") as reader:
        return _whole(reader.read)


def _zstd(packed: bytes) -> bytes:
    with codec.zstd.ZstdDecompressor().stream_reader(io.BytesIO(packed), read_across_frames=True) as reader:
        return _whole(reader.read)


def _lz4(packed: bytes) -> bytes:
    unpacker = codec.lz4.LZ4FrameDecompressor()
    unpacked: bytes = unpacker.decompress(packed, max_length=BATCH_BYTES + 1)
    if len(unpacked) > BATCH_BYTES:
        raise BatchTooLarge
    if not unpacker.eof:
        raise ValueError("the batch ends before its compressed records do")
    return unpacked


def _whole(read: Callable[[int], bytes]) -> bytes:
    unpacked = read(BATCH_BYTES + 1)
    if len(unpacked) > BATCH_BYTES:
        raise BatchTooLarge
    return unpacked


def limit_decompression() -> None:
    """Put the limit into the client, which has none and no setting for one. Once for a process.

    Snappy needs none: it packs 64 bytes into three at best.
    """
    for module in (default_records, legacy_records):
        module.gzip_decode = _gzip
    default_records.zstd_decode = _zstd
    # Before Kafka 0.10, lz4 had a header of its own, which the client rewrites before it comes back to `codec`.
    for module in (default_records, legacy_records, codec):
        module.lz4_decode = _lz4
