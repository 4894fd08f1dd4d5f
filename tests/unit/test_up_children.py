import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from monitoring.entrypoints.up.children import RESTARTS_AT_MOST, ChildFailed, Children, await_answer, module
from services.settings import Settings

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
