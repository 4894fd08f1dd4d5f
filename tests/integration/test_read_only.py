"""A home on a file system that takes no writing, such as a backup that is mounted."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services import bootstrap
from services.core.events import prediction_event
from services.core.records import Batch
from services.settings import Settings
from tests.toy import prediction

BELLWETHER = Path(sys.executable).with_name("bellwether")
MOUNT = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && ! touch "$1/x" 2> /dev/null && shift && exec "$@"'
READS = ["status", "audit events", "availability churn --last 1d", "dead-letters list"]


def read_only(home: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """The command in a world of mounts of its own, in which nobody can write into `home`."""
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", MOUNT, "sh", str(home), *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(params=["stopped", "running", "running, without the journals' indexes"])
def backup(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a home with one answer, which was taken in these states."""
    if read_only(tmp_path, ["true"]).returncode:
        pytest.skip("needs the right to mount; run it as root")
    settings = Settings(home=tmp_path / "home")
    log, store = bootstrap.event_log(settings), bootstrap.record_store(settings)
    log.append(prediction_event(prediction(1, model="churn"))).result(10)
    store.commit(Batch([prediction(1, model="churn")], [], []), consumer="c", position=1)
    if request.param == "stopped":
        log.close()
        store.close()
    copied = tmp_path / "backup"
    shutil.copytree(settings.home, copied)
    if "without" in request.param:
        for path in copied.glob("*-shm"):
            path.unlink()
    log.close()
    store.close()
    return copied


def test_a_backup_that_takes_no_writing_is_read(backup: Path) -> None:
    said = {}
    for command in READS:
        ended = read_only(backup, [str(BELLWETHER), *command.split(), "--home", str(backup)])
        assert ended.returncode == 0, ended.stderr
        said[command] = ended.stdout
    assert "1 predictions" in said["status"]
    assert "appended                 1" in said["audit events"]


def test_who_would_write_into_it_is_told_so(backup: Path) -> None:
    ended = read_only(backup, [str(BELLWETHER), "consume", "--once", "--home", str(backup)])
    assert ended.returncode == 1
    assert "cannot be written (Read-only file system)" in ended.stderr
    assert "Traceback" not in ended.stderr
