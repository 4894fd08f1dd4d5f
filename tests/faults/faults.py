"""The faults. Each hurts the stage when it is entered and heals it when it is left; in between it lasts."""

import os
import signal
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Final

from tests.faults.stage import CLOCK, CONSUMER, FORWARDER, Stage

Fault = Callable[[Stage], AbstractContextManager[None]]


@contextmanager
def nothing(_stage: Stage) -> Iterator[None]:
    yield


@contextmanager
def broker_killed(stage: Stage) -> Iterator[None]:
    stage.broker.stop(signal.SIGKILL)
    yield
    stage.broker.start()


@contextmanager
def broker_stopped(stage: Stage) -> Iterator[None]:
    """It keeps its connections and answers nothing."""
    stage.broker.send(signal.SIGSTOP)
    yield
    stage.broker.send(signal.SIGCONT)


@contextmanager
def broker_absent_at_start(stage: Stage) -> Iterator[None]:
    """Of the forwarder and the consumer: they begin without ever having seen one."""
    stage.broker.stop(signal.SIGKILL)
    for module in (FORWARDER, CONSUMER):
        stage.end(module)
        stage.start(module)
    yield
    stage.broker.start()


@contextmanager
def consumer_killed(stage: Stage) -> Iterator[None]:
    stage.end(CONSUMER)
    yield
    stage.start(CONSUMER)


@contextmanager
def forwarder_killed(stage: Stage) -> Iterator[None]:
    stage.end(FORWARDER)
    yield
    stage.start(FORWARDER)


@contextmanager
def consumer_killed_again_and_again(stage: Stage) -> Iterator[None]:
    for _ in range(3):
        stage.end(CONSUMER)
        stage.start(CONSUMER)
    yield


@contextmanager
def rebalance(stage: Stage) -> Iterator[None]:
    """A second consumer takes over some of the partitions, and is killed with them."""
    stage.start(CONSUMER, name="second consumer")
    yield
    stage.end("second consumer")


@contextmanager
def store_locked(stage: Stage) -> Iterator[None]:
    """Somebody else's transaction on the embedded store does not end."""
    path = stage.serving.settings.store_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def serving_worker_killed(stage: Stage) -> Iterator[None]:
    os.kill(stage.serving.fleet.workers("toy")[0].pid, signal.SIGKILL)
    yield


@contextmanager
def disk_full(stage: Stage) -> Iterator[None]:
    """Under everything that the stage writes, the events among it."""
    filler = stage.home / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    yield
    filler.unlink()


@contextmanager
def clock_set_back(stage: Stage) -> Iterator[None]:
    """By a day, for everybody who looks at it; it goes on from there."""
    clock = stage.home / CLOCK
    (now,) = struct.unpack("<d", clock.read_bytes())
    with clock.open("r+b") as file:
        file.write(struct.pack("<d", now - 86_400))
    yield


DISK_FULL: Final = "disk full"
"""The one that needs a disk which can be filled without hurting anybody else's."""
WORKER_KILLED: Final = "serving worker killed"
NOTICED: Final = (DISK_FULL, WORKER_KILLED)
"""By callers: an attempt gets no answer, and the next ones do as soon as there can be one."""

FAULTS: Final[dict[str, Fault]] = {
    "none": nothing,
    "broker killed and started again": broker_killed,
    "broker stopped and continued": broker_stopped,
    "broker absent when the others start": broker_absent_at_start,
    "forwarder killed": forwarder_killed,
    "consumer killed": consumer_killed,
    "consumer killed again and again": consumer_killed_again_and_again,
    "a second consumer comes and is killed": rebalance,
    "store locked": store_locked,
    WORKER_KILLED: serving_worker_killed,
    DISK_FULL: disk_full,
    "clock set back by a day": clock_set_back,
}
