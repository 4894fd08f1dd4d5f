"""Several processes of which one works: it ends, is killed, or stands still and comes back."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest

from services.adapters.record_store import RecordStoreSql
from services.core.ports import RecordStore
from tests.integration.lease_worker import MODEL
from tests.waiting import eventually

LEASE_SECONDS = 3.0
NEVER_EXPIRES = 600.0


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records.sqlite'}"
    found: str = request.getfixturevalue("postgresql_url")
    return found


@pytest.fixture
def store(url: str) -> Iterator[RecordStore]:
    store = RecordStoreSql(url)
    store.migrate()
    yield store
    store.close()


@contextmanager
def worker(url: str, name: str, lasts: float) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has asked for the lease, and holds it or stands by."""
    arguments = [sys.executable, "-m", "tests.integration.lease_worker", url, name, str(lasts)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"at its desk\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_process_that_ends_gives_its_work_to_the_next_at_once(store: RecordStore, url: str) -> None:
    with worker(url, "one", NEVER_EXPIRES) as one, worker_beside(store, url):
        one.terminate()
        assert one.wait(10) == 0
        eventually(lambda: last(store) == "two", what="the takeover by the second")
    assert in_turn(store) == ["one", "two"]


def test_the_work_of_a_killed_process_is_taken_over_when_its_lease_ends(store: RecordStore, url: str) -> None:
    with worker(url, "one", LEASE_SECONDS) as one, worker_beside(store, url):
        one.kill()
        eventually(lambda: last(store) == "two", what="the takeover by the second")
    assert in_turn(store) == ["one", "two"]


def test_who_slept_through_the_loss_of_its_lease_writes_nothing_when_it_wakes(store: RecordStore, url: str) -> None:
    with worker(url, "one", LEASE_SECONDS) as one, worker_beside(store, url):
        stand_still(one, url)
        eventually(lambda: last(store) == "two", what="the takeover by the second")
        one.send_signal(signal.SIGCONT)
        # It is given time to do harm in, and ends as it would have.
        written = len(store.alias_changes(MODEL))
        eventually(lambda: len(store.alias_changes(MODEL)) > written + 50, what="fifty more writings")
        one.terminate()
        assert one.wait(10) == 0
    assert in_turn(store) == ["one", "two"]


@contextmanager
def worker_beside(store: RecordStore, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A second worker, once the first has begun."""
    eventually(lambda: last(store) == "one", what="the first has begun")
    with worker(url, "two", LEASE_SECONDS) as two:
        yield two


def stand_still(process: subprocess.Popen[bytes], url: str) -> None:
    """Stop the process where it holds up nobody: on SQLite not while it has the file's write lock."""
    process.send_signal(signal.SIGSTOP)
    while writes(url):
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGSTOP)


def writes(url: str) -> bool:
    """Whether somebody keeps the write lock of a SQLite file for as long as a second."""
    dialect, _, path = url.partition(":///")
    if dialect != "sqlite":
        return False
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()
    return False


def last(store: RecordStore) -> str:
    return store.aliases(MODEL).get("champion", "")


def in_turn(store: RecordStore) -> list[str]:
    """Who wrote, each run of writings as one."""
    return [name for name, _ in groupby(change.version for change in store.alias_changes(MODEL))]
