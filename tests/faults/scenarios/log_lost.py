"""The local log's files are removed: once while everything is stopped, once under the running processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from monitoring.entrypoints.reports import event_account
from services import bootstrap
from services.settings import Settings
from services.traffic.client import PredictionClient
from tests.faults.trial import Trial
from tests.faults.under_load import await_stored, load
from tests.integration.serving_process import ServingProcess, toy_serving
from tests.ports import free_port

CONSUMER = "services.entrypoints.consumer"
PATIENCE_SECONDS = 20.0
STOP_SECONDS = 30.0


@dataclass
class _Play:
    home: Path
    answered: set[str] = field(default_factory=set)
    failed: int = 0
    retried: int = 0

    @contextmanager
    def running(self, version: str) -> Iterator[ServingProcess]:
        with (
            toy_serving(self.home, versions={version: 1}, consumer_port=free_port()) as serving,
            consumer(serving.settings, self.home / "consumer.log"),
        ):
            yield serving

    async def ask(self, serving: ServingProcess, seconds: float) -> None:
        client = PredictionClient(serving.url, model="toy", concurrency=4, patience_seconds=PATIENCE_SECONDS)
        async with client, load(client, self.answered):
            await asyncio.sleep(seconds)
        self.failed += client.counts.failed + client.counts.refused
        self.retried += client.counts.retried

    async def ask_and_remove(self, serving: ServingProcess, seconds: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.ask(serving, 2 * seconds))
            await asyncio.sleep(seconds)
            remove_log(self.home)

    def await_stored(self, settings: Settings) -> None:
        with closing(bootstrap.record_store(settings)) as store:
            asyncio.run(await_stored(store, self.answered))


def play(home: Path, seconds: float) -> Trial:
    play = _Play(home)
    with play.running("v1") as serving:
        asyncio.run(play.ask(serving, seconds / 3))
        play.await_stored(serving.settings)
    remove_log(home)
    with play.running("v2") as serving:
        asyncio.run(play.ask(serving, seconds / 3))
        play.await_stored(serving.settings)
        asyncio.run(play.ask_and_remove(serving, seconds / 3))
        play.await_stored(serving.settings)
        return _trial(play, serving.settings, seconds)


def remove_log(home: Path) -> None:
    for path in home.glob("events.sqlite*"):
        path.unlink()


@contextmanager
def consumer(settings: Settings, log: Path) -> Iterator[None]:
    """A consumer process, ended in order."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", CONSUMER], env=os.environ | settings.as_environment(), stdout=file, stderr=file
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)


def _trial(play: _Play, settings: Settings, seconds: float) -> Trial:
    ids, account = list(play.answered), event_account(settings)
    with closing(bootstrap.record_store(settings)) as store:
        stored = store.stored_event_ids(ids)
    said = (play.home / "consumer.log").read_text().count("the event log is not the one that was read before")
    return Trial(
        fault="log lost",
        store="SQLite",
        seconds=seconds,
        sent=len(ids),
        stored=len(stored),
        lost=len(ids) - len(stored),
        duplicated=account["duplicates_stored"],
        unaccounted=account["unaccounted"],
        failed_requests=play.failed,
        retried_requests=play.retried,
        wrong=[] if said == 2 else [f"the consumer said {said} times that the log is another one, expected 2"],
    )
