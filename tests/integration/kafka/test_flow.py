"""From the local log through a real broker into the store, whatever ends in between."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from services import bootstrap
from services.adapters.event_log_kafka import KafkaCluster
from services.core.events import outcome_event, prediction_event
from services.core.outcomes import OutcomeObserved
from services.core.ports import EventLog, RecordStore
from services.ingest.audit import Account, audit
from services.settings import Settings
from tests.ports import free_port
from tests.servers.kafka import broker_in
from tests.toy import NOON, prediction
from tests.waiting import eventually

FORWARDER, CONSUMER = "services.entrypoints.forwarder", "services.entrypoints.consumer"


@pytest.fixture
def settings(cluster: KafkaCluster, tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path,
        event_log="kafka",
        kafka=cluster.servers,
        kafka_prefix=cluster.prefix,
        kafka_group=cluster.group,
        kafka_partitions=cluster.partitions,
        kafka_session_seconds=6.0,
        consumer_port=free_port(),
        forwarder_port=free_port(),
        poll_seconds=0.02,
    )


@pytest.fixture
def log(settings: Settings) -> Iterator[EventLog]:
    opened = bootstrap.event_log(settings)
    yield opened
    opened.close()


@pytest.fixture
def store(settings: Settings) -> Iterator[RecordStore]:
    opened = bootstrap.record_store(settings)
    yield opened
    opened.close()


@pytest.fixture
def start_with() -> Iterator[Callable[[Settings, str], subprocess.Popen[bytes]]]:
    """Start a process of the stack; all of them end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(settings: Settings, module: str) -> subprocess.Popen[bytes]:
        environment = os.environ | settings.as_environment()
        started.append(subprocess.Popen([sys.executable, "-m", module], env=environment, stderr=subprocess.DEVNULL))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait(10)


@pytest.fixture
def start(
    settings: Settings, start_with: Callable[[Settings, str], subprocess.Popen[bytes]]
) -> Callable[[str], subprocess.Popen[bytes]]:
    return lambda module: start_with(settings, module)


def append(log: EventLog, count: int, *, first: int = 0) -> None:
    futures = []
    for number in range(first, first + count):
        made = prediction(number)
        fact = OutcomeObserved(prediction_id=made.prediction_id, model="toy", value="left", observed_at=NOON)
        futures.append(log.append(prediction_event(made), outcome_event(fact)))
    for future in futures:
        future.result(30)


def account(settings: Settings, log: EventLog, store: RecordStore) -> Account:
    with closing(bootstrap.passage(settings, store)) as passage:
        return audit(log, store, passed=passage.passed(patience=30.0))


def test_what_was_appended_comes_through_the_broker_into_the_store_once(
    settings: Settings, log: EventLog, store: RecordStore, start: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    append(log, 500)
    forwarder, consumer = start(FORWARDER), start(CONSUMER)

    eventually(lambda: store.counts().outcomes == 500, what="so many are stored", seconds=60)

    found = account(settings, log, store)
    assert (found.appended, found.stored, found.in_flight, found.unaccounted) == (1000, 1000, 0, 0)
    assert found.duplicates_stored == 0
    for process in (forwarder, consumer):
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_processes_killed_again_and_again_lose_nothing_and_store_nothing_twice(
    settings: Settings, log: EventLog, store: RecordStore, start: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    for kill in range(2):
        append(log, 300, first=kill * 300)
        forwarder, consumer = start(FORWARDER), start(CONSUMER)
        eventually(lambda kill=kill: store.counts().predictions > kill * 300, what="so many are stored", seconds=60)  # type: ignore[misc]  # bound at once
        for process in (forwarder, consumer):
            process.kill()
            process.wait(10)
    start(FORWARDER), start(CONSUMER)

    eventually(
        lambda: store.counts().predictions == 600 and store.counts().outcomes == 600,
        what="so many are stored",
        seconds=60,
    )

    found = account(settings, log, store)
    assert (found.appended, found.stored, found.in_flight, found.unaccounted) == (1200, 1200, 0, 0)
    assert found.duplicates_stored == 0


def test_an_event_that_was_not_forwarded_is_in_flight_and_one_that_the_topic_lost_is_unaccounted_for(
    settings: Settings, log: EventLog, store: RecordStore, start: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    append(log, 10)
    outbox = bootstrap.outbox(settings)
    sink = bootstrap.event_sink(settings)

    assert account_at_once(settings, log, store) == (20, 0)

    outbox.forward_to(sink.destination(), log.end())
    sink.close()
    outbox.close()

    assert account_at_once(settings, log, store) == (0, 20)


def account_at_once(settings: Settings, log: EventLog, store: RecordStore) -> tuple[int, int]:
    """What is in flight, and what is unaccounted for."""
    with closing(bootstrap.passage(settings, store)) as passage:
        found = audit(log, store, passed=passage.passed(patience=0))
    return found.in_flight, found.unaccounted


def test_a_broker_that_comes_late_gets_everything(
    settings: Settings, tmp_path: Path, start_with: Callable[[Settings, str], subprocess.Popen[bytes]]
) -> None:
    settings = replace(settings, kafka=f"127.0.0.1:{free_port()}")
    log, store = bootstrap.event_log(settings), bootstrap.record_store(settings)
    append(log, 20)
    processes = [start_with(settings, FORWARDER), start_with(settings, CONSUMER)]
    broker = broker_in(tmp_path, port=int(settings.kafka.partition(":")[2]))
    try:
        broker.start()
        eventually(lambda: store.counts().outcomes == 20, what="so many are stored", seconds=60)
        broker.stop(signal.SIGKILL)
        append(log, 20, first=20)
        broker.start()
        eventually(lambda: store.counts().outcomes == 40, what="so many are stored", seconds=60)
        assert account(settings, log, store).unaccounted == 0
        assert [process.poll() for process in processes] == [None, None]
    finally:
        broker.stop()
        log.close()
        store.close()
