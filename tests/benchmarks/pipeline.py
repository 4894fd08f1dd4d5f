"""From the answer to the store, stage by stage: append, forward, consume and store, on each engine that is here."""

import itertools
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from services import bootstrap
from services.core.clock import wall_clock
from services.core.events import Event, new_prediction_id, outcome_event, prediction_event
from services.core.features import FeatureVerdict, Status
from services.core.outcomes import OutcomeObserved
from services.core.ports import EventLog, Settled
from services.core.predictions import NO_ACTION, Arm, PredictionMade, ServedBy
from services.core.spec import Categorical, Feature, ModelSpec
from services.ingest.consume import consume_once
from services.ingest.forward import forward_once
from services.models.discovery import spec_of
from services.settings import KAFKA, LOCAL, Settings
from tests.benchmarks.machine import described
from tests.servers.kafka import running_broker
from tests.servers.postgresql import new_database, running_postgresql
from tests.servers.process import Unavailable

MODEL: Final = "churn"
BEGAN: Final = datetime(2026, 1, 5, tzinfo=UTC)
TOGETHER: Final = 32
"""Events of one hand-over to the log, as a busy worker makes them."""
UNDER_WAY: Final = 2
"""Hand-overs that wait for the log at the same time."""

Say = Callable[[str], None]
Row = dict[str, Any]


def run(*, events: int, say: Say) -> dict[str, Any]:
    """`rows` has one entry per stage; `left_out` says which components this machine could not provide."""
    left_out: list[str] = []
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bellwether-bench-")))
        broker = _provided(stack, "Kafka", running_broker, left_out)
        database = _provided(stack, "PostgreSQL", running_postgresql, left_out)
        kafka = {"event_log": KAFKA, "kafka": broker.servers} if broker else {}
        stores: dict[str, Callable[[], str]] = {"SQLite": partial(_file, home)}
        if database:
            stores["PostgreSQL"] = partial(new_database, database)
        rows = list(_stages(Settings(home=home, **kafka), stores, events, say))
    return {"machine": described(), "events": events, "rows": rows, "left_out": left_out}


def table(result: dict[str, Any]) -> str:
    lines = ["| stage | events/s | CPU µs an event |", "| --- | --- | --- |"]
    lines += [f"| {row['stage']} | {row['per_second']:,.0f} | {row['cpu_us']:.0f} |" for row in result["rows"]]
    lines += [f"| {name}: not on this machine | | |" for name in result["left_out"]]
    return "\n".join(lines)


def _provided(
    stack: ExitStack, name: str, running: Callable[[], AbstractContextManager[Any]], left_out: list[str]
) -> Any:
    try:
        return stack.enter_context(running())
    except Unavailable:
        left_out.append(name)
        return None


def _file(home: Path) -> str:
    return f"sqlite:///{home / f'records-{time.time_ns()}.sqlite'}"


def _stages(settings: Settings, stores: dict[str, Callable[[], str]], events: int, say: Say) -> Iterator[Row]:
    made = list(itertools.islice(_events(spec_of(MODEL)), events))
    with closing(bootstrap.event_log(settings)) as log:
        yield _measured("append to the local log, synced to disk", events, partial(_append, log, made), say)
    ways = [LOCAL]
    if settings.event_log == KAFKA:
        yield _measured("forward to Kafka, acknowledged", events, partial(_forward, settings), say)
        ways.append(KAFKA)
    for way, (engine, new_store) in itertools.product(ways, stores.items()):
        own = settings.with_flags(event_log=way, store=new_store())
        stage = f"consume from {'Kafka' if way == KAFKA else 'the local log'} and store in {engine}"
        yield _measured(stage, events, partial(_consume, own, events), say)


def _measured(stage: str, events: int, work: Callable[[], int], say: Say) -> Row:
    """CPU is this process's own; what a broker or a database spends beside it is not in it."""
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if done != events:
        raise RuntimeError(f"{stage}: {done} events of {events}")
    row = {"stage": stage, "per_second": round(events / wall, 1), "cpu_us": round(cpu / events * 1e6, 1)}
    say(f"{stage}: {row['per_second']:,.0f}/s, {row['cpu_us']:.0f} µs CPU an event")
    return row


def _append(log: EventLog, made: Sequence[Event]) -> int:
    waiting: deque[Future[list[Settled]]] = deque()
    for start in range(0, len(made), TOGETHER):
        waiting.append(log.append(*made[start : start + TOGETHER]))
        if len(waiting) > UNDER_WAY:
            waiting.popleft().result(60)
    for each in waiting:
        each.result(60)
    return len(log.ids(after=0, limit=len(made) + 1))


def _forward(settings: Settings) -> int:
    delivered = 0
    with closing(bootstrap.outbox(settings)) as outbox, closing(bootstrap.event_sink(settings)) as sink:
        while some := forward_once(outbox, sink, limit=settings.forward_batch):
            delivered += some
    return delivered


def _consume(settings: Settings, events: int) -> int:
    """A consumer's whole work, its start and its joining of the group included."""
    stored = 0

    def observe(done: Any, _batch: Any) -> None:
        nonlocal stored
        stored += done.stored

    with closing(bootstrap.record_store(settings)) as store, closing(bootstrap.event_source(settings, store)) as source:
        while stored < events:
            consume_once(source, store, limit=settings.consume_batch, now=wall_clock, observe=observe)
    return stored


def _events(spec: ModelSpec) -> Iterator[Event]:
    """A prediction of every feature, and its outcome, again and again: about 1.5 kB and 0.2 kB."""
    verdicts = {feature.name: FeatureVerdict(Status.OK, _value(feature), 3600.0) for feature in spec.features}
    for number in itertools.count():
        made = PredictionMade(
            prediction_id=new_prediction_id(),
            model=spec.name,
            version="v1",
            entity_id=f"customer-{number}",
            served_by=ServedBy.MODEL,
            arm=Arm.TREATMENT,
            control_share=0.1,
            score=0.25,
            label=spec.task.negative,
            action=NO_ACTION,
            intended_action=NO_ACTION,
            features=verdicts,
            reasons=[],
            made_at=BEGAN + timedelta(milliseconds=number),
        )
        yield prediction_event(made)
        truth = OutcomeObserved(
            prediction_id=made.prediction_id, model=spec.name, value=spec.task.negative, observed_at=made.made_at
        )
        yield outcome_event(truth)


def _value(feature: Feature) -> float | str:
    return feature.kind.categories[0] if isinstance(feature.kind, Categorical) else 12.5
