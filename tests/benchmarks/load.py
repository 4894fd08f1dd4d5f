"""A closed-loop HTTP load on 127.0.0.1 that costs little itself: prepared bytes out, status and length in.

Every connection asks one request after the other, so that `connections` requests are under way at any time. A general
HTTP client spends more time on a request than the servers measured here do, and would be what is measured.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import numpy as np

HOST: Final = "127.0.0.1"
ANSWER_SECONDS: Final = 30.0
"""A server that is silent for so long has failed."""


@dataclass(slots=True)
class Measured:
    """What one load saw. `latencies` are seconds per answered request, `seconds` the wall-clock time of all of it."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    bodies: Counter[bytes] = field(default_factory=Counter)
    """How many answers held which of the looked-for marks."""
    broken: int = 0
    """Connections that ended or stayed silent before their answer."""

    @property
    def failed(self) -> int:
        return self.broken + sum(count for status, count in self.statuses.items() if status != 200)

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile_ms(self, share: float) -> float:
        return float(np.quantile(self.latencies, share)) * 1000


def http_request(path: str, body: bytes, *, method: str = "POST") -> bytes:
    """The bytes of a request on a connection that stays open."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


async def load(
    port: int, requests: Sequence[bytes], *, connections: int, seconds: float, marks: Sequence[bytes] = ()
) -> Measured:
    """Send `requests` round and round for `seconds`; each answer is searched for the `marks`."""
    measured = Measured()
    started = time.perf_counter()
    deadline = started + seconds
    loops = (
        _ask(port, requests, first=place, step=connections, deadline=deadline, marks=marks, into=measured)
        for place in range(connections)
    )
    await asyncio.gather(*loops)
    measured.seconds = time.perf_counter() - started
    return measured


async def _ask(
    port: int,
    requests: Sequence[bytes],
    *,
    first: int,
    step: int,
    deadline: float,
    marks: Sequence[bytes],
    into: Measured,
) -> None:
    place = first
    connection: _Connection | None = None
    while (begun := time.perf_counter()) < deadline:
        try:
            connection = connection or await _connect(port)
            status, body = await connection.ask(requests[place % len(requests)])
        except (ConnectionError, TimeoutError, ValueError):
            into.broken += 1
            connection = None
            continue
        into.latencies.append(time.perf_counter() - begun)
        into.statuses[status] += 1
        into.bodies.update(mark for mark in marks if mark in body)
        place += step
    if connection is not None:
        connection.close()


async def _connect(port: int) -> "_Connection":
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(_Connection, HOST, port)
    return connection


class _Connection(asyncio.Protocol):
    """One request at a time over one connection; understands Content-Length and nothing else of HTTP."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None
        self._lost = False

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """(status, body). Raises `ConnectionError`, `TimeoutError`, and `ValueError` for an answer without a length."""
        if self._lost or self._transport is None:
            raise ConnectionError("the connection has ended")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._settle(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._received[:head_end])
        try:
            whole = head_end + 4 + _content_length(head)
        except ValueError as error:
            self._settle(error)
            return
        if len(self._received) >= whole:
            body = bytes(self._received[head_end + 4 : whole])
            del self._received[:whole]
            self._settle((int(head[9:12]), body))

    def _settle(self, result: tuple[int, bytes] | Exception) -> None:
        if self._answer is None or self._answer.done():
            return
        if isinstance(result, Exception):
            self._answer.set_exception(result)
        else:
            self._answer.set_result(result)


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.find(b"\r\ncontent-length:")
    if start < 0:
        raise ValueError(f"an answer without Content-Length: {head[:200]!r}")
    end = lowered.find(b"\r\n", start + 2)
    return int(lowered[start + 17 : end if end > 0 else None])
