"""Commands as processes of their own, and what they leave behind, for scenarios about how processes end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from monitoring.entrypoints.reports import event_account
from monitoring.entrypoints.up.home import require_free_ports
from services import bootstrap
from services.adapters.home_lock import own, use_alone
from services.core.errors import AlreadyRunning, PortTaken
from services.ingest.consume import consume_once
from services.settings import Settings
from tests.consuming import Heard
from tests.faults.trial import Trial

NAME: Final = "make faults"
START_SECONDS: Final = 240.0
"""A whole stack on a machine that has other work; alone it takes ten."""
END_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.02


@dataclass
class Run:
    """A `bellwether` command; `below` are all the processes that it was ever seen to have started."""

    process: subprocess.Popen[bytes]
    output: Path
    below: dict[int, psutil.Process] = field(default_factory=dict)

    def await_line(self, words: str) -> None:
        """Return as soon as it has said so."""
        deadline = time.monotonic() + START_SECONDS
        while words not in self.said and self.process.poll() is None:
            self.look()
            assert time.monotonic() < deadline, f"not said within {START_SECONDS:.0f} s: {words!r}\n{self.said}"
            time.sleep(LOOK_SECONDS)

    def send(self, number: signal.Signals) -> None:
        self.look()
        self.process.send_signal(number)

    def await_end(self) -> int:
        """Its exit code."""
        deadline = time.monotonic() + END_SECONDS
        while self.process.poll() is None:
            self.look()
            assert time.monotonic() < deadline, f"it has not ended within {END_SECONDS:.0f} s:\n{self.said}"
            time.sleep(LOOK_SECONDS)
        return int(self.process.returncode)

    def look(self) -> None:
        """Note whom it has started meanwhile."""
        try:
            found = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return
        self.below.update({each.pid: each for each in found})

    def left_behind(self, *, after: float) -> list[str]:
        """Who is still there after so many seconds, or at once where nobody is. They are ended."""
        deadline = time.monotonic() + after
        while (living := [each for each in self.below.values() if _lives(each)]) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        named = [f"process {each.pid} ({each.name()})" for each in living]
        for each in living:
            each.kill()
        return named

    @property
    def said(self) -> str:
        return self.output.read_text()


@contextmanager
def running(settings: Settings, output: Path, *words: str) -> Iterator[Run]:
    """This command; whatever it has left is ended with the block."""
    run = _start(settings, output, *words)
    try:
        yield run
    finally:
        run.look()
        run.process.kill()
        run.process.wait()
        run.left_behind(after=0.0)


def _start(settings: Settings, output: Path, *words: str) -> Run:
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitoring.entrypoints.cli", *words],
            env=os.environ | settings.as_environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    return Run(process, output)


def taken_ports(settings: Settings) -> list[str]:
    try:
        require_free_ports(settings)
    except PortTaken as error:
        return [str(error)]
    return []


def carried_over(settings: Settings) -> list[str]:
    """Take the home, at once, and bring what its log has into its store; what kept this from that."""
    try:
        with own(settings.home, command=NAME), use_alone(settings.home, command=NAME):
            _consume_all(settings)
    except AlreadyRunning as error:
        return [str(error)]
    return []


def _consume_all(settings: Settings) -> None:
    with closing(bootstrap.record_store(settings)) as store, closing(bootstrap.event_source(settings, store)) as source:
        while consume_once(
            source, store, limit=settings.consume_batch, now=bootstrap.clock(settings), observer=Heard()
        ):
            pass


def trial_of(name: str, homes: Sequence[Settings], *, seconds: float, wrong: list[str], **counts: Any) -> Trial:
    """What the accounts of these homes say together."""
    accounts = [event_account(home) for home in homes]

    def total(count: str) -> int:
        return sum(int(account[count]) for account in accounts)

    return Trial(
        fault=name,
        store="SQLite",
        seconds=seconds,
        sent=total("appended"),
        stored=total("stored"),
        dead_lettered=total("dead_lettered"),
        lost=total("unaccounted"),
        duplicated=total("duplicates_stored"),
        unaccounted=total("unaccounted"),
        wrong=wrong,
        **counts,
    )


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
