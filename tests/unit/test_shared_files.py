"""What processes of one machine tell each other through files."""

import os
import struct
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.adapters.clock_file import ClockFile
from services.adapters.fleet_files import FleetFiles
from services.core.artifacts import SILENT_AFTER, WorkerReport
from services.core.errors import CorruptArtifact, SettingsError
from tests.toy import NOON


@pytest.fixture
def fleet(tmp_path: Path) -> FleetFiles:
    return FleetFiles(tmp_path / "aliases", tmp_path / "workers", now=lambda: NOON)


def report(**changes: Any) -> WorkerReport:
    sound = WorkerReport(pid=os.getpid(), model="toy", version="v1", at=NOON)
    return msgspec.structs.replace(sound, **changes)


def test_aliases_are_empty_before_the_first_time_and_then_the_last_published(fleet: FleetFiles) -> None:
    assert fleet.published("toy") == {}
    fleet.publish("toy", {"champion": "v1"})
    fleet.publish("toy", {"champion": "v2"})
    assert fleet.published("toy") == {"champion": "v2"}
    assert fleet.published("churn") == {}


def test_the_hashes_of_manifests_are_published_beside_the_aliases_and_are_none(fleet: FleetFiles) -> None:
    assert fleet.manifests("toy") == {}
    fleet.publish("toy", {"champion": "v2"}, manifests={"v2": "ab12"})
    assert (fleet.published("toy"), fleet.manifests("toy")) == ({"champion": "v2"}, {"v2": "ab12"})
    fleet.publish("toy", {"champion": "v1"})
    assert (fleet.published("toy"), fleet.manifests("toy")) == ({"champion": "v1"}, {})


def test_a_reader_removes_no_report_of_a_worker_that_has_ended(fleet: FleetFiles, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    fleet.report(report(pid=ended.pid))
    before = sorted(tmp_path.rglob("*"))
    reader = FleetFiles(tmp_path / "aliases", tmp_path / "workers", now=lambda: NOON, read_only=True)

    assert reader.workers("toy") == []
    assert sorted(tmp_path.rglob("*")) == before
    assert fleet.workers("toy") == []
    assert sorted(tmp_path.rglob("*")) != before


@pytest.mark.parametrize("content", ["v2", '{"champion":' + "[" * 100_000])
def test_an_alias_file_that_somebody_spoilt_by_hand_names_itself(
    content: str, fleet: FleetFiles, tmp_path: Path
) -> None:
    fleet.publish("toy", {"champion": "v1"})
    (tmp_path / "aliases" / "toy.json").write_text(content)
    with pytest.raises(CorruptArtifact, match=r"toy\.json.*bellwether promote toy VERSION"):
        fleet.published("toy")


def test_the_newest_report_of_each_worker_counts(fleet: FleetFiles) -> None:
    fleet.report(report())
    fleet.report(report(version="v2"))
    fleet.report(report(model="toy_two"))
    assert fleet.workers("toy") == [report(version="v2")]


def test_a_worker_writes_one_file_of_all_its_models_when_it_has_news_and_as_a_heartbeat(tmp_path: Path) -> None:
    """Fifty models look twice a second each."""
    fleet, written = FleetFiles(tmp_path / "aliases", tmp_path / "workers", now=lambda: NOON), list[int]()
    for half_second in range(40):
        for model in range(50):
            # Of a process that is older than all of this, as a worker is older than what it reports.
            at = NOON + half_second * timedelta(seconds=0.5)
            fleet.report(report(model=f"model_{model}", at=at, pid=1))
            (file,) = (tmp_path / "workers").iterdir()
            written.append(file.stat().st_mtime_ns)

    assert len(set(written[:50])) <= 50
    assert len(set(written[50:])) <= 4 + 1  # in twenty seconds
    assert [each.version for each in fleet.workers("model_49")] == ["v1"]


def test_what_is_new_is_written_at_once(tmp_path: Path) -> None:
    worker, reader = (FleetFiles(tmp_path / "aliases", tmp_path / "workers", now=lambda: NOON) for _ in range(2))
    for changes in ({}, {"problem": "v2 was refused"}, {"version": "v2"}, {"version": ""}, {"version": "v2"}):
        worker.report(report(**changes))
        assert reader.workers("toy") == [report(**changes)]


def test_a_model_whose_watch_stands_still_is_not_kept_alive_by_the_others(tmp_path: Path) -> None:
    moment = [NOON]
    fleet = FleetFiles(tmp_path / "aliases", tmp_path / "workers", now=lambda: moment[0])
    fleet.report(report(model="stuck"))
    for seconds in range(40):
        moment[0] = NOON + timedelta(seconds=seconds)
        fleet.report(report(at=moment[0]))
    assert len(fleet.workers("toy")) == 1
    assert fleet.workers("stuck") == []


def test_a_worker_of_an_earlier_version_is_understood_and_forgotten_when_it_has_ended(tmp_path: Path) -> None:
    """It writes a file for each model."""
    moment, workers = [NOON], tmp_path / "workers"
    fleet = FleetFiles(tmp_path / "aliases", workers, now=lambda: moment[0], host="b")
    workers.mkdir()
    for model in ("toy", "other"):
        (workers / f"{model}-7@a.json").write_bytes(msgspec.json.encode(report(model=model, pid=7)))
    (workers / "notes@home.json").write_text("of somebody")
    fleet.report(report())

    assert [each.pid for each in fleet.workers("toy")] == sorted([7, os.getpid()])
    assert [each.pid for each in fleet.workers("other")] == [7]
    moment[0] = NOON + timedelta(minutes=1)
    assert fleet.workers("toy") == []
    assert not list(workers.glob("*-7@a.json"))
    assert (workers / "notes@home.json").exists()


def test_a_worker_in_another_container_is_alive_while_it_reports(tmp_path: Path) -> None:
    moment = [NOON]
    here, there = (
        FleetFiles(tmp_path / "aliases", tmp_path / "workers", now=lambda: moment[0], host=host) for host in "ab"
    )
    # No process of this machine has this id; in the other container it may well be one.
    there.report(report(pid=2**22 + 1))

    assert here.workers("toy") == [report(pid=2**22 + 1)]
    moment[0] = NOON + timedelta(minutes=1)
    assert here.workers("toy") == []


def test_a_worker_that_is_there_and_says_nothing_is_silent_and_not_forgotten(fleet: FleetFiles) -> None:
    # Process 1 has been there for long.
    hangs = report(pid=1, at=NOON - SILENT_AFTER)
    fleet.report(hangs)
    fleet.report(report())
    assert (fleet.workers("toy"), fleet.silent("toy")) == ([report()], [hangs])
    fleet.report(report(pid=1))
    assert (len(fleet.workers("toy")), fleet.silent("toy")) == (2, [])


def test_workers_that_ended_are_forgotten(fleet: FleetFiles, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    fleet.report(report(pid=ended.pid))
    assert fleet.workers("toy") == []
    assert list((tmp_path / "workers").iterdir()) == []


def test_a_process_that_has_got_the_id_of_an_earlier_worker_is_not_that_worker(fleet: FleetFiles) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as later:
        fleet.report(report(pid=later.pid, at=NOON - timedelta(seconds=20)))
        assert fleet.workers("toy") == []


def test_a_worker_that_was_killed_is_gone_before_its_parent_has_looked(fleet: FleetFiles) -> None:
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    fleet.report(report(pid=killed.pid))
    assert len(fleet.workers("toy")) == 1

    killed.kill()
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie still
    assert fleet.workers("toy") == []
    killed.communicate()


def test_an_old_report_is_not_of_the_process_that_has_its_id_now(fleet: FleetFiles) -> None:
    fleet.report(report(at=NOON - timedelta(minutes=1)))
    assert fleet.workers("toy") == []


def test_a_clock_is_seen_by_whoever_opens_its_file(tmp_path: Path) -> None:
    driver = ClockFile(tmp_path / "clock", start=NOON)
    reader = ClockFile(tmp_path / "clock")
    assert reader.now() == NOON
    driver.set(NOON + timedelta(hours=1))
    assert reader.now() == NOON + timedelta(hours=1)


def test_time_does_not_go_backwards(tmp_path: Path) -> None:
    clock = ClockFile(tmp_path / "clock", start=NOON)
    clock.set(NOON - timedelta(seconds=1))
    assert clock.now() == NOON


@pytest.mark.parametrize(
    "content",
    [
        *(struct.pack("<d", seconds) for seconds in (float("nan"), float("inf"), -float("inf"), 1e300, -1e15)),
        b"",
        b"abc",
    ],
)
def test_a_clock_whose_file_is_broken_stands_still_until_it_is_mended(tmp_path: Path, content: bytes) -> None:
    driver = ClockFile(tmp_path / "clock", start=NOON)
    reader = ClockFile(tmp_path / "clock")
    driver.set(NOON + timedelta(hours=1))
    assert reader.now() == NOON + timedelta(hours=1)

    (tmp_path / "clock").write_bytes(content)
    assert driver.now() == reader.now() == NOON + timedelta(hours=1)
    driver.set(NOON + timedelta(hours=2))

    assert driver.now() == reader.now() == NOON + timedelta(hours=2)


def test_a_broken_clock_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = ClockFile(tmp_path / "clock", start=NOON)
    (tmp_path / "clock").write_bytes(struct.pack("<d", float("nan")))

    for _ in range(3):
        clock.now()

    (said,) = caplog.messages
    assert said.endswith(f"time stands still at {NOON}")


def test_a_file_that_holds_no_time_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "clock").write_bytes(struct.pack("<d", float("nan")))
    with pytest.raises(SettingsError, match=r"holds no time: .*; remove it or name another"):
        ClockFile(tmp_path / "clock")


def test_a_report_from_ahead_of_the_clock_is_of_nobody_who_lives(fleet: FleetFiles) -> None:
    fleet.report(report(at=NOON + timedelta(days=500)))
    assert fleet.workers("toy") == []


def test_a_file_that_is_no_clock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clock").write_text("noon")
    with pytest.raises(SettingsError, match="4 bytes, expected 8"):
        ClockFile(tmp_path / "clock")
