"""What grows: consumers beside each other, bytes on disk, and the cost of a judgement by the rows in its window."""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import psutil
import psycopg

from services import bootstrap
from services.adapters.record_store import RecordStoreSql
from services.core.events import LoggedEvent
from services.core.ports import RecordStore
from services.ingest.apply import apply
from services.models.discovery import spec_of
from services.settings import KAFKA, LOCAL, Settings
from tests.benchmarks.machine import described
from tests.benchmarks.pipeline import MODEL, Row, Say
from tests.benchmarks.stream import BEGAN, EVERY, append_all, consume_all, forward_all, sample_events
from tests.ports import free_port
from tests.servers.kafka import Broker, running_broker
from tests.servers.postgresql import new_database, running_postgresql
from tests.servers.process import ServerProcess

PARTITIONS: Final = 6
CONSUMERS: Final = (1, 2, 3)
FROM_SHARE, TO_SHARE = 0.25, 0.95
"""Of the events: the rate is taken in between, when every consumer has its partitions and none has run out."""
LOOK_SECONDS: Final = 0.1
SAMPLE: Final = 10_000
"""Rows that one judgement reads at most."""
PORTION: Final = 1000
PORTIONS: Final = 50
"""Of predictions that are pruned, and how many of them."""
AT_ONCE: Final = 2000
LONGEST_SECONDS: Final = 300.0

Found = TypeVar("Found")
Process = subprocess.Popen[bytes] | ServerProcess
Groups = dict[str, Sequence[Process]]


def run(*, events: int, rows: int, say: Say) -> dict[str, Any]:
    """`consumers`, `bytes` and `judgements` have a row each per engine or number. Raises `Unavailable`."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bellwether-bench-")))
        broker = stack.enter_context(running_broker())
        database = stack.enter_context(running_postgresql())
        settings = Settings(home=home, event_log=KAFKA, kafka=broker.servers, kafka_partitions=PARTITIONS)
        made = list(itertools.islice(sample_events(spec_of(MODEL)), events))
        with closing(bootstrap.event_log(settings)) as log:
            append_all(log, made)
        forward_all(settings)
        say(f"{events:,} events are in the local log and in Kafka")
        servers: dict[str, ServerProcess] = {"database": database, "broker": broker}
        consumers = [_consumers(number, settings, servers, events=events, say=say) for number in CONSUMERS]
        sizes = [*_log_sizes(settings, broker, events), *_store_sizes(settings, database, events)]
        judgements = [
            _judgement(engine, new_store(), size, say)
            for engine, new_store in _engines(home, database).items()
            for size in (rows // 10, rows)
        ]
    return {
        "machine": described(),
        "events": events,
        "consumers": consumers,
        "bytes": sizes,
        "judgements": judgements,
    }


def _engines(home: Path, database: ServerProcess) -> dict[str, Callable[[], str]]:
    """How each engine gives a store that nobody has used."""
    return {
        "SQLite": lambda: f"sqlite:///{home / f'records-{time.time_ns()}.sqlite'}",
        "PostgreSQL": lambda: new_database(database),
    }


def table(result: dict[str, Any]) -> str:
    consumers = [
        f"| {row['consumers']} | {row['per_second']:,.0f} | {row['consumer_cpu_us']:.0f} | "
        f"{row['database_cpu_us']:.0f} | {row['broker_cpu_us']:.0f} | {row['cores_busy']:.1f} |"
        for row in result["consumers"]
    ]
    sizes = [f"| {row['what']} | {row['bytes']:,.0f} |" for row in result["bytes"]]
    judgements = [
        f"| {row['engine']} | {row['rows']:,} | {row['sample_seconds']:.2f} | {row['counts_seconds']:.2f} | "
        f"{row['pruned_per_second']:,.0f} |"
        for row in result["judgements"]
    ]
    return "\n".join(
        [
            "| consumers | events/s in all | their CPU µs an event | the database's | the broker's | cores busy |",
            "| --- | --- | --- | --- | --- | --- |",
            *consumers,
            "",
            "| on disk | bytes |",
            "| --- | --- |",
            *sizes,
            "",
            f"| store | predictions in the window | s to sample {SAMPLE:,} | s to tell all totals | pruned a second |",
            "| --- | --- | --- | --- | --- |",
            *judgements,
        ]
    )


def _consumers(number: int, settings: Settings, servers: dict[str, ServerProcess], *, events: int, say: Say) -> Row:
    """So many real consumers, in a group of their own, into a store of their own."""
    own = settings.with_flags(store=new_database(servers["database"]), kafka_group=f"bench-{number}")
    bootstrap.record_store(own).close()
    with psycopg.connect(_plain(own.store), autocommit=True) as store, _running(number, own) as processes:
        _await_stored(store, FROM_SHARE * events)
        groups: Groups = {"consumer": processes} | {name: [server] for name, server in servers.items()}
        before, began, first = _cpu_of(groups), time.perf_counter(), _stored(store)
        _await_stored(store, TO_SHARE * events)
        wall, done = time.perf_counter() - began, _stored(store) - first
        spent = {name: seconds - before[name] for name, seconds in _cpu_of(groups).items()}
    row = {
        "consumers": number,
        "per_second": round(done / wall, 1),
        **{f"{name}_cpu_us": round(seconds / done * 1e6, 1) for name, seconds in spent.items()},
        "cores_busy": round(sum(spent.values()) / wall, 2),
    }
    say(f"{number} consumers: {row['per_second']:,.0f}/s, {row['cores_busy']:.1f} cores busy")
    return row


@contextmanager
def _running(number: int, settings: Settings) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "services.entrypoints.consumer"],
            env=os.environ | settings.with_flags(consumer_port=free_port()).as_environment(),
            stderr=subprocess.DEVNULL,
        )
        for _ in range(number)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


def _cpu_of(groups: Groups) -> dict[str, float]:
    """Seconds that the processes of each group and their children have spent; all of them outlive the measurement."""
    return {name: sum(_cpu_seconds(process) for process in processes) for name, processes in groups.items()}


def _cpu_seconds(process: Process) -> float:
    running = process.process if isinstance(process, ServerProcess) else process
    assert running is not None
    first = psutil.Process(running.pid)
    times = [each.cpu_times() for each in (first, *first.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def _stored(connection: psycopg.Connection) -> int:
    """From the consumers' positions: of each partition, the offset behind the last record whose rows are committed."""
    row = connection.execute("SELECT coalesce(sum(position), 0) FROM positions").fetchone()
    return int(row[0]) if row else 0


def _await_stored(connection: psycopg.Connection, events: float) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while _stored(connection) < events:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{_stored(connection)} of {events:.0f} events within {LONGEST_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)


def _log_sizes(settings: Settings, broker: Broker, events: int) -> Iterator[Row]:
    yield {"what": "local log, an event", "bytes": round(_bytes(settings.home.glob("events.sqlite*")) / events)}
    topics = (path for topic in broker.files.glob(f"{settings.kafka_prefix}.*") for path in topic.glob("*.log"))
    yield {"what": "Kafka, an event and replica", "bytes": round(_bytes(topics) / events)}


def _store_sizes(settings: Settings, database: ServerProcess, events: int) -> Iterator[Row]:
    """Half of the events are predictions and half their outcomes, so a pair is two events."""
    pairs, file = events / 2, settings.home / "sizes.sqlite"
    consume_all(settings.with_flags(event_log=LOCAL, store=f"sqlite:///{file}"), events)
    yield {"what": "SQLite, a prediction with its outcome", "bytes": round(_bytes([file]) / pairs)}
    url = new_database(database)
    consume_all(settings.with_flags(event_log=LOCAL, store=url), events)
    with psycopg.connect(_plain(url)) as connection:
        for what, tables in (("a prediction", ["predictions"]), ("its outcome", ["outcomes", "current_outcomes"])):
            query = "SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest(%s::text[]) AS name"
            row = connection.execute(query, [tables]).fetchone()
            yield {"what": f"PostgreSQL, {what}", "bytes": round(int(row[0]) / pairs) if row else 0}


def _judgement(engine: str, url: str, rows: int, say: Say) -> Row:
    """Of a store that holds so many predictions and nothing else."""
    with closing(RecordStoreSql(url)) as store:
        store.migrate()
        _fill(store, rows)
        end = BEGAN + rows * EVERY
        found, seconds = _timed(lambda: store.judged(MODEL, made_from=BEGAN, made_until=end, limit=SAMPLE))
        if len(found) != SAMPLE:
            raise RuntimeError(f"a sample of {len(found)}, expected {SAMPLE}")
        _, counting = _timed(lambda: store.counts(MODEL))
        pruned, pruning = _timed(lambda: sum(_pruned(store, end) for _ in range(PORTIONS)))
    say(f"{engine}, {rows:,} predictions: a judgement reads {seconds:.2f} s, a count {counting:.2f} s")
    return {
        "engine": engine,
        "rows": rows,
        "sample_seconds": round(seconds, 3),
        "counts_seconds": round(counting, 3),
        "pruned_per_second": round(pruned / pruning),
    }


def _fill(store: RecordStore, rows: int) -> None:
    predictions = itertools.islice(sample_events(spec_of(MODEL)), 0, 2 * rows, 2)
    position = 0
    while some := list(itertools.islice(predictions, AT_ONCE)):
        batch = apply([LoggedEvent(position + at, event) for at, event in enumerate(some)], origin="bench", now=BEGAN)
        position += len(some)
        store.commit(batch, consumer="bench", position=position)


def _pruned(store: RecordStore, before: datetime) -> int:
    return store.prune(MODEL, before=before, as_of=before, limit=PORTION).predictions


def _timed(work: Callable[[], Found]) -> tuple[Found, float]:
    began = time.perf_counter()
    found = work()
    return found, time.perf_counter() - began


def _bytes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def _plain(url: str) -> str:
    """The URL as psycopg takes it."""
    return url.replace("+psycopg", "", 1)
