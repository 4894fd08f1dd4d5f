import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from monitoring.entrypoints.up.children import (
    RESTARTS_AT_MOST,
    ChildFailed,
    Children,
    await_answer,
    module,
    rotate,
    tied,
)
from monitoring.entrypoints.up.stopping import StopAsked
from services.adapters.process_ids import runs
from services.settings import Settings
from tests.waiting import eventually

# A module of the standard library that prints and ends at once stands for a process.
ENDS = module("this")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def children(tmp_path: Path, said: list[str]) -> Iterator[Children]:
    children = Children(Settings(home=tmp_path), said.append)
    yield children
    children.stop()


def test_a_child_is_stopped_by_its_own_id_and_its_output_is_kept(children: Children) -> None:
    child = children.start("short", ENDS)
    child.process.wait(30)
    children.stop()

    assert not psutil.pid_exists(child.pid) or child.process.poll() == 0
    assert "Beautiful is better than ugly" in children.log_of("short").read_text()


def test_a_child_that_died_is_started_again_and_that_is_said(children: Children, said: list[str]) -> None:
    child = children.start("short", ENDS)
    first = child.pid
    child.process.wait(30)

    children.revive()

    assert child.pid != first
    assert said == [f"short (process {first}) ended with 0; starting it again"]


def test_a_child_that_keeps_dying_is_an_error_with_the_end_of_its_log(children: Children) -> None:
    child = children.start("short", ENDS)
    child.restarts = RESTARTS_AT_MOST
    child.process.wait(30)

    with pytest.raises(ChildFailed, match="Namespaces are one honking great idea"):
        children.revive()


def test_a_child_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert runs(child)

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    eventually(lambda: not runs(child), what="the child has ended", seconds=5)


def test_a_program_whose_parent_has_ended_meanwhile_does_not_begin() -> None:
    *words, command = tied(["true"])
    words[words.index(str(os.getpid()))] = "1"

    assert subprocess.run([*words, command], check=False).returncode == 75


def test_only_the_main_thread_starts_children_since_they_would_end_with_another() -> None:
    found: list[str] = []

    def start() -> None:
        try:
            tied(["true"])
        except RuntimeError as error:
            found.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert found == ["true would end with this thread; start it in the main thread"]


def test_a_descriptor_that_a_child_is_handed_is_open_in_it(children: Children, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        children.start(
            "holder", [sys.executable, "-c", f"import os; os.write({lock.fileno()}, b'mine')"], handed=[lock.fileno()]
        )
        eventually(lambda: (tmp_path / "lock").read_text() == "mine", what="the child has written")


def test_in_a_hurry_no_child_and_nothing_that_it_started_is_waited_for(children: Children, said: list[str]) -> None:
    child = children.start("deaf", [sys.executable, "-c", DEAF])
    log = children.log_of("deaf")
    eventually(lambda: log.read_text().endswith("\n"), what="the child is deaf, and has started another")
    below = int(log.read_text())
    children.stopping.times = 2

    children.stop()

    assert child.process.poll() == -signal.SIGKILL
    assert not runs(below)
    assert said == [f"deaf (process {child.pid}) is not waited for; ending it"]


def test_who_waits_while_the_run_starts_hears_that_it_is_to_end(children: Children) -> None:
    children.stopping.times = 1

    with pytest.raises(StopAsked):
        await_answer("http://127.0.0.1:9/", seconds=10, alive=children.alive)


PARENT = """
import sys, time
from pathlib import Path
from monitoring.entrypoints.up.children import Children
from services.settings import Settings
child = Children(Settings(home=Path(sys.argv[1])), print).start("sleeper", ["sleep", "60"])
print(child.pid, flush=True)
time.sleep(60)
"""
DEAF = """
import signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen(["sleep", "60"], start_new_session=True).pid, flush=True)
time.sleep(60)
"""


def test_waiting_for_an_answer_ends_with_it() -> None:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    await_answer(f"http://127.0.0.1:{server.server_port}/", seconds=10, alive=lambda: None)

    server.shutdown()
    server.server_close()


def test_waiting_for_an_answer_gives_up_and_says_where_to_look() -> None:
    with pytest.raises(ChildFailed, match="did not answer within 0 s; look at the logs"):
        await_answer("http://127.0.0.1:9/", seconds=0.0, alive=lambda: None)


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing to say."""


def test_a_log_that_has_grown_begins_anew_and_its_process_goes_on_in_it(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as process:
        process.write(b"first\n" * 100)
        rotate(log, limit=1000)
        assert log.stat().st_size == 600
        rotate(log, limit=599)
        process.write(b"second\n")
    assert log.read_bytes() == b"second\n"
    assert (tmp_path / "a.log.1").read_bytes() == b"first\n" * 100


def test_a_log_begins_anew_also_where_there_is_no_room_for_the_old_one(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * 1000)
    (tmp_path / "a.log.1").symlink_to("/dev/full")
    rotate(log, limit=999)
    assert log.stat().st_size == 0
    assert not (tmp_path / "a.log.1").exists()


def test_a_log_that_is_not_there_yet_is_no_trouble(tmp_path: Path) -> None:
    rotate(tmp_path / "a.log")
    assert list(tmp_path.iterdir()) == []
