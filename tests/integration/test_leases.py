"""Several processes of which one works: it ends, is killed, or stands still and comes back."""

import signal
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

LEASE_SECONDS = 1.5


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
def worker(url: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [sys.executable, "-m", "tests.integration.lease_worker", url, name, str(LEASE_SECONDS)]
    process = subprocess.Popen(arguments)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_process_that_ends_gives_its_work_to_the_next_at_once(store: RecordStore, url: str) -> None:
    with worker(url, "one") as one, worker_beside(store, url):
        one.terminate()
        assert one.wait(10) == 0
        eventually(lambda: last(store) == "two", what="the takeover by the second", seconds=LEASE_SECONDS)
    assert in_turn(store) == ["one", "two"]


def test_the_work_of_a_killed_process_is_taken_over_when_its_lease_ends(store: RecordStore, url: str) -> None:
    with worker(url, "one") as one, worker_beside(store, url):
        one.kill()
        eventually(lambda: last(store) == "two", what="the takeover by the second", seconds=3 * LEASE_SECONDS)
    assert in_turn(store) == ["one", "two"]


def test_who_slept_through_the_loss_of_its_lease_writes_nothing_when_it_wakes(store: RecordStore, url: str) -> None:
    with worker(url, "one") as one, worker_beside(store, url):
        one.send_signal(signal.SIGSTOP)
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
    with worker(url, "two") as two:
        yield two


def last(store: RecordStore) -> str:
    return store.aliases(MODEL).get("champion", "")


def in_turn(store: RecordStore) -> list[str]:
    """Who wrote, each run of writings as one."""
    return [name for name, _ in groupby(change.version for change in store.alias_changes(MODEL))]
