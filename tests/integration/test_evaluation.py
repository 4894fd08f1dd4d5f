"""The monitor on the real record store, and as the process that it is."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from monitoring.evaluation.drift import reference_of
from monitoring.evaluation.evaluate import evaluate
from services import bootstrap
from services.core.errors import PortTaken, SettingsError
from services.core.outcomes import OutcomeObserved
from services.core.ports import RecordStore
from services.core.records import Batch, EvaluationResult, Judged, ResultKind, ResultStatus
from services.settings import Settings
from tests.ports import free_port
from tests.toy import NOON, toy_spec
from tests.toy_traffic import toy_reference, toy_rows

DAY = timedelta(days=1)
SPEC = toy_spec()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStore]:
    store = bootstrap.record_store(Settings(home=tmp_path))
    yield store
    store.close()


def test_results_come_back_from_the_store_as_they_were_found(store: RecordStore) -> None:
    _record(store, toy_rows(2500, begin=NOON - 15 * DAY))
    results = _judge(store, days=0)
    assert {result.status for result in results} == {ResultStatus.OK}
    for result in results:
        assert store.results("toy", result.kind, limit=1) == [result]


def test_a_confirmation_survives_in_the_store(store: RecordStore) -> None:
    _record(store, toy_rows(1500, begin=NOON - 5 * DAY, every=DAY / 150, richer=1.0))
    confirmed = []
    for days in range(3):
        (drift,) = [result for result in _judge(store, days=days) if result.kind is ResultKind.DRIFT]
        confirmed.append(drift.body["confirmed"])
    # After two days there are 300 rows that the first find did not count.
    assert confirmed == [False, False, True]


def test_the_process_answers_at_once_and_stops_cleanly(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, monitor_port=free_port(), evaluate_seconds=0.1)
    process = _evaluator(settings)
    try:
        url = f"http://127.0.0.1:{settings.monitor_port}"
        _await_answer(url + "/livez", process)
        status = json.loads(_get(url + "/status"))
        assert status["models"]["churn"]["champion"] is None
        assert b"bellwether_evaluation_last_success_timestamp_seconds" in _get(url + "/metrics")
        assert b"churn" in _get(url + "/")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_one_round_judges_every_model_and_ends(tmp_path: Path) -> None:
    from monitoring.entrypoints.evaluator import run_evaluator

    settings = Settings(home=tmp_path)
    assert run_evaluator(settings, once=True) == 0
    store = bootstrap.record_store(settings)
    try:
        assert {kind: len(store.results("churn", kind, limit=5)) for kind in ResultKind} == dict.fromkeys(ResultKind, 1)
    finally:
        store.close()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    from monitoring.entrypoints.evaluator import run_evaluator

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"{port}.*--monitor-port"):
            run_evaluator(Settings(home=tmp_path, monitor_port=port))


@pytest.mark.parametrize(
    ("drift_alerts", "problem"),
    [("alertmangler", "expected monitor or alertmanager"), ("alertmanager", "set BELLWETHER_ALERT_TOKEN")],
)
def test_a_monitor_whose_drift_nobody_would_hand_over_does_not_start(
    tmp_path: Path, drift_alerts: str, problem: str
) -> None:
    from monitoring.entrypoints.evaluator import run_evaluator

    with pytest.raises(SettingsError, match=problem):
        run_evaluator(Settings(home=tmp_path, drift_alerts=drift_alerts), once=True)


def _record(store: RecordStore, rows: list[Judged]) -> None:
    outcomes = [
        (
            f"outcome-{row.prediction.prediction_id}",
            OutcomeObserved(
                prediction_id=row.prediction.prediction_id,
                model="toy",
                value=row.outcome or "",
                observed_at=row.observed_at or row.prediction.made_at,
            ),
        )
        for row in rows
    ]
    store.commit(Batch([row.prediction for row in rows], outcomes, []), consumer="test", position=len(rows))


def _judge(store: RecordStore, *, days: int) -> list[EvaluationResult]:
    now = NOON + days * DAY
    reference = reference_of(SPEC, "v1", toy_reference())
    results = evaluate(SPEC, store=store, champion="v1", reference=lambda _: reference, now=now, wall_now=now)
    store.save_results(results)
    return results


def _evaluator(settings: Settings) -> subprocess.Popen[bytes]:
    with (settings.home / "evaluator.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "monitoring.entrypoints.evaluator"],
            env=_environment(settings),
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _environment(settings: Settings) -> dict[str, str]:
    return os.environ | settings.as_environment()


def _await_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            _get(url)
        except OSError:
            assert not _ends(process, within=0.1), "the evaluator ended"
            continue
        return
    raise AssertionError(f"{url} did not answer")


def _ends(process: subprocess.Popen[bytes], *, within: float) -> bool:
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        return False
    return True


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - an address of this machine
        content: bytes = response.read()
        return content
