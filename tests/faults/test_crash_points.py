"""A consumer that dies between any two of its steps stores nothing twice and leaves nothing out."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from services import bootstrap
from services.core.events import outcome_event, prediction_event
from services.core.outcomes import OutcomeObserved
from services.ingest.audit import Account, audit
from services.ingest.forward import forward_once
from services.settings import KAFKA, LOCAL, Settings
from tests.contract.poison import REFUSES, labelled, opened
from tests.faults.crashing_consumer import KILLED, STEPS
from tests.integration.serving_process import ROOT
from tests.ports import free_port
from tests.servers.kafka import Broker
from tests.toy import NOON, prediction
from tests.waiting import eventually

EVENTS = 40
BATCH = 5
CASES = [(LOCAL, step) for step in STEPS] + [(KAFKA, step) for step in ("before commit", "commit")]
"""Over Kafka a successor waits for the dead one's session to end, so only the steps around the commit are tried."""


@pytest.fixture
def settings(way: str, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path, consume_batch=BATCH, consumer_port=free_port(), poll_seconds=0.02)
    if way == KAFKA:
        broker: Broker = request.getfixturevalue("broker")
        name = f"crash-{tmp_path.name}"
        settings = settings.with_flags(
            event_log=KAFKA, kafka=broker.servers, kafka_prefix=name, kafka_group=name, kafka_session_seconds=6.0
        )
    append_events(settings)
    if way == KAFKA:
        with closing(bootstrap.outbox(settings)) as outbox, closing(bootstrap.event_sink(settings)) as sink:
            assert forward_once(outbox, sink, limit=len(CASES) * EVENTS) > 0
    return settings


@pytest.mark.parametrize(("way", "step"), CASES)
def test_a_consumer_that_dies_at_a_step_loses_nothing_and_stores_nothing_twice(settings: Settings, step: str) -> None:
    for times in ("1", "2"):
        with process("tests.faults.crashing_consumer", settings, step, times) as dying:
            assert dying.wait(60) == KILLED
    with process("services.entrypoints.consumer", settings) as consumer:
        eventually(lambda: account_of(settings).in_flight == 0, what="everything is stored", seconds=60)
        consumer.terminate()
        assert consumer.wait(30) == 0
    account = account_of(settings)
    assert (account.appended, account.stored) == (2 * EVENTS, 2 * EVENTS)
    assert (account.duplicates_stored, account.dead_lettered) == (0, 0)


PARTS = [("before commit", 3), ("commit", 2), ("bury", 2), ("commit", 3)]
"""Of a batch that is taken apart: before and behind a part, behind telling what was refused, and behind the last."""


def test_a_consumer_that_dies_between_the_parts_of_a_refused_batch_loses_nothing_and_stores_nothing_twice(
    tmp_path: Path,
) -> None:
    settings = Settings(home=tmp_path, consume_batch=BATCH, consumer_port=free_port(), poll_seconds=0.02)
    with opened(settings.store_url, "sqlite") as store:
        store.poison(REFUSES)
    append_events(settings, poison=1)
    for step, times in PARTS:
        with process("tests.faults.crashing_consumer", settings, step, str(times)) as dying:
            assert dying.wait(60) == KILLED
    with process("services.entrypoints.consumer", settings) as consumer:
        eventually(lambda: account_of(settings).in_flight == 0, what="everything is stored", seconds=60)
        consumer.terminate()
        assert consumer.wait(30) == 0
    account = account_of(settings)
    assert (account.appended, account.stored, account.dead_lettered) == (2 * EVENTS, 2 * EVENTS - 1, 1)
    assert account.duplicates_stored == 0


def append_events(settings: Settings, *, poison: int | None = None) -> None:
    """Predictions with their outcomes; the one of number `poison` has a label that a trigger can be against."""
    with closing(bootstrap.event_log(settings)) as log:
        for number in range(EVENTS):
            made = labelled(number) if number == poison else prediction(number)
            truth = OutcomeObserved(prediction_id=made.prediction_id, model="toy", value="left", observed_at=NOON)
            log.append(prediction_event(made), outcome_event(truth)).result(10)


@contextmanager
def process(module: str, settings: Settings, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | settings.as_environment()
    started = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT, env=environment)
    try:
        yield started
    finally:
        started.kill()
        started.wait(10)


def account_of(settings: Settings) -> Account:
    """The store alone: whatever is not in it yet is in flight."""
    with closing(bootstrap.event_log(settings)) as log, closing(bootstrap.record_store(settings)) as store:
        return audit(log, store, passed=0)
