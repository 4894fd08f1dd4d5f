"""The faults. Each hurts the stage when it is entered and heals it when it is left; in between it lasts."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Final

from tests.faults.stage import CONSUMER, FORWARDER, Stage

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
    "serving worker killed": serving_worker_killed,
}
