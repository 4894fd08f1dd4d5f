"""The faults. Each hurts the stage when it is entered and heals it when it is left; in between it lasts."""

import os
import shutil
import signal
import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from tests.faults import log
from tests.faults.poison import poison_events, poison_not_buried
from tests.faults.stage import CLOCK, CONSUMER, FORWARDER, Scene, Stage

Hurt = Callable[[Stage], AbstractContextManager[None]]


def nothing_else(_stage: Stage) -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class Fault:
    """`is_outage`: in the full form it lasts as long as the longest that is promised to be survived.

    `noticed`: by callers. An attempt gets no answer, and the next ones do as soon as there can be one.
    `wrong_afterwards`: what should be on the stage once all is stored, and is not, in words.
    """

    name: str
    hurt: Hurt
    scene: Scene = Scene.SQLITE
    is_outage: bool = False
    noticed: bool = False
    wrong_afterwards: Callable[[Stage], Iterable[str]] = nothing_else


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
def broker_ended(stage: Stage) -> Iterator[None]:
    """In order, as for its maintenance."""
    stage.broker.stop(signal.SIGTERM)
    yield
    stage.broker.start()


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
def rebalance_in_a_batch(stage: Stage) -> Iterator[None]:
    """Two more consumers come while the first one's rows wait for the store, and one is killed while its own do."""
    names = ("second consumer", "third consumer")
    with stage.postgresql.locked():
        for name in names:
            stage.start(CONSUMER, name=name)
        yield
        stage.end(names[0])
    stage.end(names[1])


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


@contextmanager
def topics_made_anew(stage: Stage) -> Iterator[None]:
    """While nobody reads them: what was delivered since is nowhere but in the local log."""
    stage.end(CONSUMER)
    yield
    stage.make_topics_anew()
    stage.start(CONSUMER)


@contextmanager
def broker_wiped(stage: Stage) -> Iterator[None]:
    """Its disk is lost, and it comes back empty, as another cluster under the same address."""
    stage.end(CONSUMER)
    yield
    stage.broker.stop(signal.SIGKILL)
    shutil.rmtree(stage.broker.files.parent)
    stage.broker.start()
    stage.start(CONSUMER)


@contextmanager
def store_restored(stage: Stage) -> Iterator[None]:
    """An earlier copy takes its place under the running consumer."""
    path = stage.serving.settings.store_url.removeprefix("sqlite:///")
    with (
        closing(sqlite3.connect(path, check_same_thread=False)) as store,
        closing(sqlite3.connect(stage.home / "copy.sqlite", check_same_thread=False)) as copy,
    ):
        store.backup(copy)
        yield
        copy.backup(store)


FAULTS: Final = (
    Fault("none", nothing),
    Fault("broker killed and started again", broker_killed),
    Fault("broker stopped and continued", broker_stopped),
    Fault("broker absent when the others start", broker_absent_at_start),
    Fault("broker ended for its maintenance", broker_ended, is_outage=True),
    Fault("forwarder killed", forwarder_killed),
    Fault("consumer killed", consumer_killed),
    Fault("consumer killed again and again", consumer_killed_again_and_again),
    Fault("a second consumer comes and is killed", rebalance),
    Fault(
        "unknown codec",
        log.compressed_by_others,
        wrong_afterwards=log.letters(reason="unreadable", count=2 * log.FOREIGN),
    ),
    Fault(
        "nested record",
        log.nested_record,
        wrong_afterwards=log.letters(reason="undecodable", count=1, holding=log.NESTED),
    ),
    Fault("one too large", log.one_too_large, wrong_afterwards=log.letters(reason="oversized", count=1)),
    Fault("expired partition", log.transactions_of_others, wrong_afterwards=log.end_unread),
    Fault("broker loses its tail", log.tail_lost, wrong_afterwards=log.noticed),
    Fault("store locked", store_locked),
    Fault("topics made anew", topics_made_anew),
    Fault("broker wiped", broker_wiped),
    Fault("store restored", store_restored),
    Fault("poison outcome, SQLite", poison_events, wrong_afterwards=poison_not_buried),
    Fault("serving worker killed", serving_worker_killed, noticed=True),
    Fault("clock set back by a day", clock_set_back),
    Fault("disk full", disk_full, scene=Scene.SMALL_DISK, noticed=True),
    Fault("PostgreSQL killed and started again", lambda stage: stage.postgresql.killed(), Scene.POSTGRESQL),
    Fault("PostgreSQL stopped and continued", lambda stage: stage.postgresql.standing_still(), Scene.POSTGRESQL),
    Fault("PostgreSQL locked", lambda stage: stage.postgresql.locked(), Scene.POSTGRESQL),
    Fault("PostgreSQL slow", lambda stage: stage.postgresql.slow(), Scene.POSTGRESQL),
    Fault("PostgreSQL cuts connections", lambda stage: stage.postgresql.cutting_connections(), Scene.POSTGRESQL),
    Fault("PostgreSQL restored", lambda stage: stage.postgresql.restored(), Scene.POSTGRESQL),
    Fault("poison outcome", poison_events, Scene.POSTGRESQL, wrong_afterwards=poison_not_buried),
    Fault("PostgreSQL: rebalance in a batch", rebalance_in_a_batch, Scene.POSTGRESQL),
)
"""Those of a scene stand together, so that it is set up once."""
