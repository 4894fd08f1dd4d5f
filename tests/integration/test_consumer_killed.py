"""A real consumer process, ended without warning again and again while events keep coming."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from services import bootstrap
from services.core.events import outcome_event, prediction_event
from services.core.outcomes import OutcomeObserved
from services.core.ports import EventLog, RecordStore
from services.ingest.audit import audit
from services.ingest.local import partition_of
from services.settings import Settings
from tests.ports import free_port
from tests.toy import NOON, prediction
from tests.waiting import eventually

EVENTS = 5000
KILLS = 3


def start(settings: Settings) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "services.entrypoints.consumer"],
        env=os.environ | settings.as_environment(),
        stderr=subprocess.DEVNULL,
    )


def append_all(log: EventLog) -> None:
    futures = []
    for number in range(EVENTS // 2):
        made = prediction(number)
        fact = OutcomeObserved(prediction_id=made.prediction_id, model="toy", value="left", observed_at=NOON)
        futures += [log.append(outcome_event(fact)), log.append(prediction_event(made))]
        if number % 50 == 0:
            futures[-1].result(30)
    for future in futures:
        future.result(30)


def test_a_consumer_killed_in_the_middle_loses_nothing_and_stores_nothing_twice(tmp_path: Path) -> None:
    # Small batches: the kill finds the consumer between its steps rather than asleep.
    settings = Settings(home=tmp_path, consume_batch=20, poll_seconds=0.01, consumer_port=free_port())
    log, store = bootstrap.event_log(settings), bootstrap.record_store(settings)
    appending = threading.Thread(target=append_all, args=(log,))
    appending.start()
    for kill in range(KILLS):
        kill_once(settings, store, partition_of(log), above=kill * 300)
    appending.join()
    consumer = start(settings)
    eventually(lambda: store.position(partition_of(log)) == log.end() > 0, what="everything is stored", seconds=60)
    consumer.send_signal(signal.SIGTERM)

    assert consumer.wait(30) == 0
    account = audit(log, store)
    assert (account.appended, account.stored) == (EVENTS, EVENTS)
    assert (account.unaccounted, account.duplicates_stored, account.in_flight) == (0, 0, 0)
    log.close()
    store.close()


def kill_once(settings: Settings, store: RecordStore, partition: str, *, above: int) -> None:
    consumer = start(settings)
    eventually(lambda: store.position(partition) > above, what=f"more than {above} are stored", seconds=60)
    os.kill(consumer.pid, signal.SIGKILL)
    assert consumer.wait(10) == -signal.SIGKILL
