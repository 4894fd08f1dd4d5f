"""A consumer's process whose store is away: what it shows, from its start and in the middle of its work."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx

from services import bootstrap
from services.core.events import prediction_event
from services.settings import Settings
from tests.ports import free_port
from tests.toy import prediction
from tests.waiting import eventually

PATIENCE = 120.0
"""A store that is locked is waited for by the driver, ten seconds at a time; and a busy machine takes long to begin."""


@contextmanager
def consumer(settings: Settings) -> Iterator[None]:
    with (settings.home / "consumer.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.entrypoints.consumer"],
            env=os.environ | settings.as_environment(),
            stderr=log,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


def shown(settings: Settings, name: str) -> float | None:
    """The only sample of a metric; None while there is none, or nothing answers."""
    try:
        text = httpx.get(f"http://127.0.0.1:{settings.consumer_port}/metrics", timeout=5).text
    except httpx.TransportError:
        return None
    found = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return float(found[0].split()[-1]) if found else None


def append(settings: Settings, *numbers: int) -> None:
    with closing(bootstrap.event_log(settings)) as log:
        log.append(*(prediction_event(prediction(number)) for number in numbers)).result(10)


def test_while_the_store_is_away_the_lag_grows_and_the_consumer_is_not_silent(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, consumer_port=free_port(), poll_seconds=0.05)
    append(settings, 1, 2)
    with consumer(settings):
        eventually(lambda: shown(settings, "bellwether_store_up") == 1, what="the store takes events", seconds=PATIENCE)
        eventually(lambda: shown(settings, "bellwether_consumer_lag") == 0, what="all is stored", seconds=PATIENCE)

        with closing(sqlite3.connect(tmp_path / "records.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            append(settings, 3, 4, 5)
            eventually(lambda: shown(settings, "bellwether_store_up") == 0, what="it takes nothing", seconds=PATIENCE)
            eventually(lambda: shown(settings, "bellwether_consumer_lag") == 3, what="three wait", seconds=PATIENCE)
            looked = shown(settings, "bellwether_consumer_last_round_timestamp_seconds")
            other.execute("ROLLBACK")

        eventually(lambda: shown(settings, "bellwether_store_up") == 1, what="it takes them again", seconds=PATIENCE)
        eventually(lambda: shown(settings, "bellwether_consumer_lag") == 0, what="none waits", seconds=PATIENCE)
    assert looked is not None


def test_a_consumer_that_begins_without_its_store_says_so_and_is_not_silent(tmp_path: Path) -> None:
    nowhere = f"postgresql+psycopg://bellwether@127.0.0.1:{free_port()}/records"
    settings = Settings(home=tmp_path, store=nowhere, consumer_port=free_port())
    with consumer(settings):
        eventually(lambda: shown(settings, "bellwether_store_up") == 0, what="it is away", seconds=PATIENCE)
        first = shown(settings, "bellwether_consumer_last_round_timestamp_seconds") or 0
        last = "bellwether_consumer_last_round_timestamp_seconds"
        eventually(lambda: (shown(settings, last) or 0) > first, what="it goes on looking", seconds=PATIENCE)
        assert shown(settings, "bellwether_consumer_lag") is None
