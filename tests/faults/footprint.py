"""What the stage takes while it is hurt: memory of its processes, and disk under the events that wait."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec
import psutil

from tests.faults.stage import Stage

LOOK_SECONDS = 0.5
MEGA = 1_000_000


class Growth(msgspec.Struct):
    """In MB: as it was when the fault began, and the most that it was from then until all was stored."""

    first: float
    largest: float

    @property
    def grown(self) -> float:
        return self.largest - self.first


class Footprint(msgspec.Struct):
    """`memory_mb` is resident memory by kind of process: of several of a kind, the largest one's.

    `outbox_mb` is the local log, which holds what waits for the broker and, for a week, what went there.
    """

    memory_mb: dict[str, Growth]
    outbox_mb: Growth


@asynccontextmanager
async def watched(stage: Stage) -> AsyncIterator[Footprint]:
    """Look at the stage twice a second. Enter it when the stage is warm: by then the first look is over."""
    size = _outbox_mb(stage)
    footprint = Footprint(memory_mb={}, outbox_mb=Growth(first=size, largest=size))
    _note(stage, footprint)
    looking = asyncio.create_task(_look_again_and_again(stage, footprint))
    try:
        yield footprint
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


async def _look_again_and_again(stage: Stage, footprint: Footprint) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        _note(stage, footprint)


def _note(stage: Stage, footprint: Footprint) -> None:
    for kind, pids in stage.pids().items():
        now = _largest_mb(pids)
        growth = footprint.memory_mb.setdefault(kind, Growth(first=now, largest=now))
        growth.largest = max(growth.largest, now)
    footprint.outbox_mb.largest = max(footprint.outbox_mb.largest, _outbox_mb(stage))


def _largest_mb(pids: Iterable[int]) -> float:
    return max((_resident_mb(pid) for pid in pids), default=0.0)


def _resident_mb(pid: int) -> float:
    """0 of a process that has just ended."""
    try:
        return round(psutil.Process(pid).memory_info().rss / MEGA, 1)
    except psutil.NoSuchProcess:
        return 0.0


def _outbox_mb(stage: Stage) -> float:
    path = stage.serving.settings.event_log_path
    return round(sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*")) / MEGA, 1)
