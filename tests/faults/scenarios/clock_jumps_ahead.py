"""The clock that everybody looks at is 500 days ahead for a moment, then no time at all, then right again.

Nothing that was recorded may go for it, nobody who asks may notice, and the present is judged again afterwards.
"""

import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from monitoring.entrypoints.reports import event_account
from monitoring.metrics.table import PRUNING_STANDS_STILL
from services import bootstrap
from services.core.clock import DAY
from services.core.ports import RecordStore
from services.core.records import Batch, ResultKind
from services.settings import Settings
from tests.faults.trial import Trial
from tests.integration.serving_process import ServingProcess, toy_serving
from tests.ports import free_port
from tests.toy import NOON, prediction
from tests.waiting import eventually

NAME: Final = "clock jumps ahead"
AHEAD: Final = 500 * DAY
HISTORY_DAYS: Final = 405
A_DAY: Final = 5
FIRST_SECONDS: Final = 120.0
"""Until all processes have loaded what they are made of, on a machine that is busy."""
PATIENCE_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 0.02
STOP_SECONDS: Final = 20.0


def play(home: Path, seconds: float) -> Trial:
    with ExitStack() as stack:
        clock = _Clock(home / "clock", NOON)
        serving = stack.enter_context(
            toy_serving(home, versions={"v1": 1}, clock_file=str(clock.path), lifecycle_seconds=0.1)
        )
        settings = serving.settings.with_flags(consumer_port=free_port(), lifecycle_port=free_port())
        store = stack.enter_context(closing(bootstrap.record_store(settings)))
        _record_history(store)
        for module in ("services.entrypoints.consumer", "tests.faults.attending_toy"):
            stack.enter_context(_running(module, settings))
        eventually(
            lambda: store.removed("toy").predictions,
            what=f"what is too old has gone, see the logs in {home}",
            seconds=FIRST_SECONDS,
        )
        return _played(serving, settings, store, clock, seconds)


def _played(serving: ServingProcess, settings: Settings, store: RecordStore, clock: "_Clock", seconds: float) -> Trial:
    gone, wrong, began = store.removed("toy").predictions, list[str](), time.monotonic()

    def expect(so: Callable[[], object], what: str) -> None:
        if not _becomes(so):
            wrong.append(what)

    with _asking(serving.model_url) as asked:
        clock.tell(NOON + AHEAD)
        _write_feature(serving, at=NOON + AHEAD)
        expect(lambda: _stands_still(settings) == 1, "nothing shows that no records are removed")
        _pass(seconds, since=began)
        clock.tell_nothing()
        _pass(2 * seconds, since=began)
        back = NOON + timedelta(minutes=10)
        clock.tell(back)
        healed = time.monotonic()
        expect(lambda: _stands_still(settings) == 0, "it is still shown that no records are removed")
        expect(lambda: _judged_until(store, back) == back, "the present is not judged again")
        _write_feature(serving, at=back)
        expect(lambda: _feature_status(serving) == "ok", "a feature from ahead of the clock wins over the present")
    expect(lambda: store.stored_event_ids(asked.ids) == set(asked.ids), "not all answers are stored")
    caught_up = time.monotonic() - healed
    if more := store.removed("toy").predictions - gone:
        wrong.append(f"{more} predictions were removed for it")
    account = event_account(settings)
    stored = store.stored_event_ids(asked.ids)
    return Trial(
        fault=NAME,
        store="SQLite",
        seconds=seconds,
        sent=len(asked.ids),
        stored=len(stored),
        lost=len(asked.ids) - len(stored),
        duplicated=account["duplicates_stored"],
        unaccounted=account["unaccounted"],
        failed_requests=asked.failed,
        seconds_to_catch_up=round(caught_up, 2),
        wrong=wrong,
    )


@dataclass
class _Clock:
    """Eight bytes that every process reads; written past the class that never goes back."""

    path: Path
    start: datetime

    def __post_init__(self) -> None:
        self.tell(self.start)

    def tell(self, moment: datetime) -> None:
        self._write(moment.timestamp())

    def tell_nothing(self) -> None:
        self._write(float("nan"))

    def _write(self, seconds: float) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(descriptor, struct.pack("<d", seconds), 0)
        os.close(descriptor)


def _record_history(store: RecordStore) -> None:
    """More than is kept: what is too old goes as on any other day, and the rest must not."""
    days = [NOON - day * DAY for day in range(HISTORY_DAYS) for _ in range(A_DAY)]
    rows = [prediction(number, made_at=made_at) for number, made_at in enumerate(days)]
    store.commit(Batch(rows, [], []), consumer="history", position=1)


@contextmanager
def _running(module: str, settings: Settings) -> Iterator[None]:
    with (settings.home / f"{module}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            env=os.environ | settings.as_environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


@dataclass
class _Asked:
    ids: list[str] = field(default_factory=list)
    failed: int = 0


@contextmanager
def _asking(url: str) -> Iterator[_Asked]:
    """Somebody asks one question after the other, and sends what turned out."""
    asked, stop = _Asked(), threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=10.0) as client:
            while not stop.wait(PAUSE_SECONDS):
                question = {"entity_id": f"user-{len(asked.ids)}", "features": {"plan": "monthly", "amount": 9.0}}
                answer = client.post(f"{url}/predict", json=question)
                if answer.is_success:
                    asked.ids.append(answer.json()["prediction_id"])
                else:
                    asked.failed += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield asked
    finally:
        stop.set()
        thread.join()


def _write_feature(serving: ServingProcess, *, at: datetime) -> None:
    readings = {"features": {"visits": {"value": 3.0, "observed_at": at.isoformat()}}}
    httpx.put(f"{serving.model_url}/entities/fed/features", json=readings).raise_for_status()


def _feature_status(serving: ServingProcess) -> str:
    question = {"entity_id": "fed", "features": {"plan": "monthly", "amount": 9.0}}
    answer: dict[str, Any] = httpx.post(f"{serving.model_url}/predict", json=question).raise_for_status().json()
    return str(answer["features"]["visits"]["status"])


def _stands_still(settings: Settings) -> float | None:
    shown = httpx.get(f"http://127.0.0.1:{settings.lifecycle_port}/metrics").raise_for_status().text
    found = [line.split()[-1] for line in shown.splitlines() if line.startswith(f'{PRUNING_STANDS_STILL}{{model="toy"')]
    return float(found[0]) if found else None


def _judged_until(store: RecordStore, until: datetime) -> datetime | None:
    newest = store.results("toy", ResultKind.AVAILABILITY, limit=1, until=until)
    return newest[-1].window_end if newest else None


def _becomes(so: Callable[[], object]) -> bool:
    try:
        eventually(so, what="", seconds=PATIENCE_SECONDS)
    except AssertionError:
        return False
    return True


def _pass(seconds: float, *, since: float) -> None:
    """Let the fault last for so long in all."""
    threading.Event().wait(max(0.0, since + seconds - time.monotonic()))
