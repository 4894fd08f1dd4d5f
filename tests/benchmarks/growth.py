"""What grows with what: models, features, categories, records and a log, each at three sizes.

Nothing but the code of one process on SQLite, in seconds of its processor, whatever else the machine does. What a
figure does from one size to the next is what is read from it.
"""

import itertools
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import pandas as pd
from sqlalchemy.event import listen

from monitoring.entrypoints.lifecycle import Attendance, Seen
from monitoring.entrypoints.page import Drawn, page
from monitoring.entrypoints.tenure import Tenure
from monitoring.evaluation.calibration import Calibration
from monitoring.evaluation.drift import calibrated, drift, reference_of
from monitoring.lifecycle.retrain import Workshop
from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.fleet_files import FleetFiles
from services.adapters.model_store import BentoModelStore
from services.adapters.outbox_sqlite import OutboxSqlite
from services.adapters.record_store import RecordStoreSql
from services.adapters.record_store.database import engine_of
from services.core.artifacts import WorkerReport
from services.core.clock import wall_clock
from services.core.events import outcome_event, prediction_event
from services.core.outcomes import OutcomeObserved
from services.core.predictions import NO_ACTION
from services.core.records import CHAMPION, AliasChange, Batch, Judged
from services.core.spec import Categorical, Feature, ModelSpec, Numeric, Source
from tests.benchmarks.machine import described
from tests.benchmarks.pipeline import Say
from tests.fake_run import fake_run
from tests.toy import NOON, prediction, toy_spec, verdicts

Sizes = dict[str, Sequence[int]]
"""By what grows, smallest first."""

MODELS: Final = (3, 10, 50)
FEATURES: Final = (10, 100, 500)
CATEGORIES: Final = (10, 1_000, 10_000)
RECORDS: Final = (10_000, 100_000, 1_000_000)
EVENTS: Final = (10_000, 100_000, 1_000_000)
SIZES: Final[Sizes] = {
    "models": MODELS,
    "features": FEATURES,
    "categories": CATEGORIES,
    "records": RECORDS,
    "events": EVENTS,
}
SHORT: Final[Sizes] = {
    "models": (3, 10, 50),
    "features": (10, 30, 100),
    "categories": (10, 100, 1_000),
    "records": (1_000, 5_000, 20_000),
    "events": (1_000, 5_000, 20_000),
}
"""A minute's run: to see that it works, not to read from."""

TRAINING_AT_MOST: Final = 180_000
REFERENCE_ROWS: Final = 10_000
WINDOW_ROWS: Final = 2_000
AT_ONCE: Final = 2_000
TOGETHER: Final = 500
"""Events of one hand-over to the log."""
PRUNED_AT_ONCE: Final = 2_000
LOOKS: Final = 5
"""The median of so many is told."""
HALF_SECONDS: Final = 40
"""Looks of a worker at each of its models: twenty seconds of them."""

Found = TypeVar("Found")
Costs = dict[str, float]


def run(*, sizes: Sizes, say: Say) -> dict[str, Any]:
    """`grows` has, by what grows, the sizes and for each cost a figure per size."""
    measures: dict[str, Callable[[Path, int], Costs]] = {
        "models": _models,
        "features": _features,
        "categories": _categories,
        "records": _records,
        "events": _events,
    }
    grows = {}
    with tempfile.TemporaryDirectory(prefix="bellwether-bench-") as home:
        for name, measure in measures.items():
            costs = []
            for size in sizes[name]:
                folder = Path(home) / f"{name}-{size}"
                folder.mkdir()
                costs.append(measure(folder, size))
                say(f"{size:,} {name}: {', '.join(f'{what} {cost:.3g}' for what, cost in costs[-1].items())}")
            grows[name] = {"sizes": list(sizes[name]), "costs": {each: [c[each] for c in costs] for each in costs[0]}}
    return {"machine": described(), "grows": grows}


def table(result: dict[str, Any]) -> str:
    """One table for each of what grows."""
    return "\n\n".join(_table(name, grown) for name, grown in result["grows"].items())


def _table(name: str, grown: dict[str, Any]) -> str:
    head = f"| {name} | " + " | ".join(f"{size:,}" for size in grown["sizes"]) + " |"
    rows = [
        f"| {what} | " + " | ".join(f"{cost:,.3g}" for cost in costs) + " |" for what, costs in grown["costs"].items()
    ]
    return "\n".join([head, "| --- |" + " --- |" * len(grown["sizes"]), *rows])


def _models(folder: Path, number: int) -> Costs:
    """A home with so many models, of which none has anything to do."""
    specs = [toy_spec(name=f"model_{each}") for each in range(number)]
    fleet = FleetFiles(folder / "aliases", folder / "workers")
    with closing(_store(folder)) as store:
        for spec in specs:
            store.move_alias(
                AliasChange(model=spec.name, alias=CHAMPION, version="v1", previous="", at=NOON, reason="a benchmark")
            )
            fleet.publish(spec.name, {CHAMPION: "v1"})
        statements = _statements(store)
        tenure = Tenure(store, work="lifecycle", models=[spec.name for spec in specs], lasts=timedelta(hours=1))
        with tenure:
            renewing = _asked(statements, tenure._ask_for_all)
            attendance = Attendance(_workshop(folder, store, fleet), tenure)
            _attend(attendance, specs)
            round_ = _asked(statements, lambda: _attend(attendance, specs))
            seconds = _median(lambda: _attend(attendance, specs))
    written = _reports_written(folder, specs)
    return {
        "statements of a round without work": round_,
        "statements to renew the leases": renewing,
        "a round, ms": seconds * 1e3,
        "reports that a worker writes in its first 20 s": written,
        **_overview(number),
    }


def _attend(attendance: Attendance, specs: Iterable[ModelSpec]) -> None:
    seen = Seen.by(attendance.workshop.store)
    for spec in specs:
        attendance.attend(spec, seen)


def _workshop(folder: Path, store: RecordStoreSql, fleet: FleetFiles) -> Workshop:
    return Workshop(
        store=store,
        models=BentoModelStore(folder / "bentoml"),
        fleet=fleet,
        now=lambda: NOON,
        training_directory=folder / "training",
        say=lambda _: None,
    )


def _reports_written(folder: Path, specs: Sequence[ModelSpec]) -> float:
    """By one worker that looks at each of its models twice a second."""
    workers = folder / "of-one-worker"
    fleet, written = FleetFiles(folder / "aliases", workers), set[int]()
    for half_second in range(HALF_SECONDS):
        at = NOON + half_second * timedelta(seconds=0.5)
        for spec in specs:
            fleet.report(WorkerReport(pid=1, model=spec.name, version="v1", at=at))
            written.update(path.stat().st_mtime_ns for path in workers.iterdir())
    return len(written)


def _overview(number: int) -> Costs:
    run = fake_run(days=20)
    states = [replace(run.state, spec=toy_spec(name=f"model_{each}")) for each in range(number)]
    drawn = Drawn()
    first = _median(lambda: page(states, store=run.store.port, drawn=Drawn()), looks=1)
    page(states, store=run.store.port, drawn=drawn)
    return {
        "the overview, first, ms": first * 1e3,
        "the overview, nothing new, ms": _median(lambda: page(states, store=run.store.port, drawn=drawn)) * 1e3,
    }


def _features(_: Path, number: int) -> Costs:
    """Columns of continuous numbers, which are the dearest."""
    names = [f"x_{each}" for each in range(number)]
    spec = toy_spec(slices=(), features=tuple(_feature(name, Numeric()) for name in names))
    random = np.random.default_rng(1)
    frame = pd.DataFrame(random.normal(size=(REFERENCE_ROWS, number)), columns=names)
    frame["score"] = random.random(REFERENCE_ROWS)
    rows = [
        Judged(prediction(place, features=verdicts(**dict(zip(names, values.tolist(), strict=True)))))
        for place, values in enumerate(random.normal(size=(WINDOW_ROWS, number)))
    ]
    return _judged(spec, frame, rows)


def _categories(_: Path, number: int) -> Costs:
    """One column with so many categories."""
    categories = tuple(f"category {each}" for each in range(number))
    spec = toy_spec(slices=(), features=(_feature("x", Categorical(categories)),))
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"x": random.choice(categories, REFERENCE_ROWS), "score": random.random(REFERENCE_ROWS)})
    rows = [
        Judged(prediction(place, features=verdicts(x=str(value))))
        for place, value in enumerate(random.choice(categories, WINDOW_ROWS))
    ]
    return _judged(spec, frame, rows)


def _judged(spec: ModelSpec, frame: pd.DataFrame, rows: Sequence[Judged]) -> Costs:
    anew, packaging = _timed(lambda: calibrated(spec, reference_of(spec, "v1", frame)))
    kept = msgspec.json.encode(anew)

    def started() -> Any:
        calibration = msgspec.json.decode(kept, type=Calibration)
        return reference_of(spec, "v1", frame, calibration=calibration)

    reference, start = _timed(started)
    return {
        "calibrating, once for a version, s": packaging,
        "thresholds at a start, s": start,
        f"drift of {WINDOW_ROWS:,} answers, s": _median(lambda: drift(spec, reference=reference, rows=rows), looks=3),
    }


def _records(folder: Path, number: int) -> Costs:
    """So many predictions, each with its outcome."""
    with closing(_store(folder)) as store:
        for start in range(0, number, AT_ONCE):
            some = range(start, min(number, start + AT_ONCE))
            made = [_prediction(each) for each in some]
            seen = [_outcome(each.prediction_id, each.made_at) for each in made]
            store.commit(Batch(made, seen, []), consumer="bench", position=start + 1)
        end = NOON + number * timedelta(seconds=1)
        costs = {
            "all totals of a model, ms": _median(lambda: store.counts("toy")) * 1e3,
            "a sample of 10,000, s": _timed(lambda: store.judged("toy", made_from=NOON, made_until=end, limit=10_000))[
                1
            ],
            "a look at a waiting job, ms": _median(
                lambda: store.count_settled("toy", made_from=NOON, made_until=end, at_most=1_000)
            )
            * 1e3,
        }
    took = _training(folder, min(number, TRAINING_AT_MOST))
    return costs | {
        f"a training set (at most {TRAINING_AT_MOST:,} rows), MB above idle": took["megabytes"],
        "the same, s": took["seconds"],
    }


def _training(folder: Path, rows: int) -> dict[str, float]:
    """In a process of its own, whose memory nothing else has."""
    command = [sys.executable, "-m", "tests.benchmarks.training_memory", _url(folder), str(rows)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    if found["rows"] != rows:
        raise RuntimeError(f"a training set of {found['rows']} rows, expected {rows}")
    return found


def _events(folder: Path, number: int) -> Costs:
    """A local log of so many events that is then pruned until nothing is left."""
    path = folder / "events.sqlite"
    with closing(EventLogSqlite(path)) as log:
        template = prediction_event(prediction(1))
        for start in range(0, number, TOGETHER):
            some = range(start, min(number, start + TOGETHER))
            log.append(*(msgspec.structs.replace(template, id=f"event-{each}") for each in some)).result(60)
        full = _file_size(path)
        outbox = OutboxSqlite(log)
        rounds = [seconds for _, seconds in itertools.takewhile(lambda each: each[0], _prunings(outbox))]
        for _ in _prunings(outbox, rounds=len(rounds)):
            pass
    return {
        f"a removal of {PRUNED_AT_ONCE:,}, ms": statistics.median(rounds) * 1e3,
        "the log, MB": full / 1e6,
        "the same once its events went, MB": _file_size(path) / 1e6,
    }


def _prunings(outbox: OutboxSqlite, *, rounds: int | None = None) -> Iterator[tuple[int, float]]:
    later = wall_clock() + timedelta(hours=1)
    for _ in itertools.count() if rounds is None else range(rounds):
        yield _timed(lambda: outbox.prune(before=later, now=later, below=2**60, limit=PRUNED_AT_ONCE))


def _file_size(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def _store(folder: Path) -> RecordStoreSql:
    store = RecordStoreSql(_url(folder))
    store.migrate()
    return store


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / 'records.sqlite'}"


def _prediction(number: int) -> Any:
    return prediction(number, made_at=NOON + number * timedelta(seconds=1), intended_action=NO_ACTION)


def _outcome(prediction_id: str, made_at: datetime) -> tuple[str, OutcomeObserved]:
    fact = OutcomeObserved(prediction_id=prediction_id, model="toy", value="left", observed_at=made_at)
    return outcome_event(fact).id, fact


def _feature(name: str, kind: Numeric | Categorical) -> Feature:
    return Feature(name, kind, Source.REQUEST, meaning=name, owner="benchmarks", refreshed="hourly")


def _statements(store: RecordStoreSql) -> list[str]:
    asked: list[str] = []
    listen(engine_of(store._database), "before_cursor_execute", lambda *event: asked.append(event[2]))
    return asked


def _asked(statements: list[str], work: Callable[[], object]) -> float:
    before = len(statements)
    work()
    return len(statements) - before


def _median(work: Callable[[], object], *, looks: int = LOOKS) -> float:
    return statistics.median(_timed(work)[1] for _ in range(looks))


def _timed(work: Callable[[], Found]) -> tuple[Found, float]:
    began = time.process_time()
    found = work()
    return found, time.process_time() - began
