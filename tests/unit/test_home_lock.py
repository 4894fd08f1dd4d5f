"""A home has one owner, and its files stay where they are while anybody works in it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.adapters.home_lock import OWNER, USERS, own, use, use_alone, use_homes_of
from services.core.errors import AlreadyRunning, SettingsError

HOLDS = """
import sys, time
from pathlib import Path
from services.adapters.home_lock import own, use
home, kind = Path(sys.argv[1]), sys.argv[2]
lock = own(home, command="other") if kind == "own" else use(home, command="other")
with lock:
    print("held", flush=True)
    time.sleep(60)
"""
PASSES_ON = """
import os, subprocess, sys
from pathlib import Path
from services.adapters.home_lock import own
lock = own(Path(sys.argv[1]), command="serve")
lock.pass_on()
worker = subprocess.Popen(["sleep", "60"], close_fds=False)
print(worker.pid, flush=True)
os.execvp("sleep", ["sleep", "60"])
"""


@contextmanager
def another(home: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """A process that owns or uses the home."""
    with running(HOLDS, str(home), kind) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


@contextmanager
def running(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_second_owner_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    with (
        another(tmp_path, "own") as first,
        pytest.raises(
            AlreadyRunning, match=rf"in use by process {first.pid} \(other\); stop what uses it, or choose another"
        ),
    ):
        own(tmp_path, command="serve")


def test_a_home_is_free_as_soon_as_its_owner_was_killed(tmp_path: Path) -> None:
    with another(tmp_path, "own") as first:
        first.send_signal(signal.SIGKILL)
        own(tmp_path, command="serve").close()


def test_a_home_is_in_use_until_the_last_worker_of_its_owner_has_left(tmp_path: Path) -> None:
    with running(PASSES_ON, str(tmp_path)) as server:
        assert server.stdout is not None
        worker = int(server.stdout.readline())
        server.kill()
        server.wait()
        with running(HOLDS, str(tmp_path), "own") as next_one:
            assert next_one.poll() is None
            os.kill(worker, signal.SIGKILL)
            assert next_one.stdout is not None
            assert next_one.stdout.readline() == "held\n"


def test_an_owner_that_became_another_program_still_owns_the_home(tmp_path: Path) -> None:
    with running(PASSES_ON, str(tmp_path)) as server:
        assert server.stdout is not None
        worker = int(server.stdout.readline())
        with pytest.raises(AlreadyRunning, match=rf"process {server.pid} \(serve\)"):
            own(tmp_path, command="serve")
        os.kill(worker, signal.SIGKILL)


def test_a_child_that_was_handed_the_lock_owns_the_home_with_its_parent(tmp_path: Path) -> None:
    with own(tmp_path, command="up") as lock, own(tmp_path, command="serve", handed_on=os.dup(lock.descriptor)):
        assert "(up)" in (tmp_path / OWNER).read_text()


def test_a_descriptor_that_is_not_the_lock_hands_nothing_on(tmp_path: Path) -> None:
    with (
        another(tmp_path, "own"),
        (tmp_path / OWNER).open() as unlocked,
        (tmp_path / "other").open("w") as other,
    ):
        for descriptor in (unlocked.fileno(), other.fileno(), 9999):
            with pytest.raises(AlreadyRunning):
                own(tmp_path, command="serve", handed_on=descriptor)


def test_any_number_may_use_a_home_beside_its_owner(tmp_path: Path) -> None:
    with own(tmp_path, command="serve"), use(tmp_path, command="consume"), another(tmp_path, "use"):
        pass


def test_a_home_that_somebody_uses_is_nobodys_alone_and_all_of_them_are_named(tmp_path: Path) -> None:
    with (
        another(tmp_path, "use") as first,
        another(tmp_path, "use") as second,
        pytest.raises(
            AlreadyRunning, match=rf"process {first.pid} \(other\), process {second.pid} \(other\); stop what uses it"
        ),
    ):
        use_alone(tmp_path, command="up")


def test_a_home_is_everybodys_again_once_it_is_shared(tmp_path: Path) -> None:
    with use_alone(tmp_path, command="up") as alone:
        alone.share()
        with use(tmp_path, command="consume"):
            pass


def test_who_joins_while_files_are_moved_away_waits_for_it(tmp_path: Path) -> None:
    with use_alone(tmp_path, command="up") as alone, running(HOLDS, str(tmp_path), "use") as joining:
        alone.share()
        assert joining.stdout is not None
        assert joining.stdout.readline() == "held\n"


def test_those_that_left_are_forgotten(tmp_path: Path) -> None:
    with another(tmp_path, "use"):
        pass
    with use(tmp_path, command="consume"):
        assert (tmp_path / USERS).read_text().splitlines() == [
            f"process {os.getpid()} of {socket.gethostname()} (consume)"
        ]


def test_a_lock_that_was_removed_meanwhile_is_made_again(tmp_path: Path) -> None:
    with own(tmp_path, command="serve"):
        (tmp_path / OWNER).unlink()
        with own(tmp_path, command="serve"):
            assert (tmp_path / OWNER).exists()


def test_an_owner_on_another_machine_is_named_since_nobody_here_knows_whether_it_runs(tmp_path: Path) -> None:
    with another(tmp_path, "own"):
        (tmp_path / OWNER).write_text("process 1 of elsewhere (bellwether serve)\n")
        with pytest.raises(AlreadyRunning, match="process 1 of elsewhere"):
            own(tmp_path, command="serve")


def test_a_home_that_cannot_be_made_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "home").touch()

    with pytest.raises(SettingsError, match="choose another directory with --home"), use(tmp_path / "home", command=""):
        pass


def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / OWNER).mkdir()

    with pytest.raises(SettingsError, match=r"lock cannot be written .*choose another home with --home"):
        own(tmp_path, command="serve")


def test_files_of_another_home_stay_where_they_are_while_somebody_works_with_them(tmp_path: Path) -> None:
    """As versions do that two services share, or a store."""
    other, home = tmp_path / "other", tmp_path / "home"
    with use(other, command="serve of the other"), use(home, command="serve"):
        pass

    (lock,) = use_homes_of(
        [other / "bentoml", home / "records.sqlite", tmp_path], home=home, command="bellwether serve"
    )
    with lock, pytest.raises(AlreadyRunning, match=r"other is in use by process .*bellwether serve"):
        use_alone(other, command="up")
    use_alone(home, command="up").close()

    use_alone(other, command="up").close()


def test_a_directory_that_is_no_home_is_used_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()

    assert use_homes_of([shared / "versions"], home=tmp_path / "home", command="serve") == []
    assert list(shared.iterdir()) == []
