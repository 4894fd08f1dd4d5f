"""`bellwether status` for people: those that are asked first, a line for each that nobody asked."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring.entrypoints.reports import status_lines, status_now
from services import bootstrap
from services.core.artifacts import WorkerReport
from services.core.clock import wall_clock
from services.core.outcomes import OutcomeObserved
from services.core.ports import RecordStore
from services.core.predictions import ServedBy
from services.core.records import CHAMPION, AliasChange, Batch, Job, JobState
from services.models.discovery import discover
from services.settings import Settings
from tests.toy import NOON, prediction

*IDLE, ASKED = discover()
"""The last in the alphabet is asked, so that its place in what is printed is not the alphabet's."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def store(settings: Settings) -> Iterator[RecordStore]:
    store = bootstrap.record_store(settings)
    yield store
    store.close()


@pytest.mark.usefixtures("store")
def test_a_store_without_records_has_a_line_per_model(settings: Settings) -> None:
    waits = "nobody has asked yet; no version is promoted, so the rule would answer"

    assert status_lines(settings) == [f"{model}: {waits}" for model in discover()]


def test_the_model_that_is_asked_comes_first_with_what_was_recorded(settings: Settings, store: RecordStore) -> None:
    made = [prediction(1, model=ASKED, served_by=ServedBy.RULE, version=""), prediction(2, model=ASKED)]
    store.commit(Batch(made, [], []), consumer="c", position=2)

    lines = status_lines(settings)

    assert lines[0] == f"{ASKED}: No version has been promoted yet; the rule answers."
    assert lines[1] == "  0 workers, 2 predictions (model 1, rule 1), 0 outcomes"
    assert [line.split(":")[0] for line in lines[2:]] == IDLE


def test_what_is_wrong_is_told(settings: Settings, store: RecordStore) -> None:
    astray = OutcomeObserved(prediction_id="elsewhere", model=ASKED, value="left", observed_at=NOON)
    store.commit(Batch([prediction(1, model=ASKED)], [("e1", astray)], []), consumer="c", position=2)
    store.move_alias(AliasChange(model=ASKED, alias=CHAMPION, version="v2", previous="v1", at=NOON, reason="better"))
    behind = WorkerReport(pid=1, model=ASKED, version="v1", at=wall_clock(), problem="v2 was refused: it is corrupt")
    bootstrap.fleet(settings).report(behind)

    lines = status_lines(settings)

    assert "  1 outcomes without a prediction" in lines
    assert "  worker 1 serves v1: v2 was refused: it is corrupt" in lines


def test_a_worker_that_hangs_is_told_and_is_not_counted(settings: Settings, store: RecordStore) -> None:
    store.commit(Batch([prediction(1, model=ASKED)], [], []), consumer="c", position=1)
    fleet, now = bootstrap.fleet(settings), wall_clock()
    fleet.report(WorkerReport(pid=os.getpid(), model=ASKED, version="v1", at=now))
    for model in (ASKED, IDLE[0]):
        fleet.report(WorkerReport(pid=1, model=model, version="v1", at=now - timedelta(seconds=61)))

    lines = status_lines(settings)

    assert lines[0] == "worker 1 has not shown for 61 s that it works: it hangs or was stopped"
    assert lines[2].startswith("  1 workers, ")
    assert list(status_now(settings)[ASKED]["silent_workers"]) == ["1"]


def test_for_machines_it_says_what_is_doubted_and_which_version_waits(settings: Settings, store: RecordStore) -> None:
    doubt = {"kind": "inverted", "since": NOON.isoformat(), "reason": "outcomes look inverted"}
    waiting = ended(store, JobState.AWAITS_APPROVAL, {"version": "v2"})
    ended(store, JobState.OUTCOMES_DOUBTED, {"doubts": [doubt]})

    told = status_now(settings)

    assert told[ASKED]["doubts"] == [doubt]
    assert told[ASKED]["awaiting_approval"]["id"] == waiting.id
    assert told[ASKED]["job"]["state"] == "outcomes_doubted"
    assert (told[IDLE[0]]["doubts"], told[IDLE[0]]["awaiting_approval"], told[IDLE[0]]["job"]) == ([], None, None)


def ended(store: RecordStore, state: JobState, evidence: dict[str, Any]) -> Job:
    job = store.open_job(
        model=ASKED, trigger="drift", dedupe_key=state.value, since=NOON, opened_at=NOON, note="opened"
    )
    assert job is not None
    return store.update_job(job.id, state=state, note="ended", evidence=evidence, closed_at=NOON)
