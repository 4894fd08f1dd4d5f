"""Whoever sends outcomes has two words mixed up from some moment on, and one caller floods the service; drift opens a
job.

Nothing may learn from those outcomes or be promoted by them; it is said that they are wrong and since when. Once the
right ones are sent, which tell of a world that has really changed, it is learnt.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from monitoring.evaluation.drift import reference_of
from monitoring.evaluation.evaluate import evaluate
from monitoring.evaluation.standing import standing_doubts
from monitoring.lifecycle.alerts import intake
from monitoring.lifecycle.retrain import first_version
from monitoring.lifecycle.step import step
from services.adapters.event_log_sqlite import EventLogSqlite
from services.core.events import Event, outcome_event, prediction_event
from services.core.outcomes import OutcomeObserved
from services.core.records import CHAMPION, Job, JobState, Judged
from services.ingest.audit import audit
from services.ingest.consume import consume_once
from services.ingest.local import LocalSource
from tests.consuming import Heard, LastLogInMemory
from tests.faults.trial import Trial
from tests.toy import NOON
from tests.toy_traffic import flipped, toy_reference, toy_rows, world_of_moods
from tests.workshop import SPEC, Bench, asked_daily, drift_payload, open_bench, past_cases

NAME: Final = "outcomes flipped"
DAY: Final = timedelta(days=1)
EVERY: Final = timedelta(minutes=2)
CHANGED: Final = NOON + DAY
FLOOD: Final = 500
OFF_AT_MOST: Final = timedelta(hours=12)
"""Between when the outcomes began to be wrong and since when they are said to be: a third of the rows to tell it by."""
AT_ONCE: Final = 2_000
WAIT_SECONDS: Final = 30.0


def play(home: Path, _seconds: float) -> Trial:
    began = time.monotonic()
    with ExitStack() as stack:
        bench = open_bench(home)
        stack.enter_context(closing(bench.store))
        log = stack.enter_context(closing(EventLogSqlite(home / "events.sqlite")))
        wrong = list(_Play(bench, log).told())
        account = audit(log, bench.store)
    return Trial(
        fault=NAME,
        store="SQLite",
        sent=account.appended,
        stored=account.stored,
        dead_lettered=account.dead_lettered,
        lost=account.in_flight,
        duplicated=account.duplicates_stored,
        unaccounted=account.unaccounted,
        seconds=time.monotonic() - began,
        wrong=wrong,
    )


@dataclass
class _Play:
    """`told` says what should have been and was not."""

    bench: Bench
    log: EventLogSqlite
    source: LocalSource = field(init=False)

    def __post_init__(self) -> None:
        self.source = LocalSource(self.log, committed=self.bench.store.committed, last_log=LastLogInMemory())

    def told(self) -> Iterator[str]:
        before = toy_rows(700, seed=2, every=EVERY)
        after = toy_rows(1200, seed=3, begin=CHANGED, every=EVERY, first=10_000)
        yield from self._first_version()
        self._ask([*before, *after, *_flood()])
        self._observe([*before, *(flipped(row) for row in after)])
        yield from self._stops()
        self._observe(_again(world_of_moods(after, seed=3)))
        yield from self._goes_on()

    def _first_version(self) -> Iterator[str]:
        if not first_version(SPEC, self.bench.workshop, cases=past_cases(800, seed=1)).promoted:
            yield "there is no first version"

    def _stops(self) -> Iterator[str]:
        job = self._job_of_drift(CHANGED + DAY, looked_at=CHANGED + 6 * DAY)
        if job.state is not JobState.OUTCOMES_DOUBTED:
            yield f"the job is {job.state.value}: {job.note}"
        if not job.note.startswith("outcomes look inverted since"):
            yield f"the job does not say what is wrong: {job.note}"
        for doubt in job.evidence.get("doubts", []):
            if abs(datetime.fromisoformat(doubt["since"]) - CHANGED) > OFF_AT_MOST:
                yield f"it says since {doubt['since']}, it was {CHANGED.isoformat()}"
        if not self._judged_doubtful(job):
            yield "the judgement of the same outcomes does not doubt them"
        if self.bench.workshop.fleet.published("toy") != {CHAMPION: "v1"}:
            yield f"workers are told to serve {self.bench.workshop.fleet.published('toy')}"

    def _goes_on(self) -> Iterator[str]:
        job = self._job_of_drift(CHANGED + 8 * DAY, looked_at=CHANGED + 8 * DAY)
        if job.state is not JobState.PROMOTED:
            yield f"with the right outcomes the next job is {job.state.value}: {job.note}"
        if self._judged_doubtful(job):
            yield "the right outcomes are still doubted"

    def _job_of_drift(self, opened_at: datetime, *, looked_at: datetime) -> Job:
        store = self.bench.at(opened_at).store
        intake(drift_payload(CHANGED), store=store, specs={"toy": SPEC}, now=opened_at)
        self._ask(asked_daily(begin=CHANGED + 2 * DAY, until=looked_at))
        job = step(SPEC, self.bench.at(looked_at).workshop)
        return job or store.jobs("toy", limit=1)[0]

    def _judged_doubtful(self, job: Job) -> bool:
        """What the overview page would say of them, by its own judgement alone."""
        results = evaluate(
            SPEC,
            store=self.bench.store,
            champion="v1",
            reference=lambda version: reference_of(SPEC, version, toy_reference()),
            now=self.bench.moment[0],
            wall_now=self.bench.moment[0],
        )
        return bool(standing_doubts(results, [job] if job.state is JobState.PROMOTED else []))

    def _ask(self, rows: Iterable[Judged]) -> None:
        self._carry(prediction_event(row.prediction) for row in rows)

    def _observe(self, rows: Iterable[Judged]) -> None:
        self._carry(outcome_event(_outcome(row)) for row in rows)

    def _carry(self, events: Iterable[Event]) -> None:
        """Into the log, and from there into the store."""
        for appended in [self.log.append(event) for event in events]:
            appended.result(WAIT_SECONDS)
        now = self.bench.workshop.now
        while consume_once(self.source, self.bench.store, limit=AT_ONCE, now=now, observer=Heard()):
            pass


def _flood() -> list[Judged]:
    """One caller, again and again, about a customer who looks like nobody else."""
    rows = toy_rows(FLOOD, seed=5, begin=CHANGED, every=timedelta(seconds=1), richer=5.0, first=20_000)
    return [
        msgspec.structs.replace(row, prediction=msgspec.structs.replace(row.prediction, entity_id="again"))
        for row in rows
    ]


def _again(rows: Iterable[Judged]) -> list[Judged]:
    """The right outcomes, sent once more for the same questions."""
    return [msgspec.structs.replace(row, observed_at=row.prediction.made_at + 2 * DAY) for row in rows]


def _outcome(row: Judged) -> OutcomeObserved:
    return OutcomeObserved(
        prediction_id=row.prediction.prediction_id,
        model="toy",
        value=row.outcome or "",
        observed_at=row.observed_at or row.prediction.made_at,
    )
