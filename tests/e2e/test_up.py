"""The whole loop as a user starts it, with a consumer and a serving worker killed on the way."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from monitoring.entrypoints.up.watchers import PROGRAMS
from services import bootstrap
from services.core.records import JobState
from services.settings import Settings
from tests.e2e.alert_path import STATIONS, watching
from tests.ports import stack_ports
from tests.servers.missing import skip_without
from tests.waiting import eventually

# The loop takes about a minute and a half on two cores.
pytestmark = pytest.mark.timeout(420)

TABLE = "ALERT_PATH_TABLE"
"""Names a file that gets the time of each station."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home").with_flags(**stack_ports())


@pytest.fixture
def run(settings: Settings, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`bellwether up --until promoted`, stopped at the end of the test whatever happens."""
    with (tmp_path / "out.txt").open("w") as out:
        process = subprocess.Popen(
            [*bellwether("up"), "--until", "promoted", "--summary", str(tmp_path / "summary.json")],
            env=os.environ | settings.as_environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        )
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def bellwether(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "monitoring.entrypoints.cli", *arguments]


def child(process: subprocess.Popen[str], module: str) -> psutil.Process:
    """The newest process below `process` that runs `module`."""
    found = [each for each in psutil.Process(process.pid).children(recursive=True) if module in each.cmdline()]
    return max(found, key=lambda each: each.create_time())


def predictions(settings: Settings) -> int:
    if not (settings.home / "records.sqlite").exists():
        return 0
    store = bootstrap.record_store(settings)
    try:
        return store.counts("churn").predictions
    finally:
        store.close()


def account(settings: Settings) -> dict[str, Any]:
    told = subprocess.run(
        [*bellwether("audit", "events"), "--home", str(settings.home), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def test_the_world_changes_and_the_loop_notices_retrains_and_recovers_though_processes_are_killed(
    run: subprocess.Popen[str], settings: Settings, tmp_path: Path
) -> None:
    eventually(lambda: predictions(settings) > 1000, what="a thousand predictions", seconds=150)
    child(run, "services.entrypoints.consumer").kill()
    eventually(lambda: predictions(settings) > 2000, what="a thousand more", seconds=60)
    child(run, "_bentoml_impl.worker.service").kill()

    assert run.wait(360) == 0, (tmp_path / "out.txt").read_text()[-4000:]

    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["drift_found_at"] > summary["world_changed_at"]
    assert "monthly_charges" in summary["drifted_features"]
    assert (summary["version_before"], summary["version_after"]) == ("v1", "v2")
    assert summary["auc"]["after_change"] < summary["auc"]["before"] - 0.1
    assert summary["auc"]["after_promotion"] > summary["auc"]["after_change"] + 0.1
    assert summary["failed_requests"] == 0
    assert summary["unaccounted_events"] == 0
    told = account(settings)
    assert told["appended"] == told["stored"] > 0
    assert (told["unaccounted"], told["duplicates_stored"], told["in_flight"]) == (0, 0, 0)
    assert promoted_jobs(settings) == 1


def test_drift_takes_the_way_of_an_alert_from_the_gauge_to_a_new_version(
    run: subprocess.Popen[str], settings: Settings, tmp_path: Path
) -> None:
    if missing := [name for name, programs in PROGRAMS.items() if not any(map(shutil.which, programs))]:
        skip_without(missing[0].capitalize(), f"found no {' and no '.join(missing)}")
    with watching(settings, "churn", tmp_path / "out.txt") as witness:
        assert run.wait(360) == 0, (tmp_path / "out.txt").read_text()[-4000:]
    if path := os.environ.get(TABLE):
        Path(path).write_text(witness.as_table() + "\n")

    assert set(witness.seen) == set(STATIONS), witness.as_table()
    assert sorted(STATIONS[:4], key=witness.seen.__getitem__) == list(STATIONS[:4]), witness.as_table()
    store = bootstrap.record_store(settings)
    (job,) = store.jobs("churn", limit=5)
    store.close()
    # Alertmanager's own: sixteen hexadecimal digits, and the moment at which Prometheus began to fire.
    assert re.fullmatch(r"[0-9a-f]{16}@20\d\d-.*", job.dedupe_key)
    assert job.evidence["features"] == ["monthly_charges"]


def promoted_jobs(settings: Settings) -> int:
    store = bootstrap.record_store(settings)
    try:
        return sum(job.state is JobState.PROMOTED for job in store.jobs("churn", limit=100))
    finally:
        store.close()
