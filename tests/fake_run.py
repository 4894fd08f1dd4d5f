"""Two months of the toy model, judged day by day: the world changes, drift is found, a new version takes over.

`python -m tests.fake_run FILE` writes the overview page of it, to be looked at.
"""

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from monitoring.entrypoints.overview import Overview
from monitoring.entrypoints.page import page
from monitoring.evaluation.drift import Reference, reference_of
from monitoring.evaluation.evaluate import evaluate
from services.core.artifacts import WorkerReport
from services.core.features import FeatureVerdict, Status
from services.core.predictions import NO_ACTION, ServedBy
from services.core.records import CHAMPION, AliasChange, EvaluationResult, Job, JobState, Judged
from services.core.spec import BinaryClassification, DriftPolicy
from tests.fakes import StoreInMemory
from tests.toy import NOON, toy_spec
from tests.toy_traffic import toy_reference, toy_rows

DAY = timedelta(days=1)
CHANGE, PROMOTED, LAST = 24, 41, 66
SPEC = toy_spec(
    task=BinaryClassification(positive="left", negative="stayed", outcome_delay=10 * DAY),
    drift=DriftPolicy(window=3 * DAY),
)


@dataclass(frozen=True)
class FakeRun:
    store: StoreInMemory
    state: Overview

    def page(self) -> str:
        return page([self.state], store=self.store.port)


def fake_run(*, days: int = LAST) -> FakeRun:
    """The run as it stands after so many days."""
    store = StoreInMemory(_rows())
    store.changes.append(_alias("v1", "", NOON))
    references = {"v1": reference_of(SPEC, "v1", toy_reference()), "v2": reference_of(SPEC, "v2", _later_reference())}
    results: list[EvaluationResult] = []
    for day in range(1, days + 1):
        now = NOON + day * DAY
        _live(store, day, now)
        known = [row for row in store.rows if row.prediction.made_at < now]
        results = _judge(StoreInMemory(known), store, references, now)
        store.save_results(results)
    return FakeRun(store, _overview(store, results, NOON + days * DAY))


def _live(store: StoreInMemory, day: int, now: datetime) -> None:
    """What the lifecycle does on that day."""
    if day == CHANGE + 3:
        job = Job(
            id=1,
            model="toy",
            trigger="drift",
            dedupe_key="x",
            state=JobState.WAITING,
            since=NOON + CHANGE * DAY,
            opened_at=now,
            note="612 of 1,000 outcomes since the change have matured; the rest are due by 11 April",
        )
        store.opened.append(job)
    if day == PROMOTED:
        done = msgspec.structs.replace(
            store.opened[0], state=JobState.PROMOTED, closed_at=now, note="v2 beats v1 by 0.09 in AUC, at least 0.05"
        )
        store.opened[0] = done
        store.changes.append(_alias("v2", "v1", now))


def _judge(
    known: StoreInMemory, store: StoreInMemory, references: dict[str, Reference], now: datetime
) -> list[EvaluationResult]:
    known.saved = store.saved
    champion = store.aliases("toy")[CHAMPION]
    return evaluate(SPEC, store=known.port, champion=champion, reference=references.__getitem__, now=now, wall_now=now)


def _rows() -> list[Judged]:
    every = DAY / 200
    before = toy_rows(200 * CHANGE, begin=NOON, every=every, effect=0.5)
    between = _confused(
        toy_rows(
            200 * (PROMOTED - CHANGE),
            seed=2,
            begin=NOON + CHANGE * DAY,
            every=every,
            first=50_000,
            richer=0.9,
            yearly=0.25,
            effect=0.5,
        )
    )
    after = toy_rows(
        200 * (LAST - PROMOTED),
        seed=3,
        begin=NOON + PROMOTED * DAY,
        every=every,
        first=100_000,
        richer=0.9,
        yearly=0.25,
        effect=0.5,
        version="v2",
    )
    return [_sometimes_by_rule(i, row) for i, row in enumerate([*before, *between, *after])]


def _later_reference() -> pd.DataFrame:
    from tests.toy_traffic import toy_columns

    return pd.DataFrame(toy_columns(3000, seed=5, richer=0.9, yearly=0.25))


def _confused(rows: list[Judged]) -> list[Judged]:
    """The outcomes stay, the scores lose touch with them: what a changed world does to a model."""
    random = np.random.default_rng(9)
    return [
        Judged(
            msgspec.structs.replace(row.prediction, score=float(0.35 * (row.prediction.score or 0) + 0.65 * noise)),
            row.outcome,
            row.observed_at,
        )
        for row, noise in zip(rows, random.random(len(rows)), strict=True)
    ]


def _sometimes_by_rule(i: int, row: Judged) -> Judged:
    """Every 30th answer lacks a feature; around day 12 a feed is slow and a third does."""
    slow = 11.5 < (row.prediction.made_at - NOON) / DAY < 13.5 and i % 3 == 0
    if not slow and i % 30:
        return row
    stale = row.prediction.features | {"visits": FeatureVerdict(Status.STALE, 3.0, 40_000.0)}
    by_rule = msgspec.structs.replace(
        row.prediction, served_by=ServedBy.RULE, features=stale, intended_action=NO_ACTION, action=NO_ACTION
    )
    return Judged(by_rule, row.outcome, row.observed_at)


def _alias(version: str, previous: str, at: datetime) -> AliasChange:
    return AliasChange(model="toy", alias=CHAMPION, version=version, previous=previous, at=at, reason="it is better")


def _overview(store: StoreInMemory, results: list[EvaluationResult], now: datetime) -> Overview:
    version = store.aliases("toy")[CHAMPION]
    return Overview(
        spec=SPEC,
        now=now,
        wall_now=now,
        aliases=store.aliases("toy"),
        versions=store.versions("toy"),
        changes=store.alias_changes("toy"),
        workers=[WorkerReport(pid=pid, model="toy", version=version, at=now) for pid in (1, 2)],
        jobs=store.jobs("toy", limit=20),
        counts=store.counts("toy"),
        results=results,
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(fake_run(days=int(sys.argv[2]) if len(sys.argv) > 2 else LAST).page())
