"""Commands that read leave everything as it is, read a copy that takes no writing, and name what is wrong."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import alembic.command
import pytest
from click.testing import CliRunner

from monitoring.entrypoints.cli import main
from services import bootstrap
from services.core.events import prediction_event
from services.core.ports import RecordStore
from services.core.records import Batch, DeadLetter
from services.settings import Settings
from tests.migrating import migrated
from tests.toy import NOON, prediction

READS = ["status", "status --json", "audit events", "availability churn --last 1d", "dead-letters list"]
ESCAPE = "\x1b]0;owned\x07"


def run(command: str, home: Path, *more: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, [*command.split(), "--home", str(home), *more])
    assert not isinstance(result.exception, Exception), result.exception
    return result.exit_code, result.output


def recorded(home: Path) -> Settings:
    """A home with one answer of churn, which consumers have stored, and a dead letter."""
    settings = Settings(home=home)
    log, store = bootstrap.event_log(settings), bootstrap.record_store(settings)
    made = prediction(1, model="churn")
    log.append(prediction_event(made)).result(10)
    source = bootstrap.event_source(settings, store)
    letter = DeadLetter(
        event_id="e", reason="undecodable", detail="no JSON", origin="o", type="t", key="k", data=b"", at=NOON
    )
    (portion,) = source.read(limit=10)
    store.commit(Batch([made], [], [letter]), consumer=portion.partition, position=1)
    source.close()
    log.close()
    store.close()
    return settings


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return recorded(tmp_path / "home").home


def seen(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [directory, *directory.rglob("*")]
    }


@pytest.mark.parametrize("command", READS)
def test_a_home_is_left_exactly_as_it_was(command: str, home: Path) -> None:
    before = seen(home)

    code, said = run(command, home)

    assert code == 0, said
    assert seen(home) == before


@pytest.fixture
def live(home: Path) -> Iterator[RecordStore]:
    """Somebody has log and store open, with what was written last in their journals."""
    settings = Settings(home=home)
    log, store = bootstrap.event_log(settings), bootstrap.record_store(settings)
    log.append(prediction_event(prediction(2, model="churn"))).result(10)
    store.commit(Batch([prediction(2, model="churn")], [], []), consumer="another", position=1)
    yield store
    log.close()
    store.close()


@pytest.mark.parametrize("command", READS)
@pytest.mark.usefixtures("live")
def test_a_running_home_is_read_with_what_was_written_last(command: str, home: Path) -> None:
    before = set(seen(home))

    code, said = run(command, home)

    assert code == 0, said
    assert set(seen(home)) == before
    if command == "status":
        assert "2 predictions" in said
    if command == "audit events":
        assert "appended                 2" in said


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize("command", READS)
@pytest.mark.usefixtures("live")
def test_a_copy_of_a_running_home_is_read_where_it_lies_and_where_it_takes_no_writing(
    command: str, with_index: bool, home: Path, tmp_path: Path
) -> None:
    """With and without the index of its journal, which not every backup takes along."""
    backup = tmp_path / "backup"
    shutil.copytree(home, backup)
    if not with_index:
        for path in backup.glob("*-shm"):
            path.unlink()
    before = seen(backup)

    code, said = run(command, backup)

    assert code == 0, said
    assert set(seen(backup)) == set(before)
    if command == "status":
        assert "2 predictions" in said


def test_reading_makes_no_home_of_another_directory(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    before = seen(tmp_path)
    for command in READS:
        code, said = run(command, tmp_path)
        assert code == 1
        assert "does not exist" in said
        assert "Traceback" not in said
    assert seen(tmp_path) == before


def to_schema(home: Path, revision: str) -> None:
    with sqlite3.connect(home / "records.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()


@pytest.mark.parametrize("command", [*READS, "consume --once", "lifecycle --once", "prune", "dead-letters retry"])
def test_a_store_of_a_newer_version_is_named_with_the_remedy(command: str, home: Path) -> None:
    to_schema(home, "9999")
    before = (home / "records.sqlite").read_bytes()

    code, said = run(command, home)

    assert code == 1
    assert "has schema 9999, and this version knows those up to 0010" in said
    assert "run that version, or restore a copy from before" in said
    assert (home / "records.sqlite").read_bytes() == before


@pytest.mark.parametrize("command", READS)
def test_a_store_of_an_earlier_version_is_read_and_stays_one(command: str, home: Path) -> None:
    migrated(f"sqlite:///{home / 'records.sqlite'}", alembic.command.downgrade, "0007")
    before = seen(home)

    code, said = run(command, home)

    assert code == 0, said
    assert seen(home) == before


def no_database(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [no_database, damaged])
@pytest.mark.parametrize("command", ["status", "dead-letters list", "consume --once", "evaluate --once"])
def test_a_damaged_store_is_told_with_a_remedy_that_works(
    harm: Callable[[Path], None], command: str, home: Path
) -> None:
    harm(home / "records.sqlite")

    code, said = run(command, home)

    assert code == 1
    assert "the file is damaged" in said
    assert "`bellwether consume` then stores anew what the log still has" in said
    (home / "records.sqlite").rename(home / "records.damaged")
    assert run("consume --once", home)[0] == 0
    assert "1 predictions" in run("status", home)[1]


def test_a_store_that_is_none_of_ours_is_told(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    before = other.read_bytes()

    code, said = run("status", home, "--store", f"sqlite:///{other}")

    assert code == 1
    assert "has no tables of Bellwether" in said
    assert other.read_bytes() == before


def test_what_callers_sent_is_escaped_before_a_terminal_gets_it(home: Path) -> None:
    """As it was recorded before the store took marks for such characters."""
    with sqlite3.connect(home / "records.sqlite") as connection:
        connection.execute("UPDATE dead_letters SET detail = ?", (f"{ESCAPE}\nforged",))
    connection.close()

    _, said = run("dead-letters list", home)

    assert "\x1b" not in said
    assert "\x07" not in said
    assert r"\x1b]0;owned\x07\nforged" in said


def test_a_clock_that_the_processes_have_is_not_made_by_who_reads(home: Path) -> None:
    before = seen(home)

    code, said = run("status", home, "--clock-file", str(home / "elsewhere"))

    assert code == 1
    assert "clock file" in said
    assert seen(home) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; tests/integration/test_read_only.py mounts")
@pytest.mark.parametrize("command", READS)
def test_a_home_without_the_right_to_write_is_read(command: str, home: Path) -> None:
    home.chmod(0o500)
    try:
        assert run(command, home)[0] == 0
    finally:
        home.chmod(0o700)
