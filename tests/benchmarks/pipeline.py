"""From the answer to the store, stage by stage: append, forward, consume and store, on each engine that is here."""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, Final

from services import bootstrap
from services.models.discovery import spec_of
from services.settings import KAFKA, LOCAL, Settings
from tests.benchmarks.machine import described
from tests.benchmarks.stream import append_all, consume_all, forward_all, sample_events
from tests.servers.kafka import running_broker
from tests.servers.postgresql import new_database, running_postgresql
from tests.servers.process import Unavailable

MODEL: Final = "churn"
Say = Callable[[str], None]
Row = dict[str, Any]


def run(*, events: int, say: Say) -> dict[str, Any]:
    """`rows` has one entry per stage; `left_out` says which components this machine could not provide."""
    left_out: list[str] = []
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bellwether-bench-")))
        broker = component(stack, "Kafka", running_broker, left_out)
        database = component(stack, "PostgreSQL", running_postgresql, left_out)
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


def component(
    stack: ExitStack, name: str, running: Callable[[], AbstractContextManager[Any]], left_out: list[str]
) -> Any:
    """What this machine can provide of it; None, and its name among those that are left out, otherwise."""
    try:
        return stack.enter_context(running())
    except Unavailable:
        left_out.append(name)
        return None


def _file(home: Path) -> str:
    return f"sqlite:///{home / f'records-{time.time_ns()}.sqlite'}"


def _stages(settings: Settings, stores: dict[str, Callable[[], str]], events: int, say: Say) -> Iterator[Row]:
    made = list(itertools.islice(sample_events(spec_of(MODEL)), events))
    with closing(bootstrap.event_log(settings)) as log:
        yield _measured("append to the local log, synced to disk", events, partial(append_all, log, made), say)
    ways = [LOCAL]
    if settings.event_log == KAFKA:
        yield _measured("forward to Kafka, acknowledged", events, partial(forward_all, settings), say)
        ways.append(KAFKA)
    for way, (engine, new_store) in itertools.product(ways, stores.items()):
        own = settings.with_flags(event_log=way, store=new_store())
        stage = f"consume from {'Kafka' if way == KAFKA else 'the local log'} and store in {engine}"
        yield _measured(stage, events, partial(consume_all, own, events), say)


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
