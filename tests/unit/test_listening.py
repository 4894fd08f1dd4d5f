"""A port that nobody can hold open, asked over real sockets."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.flow_control import FlowControl

from services.entrypoints.access import Access, access_of_monitor
from services.entrypoints.listening import HEAD_BYTES, TAKE_BYTES, BoundedHttp, bound_socket, metrics_app, serving
from services.settings import Settings

TOKEN = "the-monitors-token-0123456789"  # noqa: S105 - of a port that lives as long as its test
MUCH = 100_000_000
"""Bytes: more than what the kernel holds for a caller that takes nothing."""
ANSWER_SECONDS = 20.0
"""Above every limit of these tests, so that who waits for ever fails."""


class Hurried(BoundedHttp):
    connections_at_most = 3
    head_seconds = body_seconds = take_seconds = 0.3


async def echo(request: Request) -> Response:
    return Response(str(len(await request.body())))


async def much(_request: Request) -> Response:
    return Response(b"x" * MUCH)


async def refuse(_request: Request) -> Response:
    """Without a look at the body."""
    return Response("no", status_code=401)


APP = Starlette(
    routes=[
        Route("/", echo, methods=["GET", "POST"]),
        Route("/much", much),
        Route("/refused", refuse, methods=["POST"]),
    ]
)


@contextmanager
def port_of(app: object, protocol: type[BoundedHttp] = BoundedHttp) -> Iterator[int]:
    bound = bound_socket("127.0.0.1", 0)
    with serving(app, bound, protocol=protocol):  # type: ignore[arg-type]  # an application of ASGI
        yield int(bound.getsockname()[1])


@pytest.fixture(scope="module")
def hurried() -> Iterator[int]:
    with port_of(APP, Hurried) as port:
        yield port


@pytest.fixture(scope="module")
def patient() -> Iterator[int]:
    with port_of(APP) as port:
        yield port


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)


def rest_of(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    answered = b""
    while part := connection.recv(65_536):
        answered += part
    return answered


def problem_in(answered: bytes) -> dict[str, object]:
    head, _, body = answered.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    problem: dict[str, object] = json.loads(body)
    assert set(problem) == {"type", "title", "status", "detail", "error"}
    assert head.startswith(f"HTTP/1.1 {problem['status']} {problem['title']}".encode())
    return problem


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * HEAD_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * HEAD_BYTES + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: y\r\n" % each for each in range(10_000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * HEAD_BYTES,
        b"\r\n" * HEAD_BYTES,
    ],
    ids=["line", "one header", "many headers", "one header without an end", "line breaks"],
)
def test_a_head_that_is_too_large_is_refused(patient: int, head: bytes) -> None:
    with closing(connected(patient)) as connection:
        connection.sendall(head)
        assert problem_in(rest_of(connection))["error"] == "headers_too_large"


def test_a_caller_who_goes_on_sending_is_told_all_the_same(patient: int) -> None:
    with closing(connected(patient)) as connection:
        connection.sendall(b"GET /" + b"x" * 100 * HEAD_BYTES)
        assert problem_in(rest_of(connection))["error"] == "headers_too_large"


def test_a_large_body_behind_a_small_head_is_no_large_head(patient: int) -> None:
    body = b"x" * 20 * HEAD_BYTES
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    with closing(connected(patient)) as connection:
        # Twice over one connection, the second before the first is answered.
        connection.sendall((head + body) * 2 + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answered = rest_of(connection)
    assert answered.count(b"HTTP/1.1 200 OK") == 3
    assert answered.count(str(len(body)).encode()) == 2


IN_CHUNKS = (
    b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
)


def after_the_head(connection: socket.socket) -> None:
    """Returns once the server waits for the body."""
    connection.sendall(IN_CHUNKS)
    assert connection.recv(100).startswith(b"HTTP/1.1 100")


@pytest.mark.parametrize(
    "behind",
    [
        b"1\r\nx\r\n0\r\n" + b"".join(b"X-%d: %b\r\n" % (each, b"y" * 1000) for each in range(34)),
        b"0\r\nX: " + b"x" * HEAD_BYTES,
        b"1;x=" + b"x" * HEAD_BYTES,
    ],
    ids=["many trailers", "one trailer without an end", "an extension of a chunk"],
)
def test_what_stands_beside_a_body_is_bounded_like_a_head(patient: int, behind: bytes) -> None:
    with closing(connected(patient)) as connection:
        after_the_head(connection)
        connection.sendall(behind)
        problem = problem_in(rest_of(connection))
    assert problem["error"] == "headers_too_large"
    assert str(problem["detail"]).startswith("the request's trailers have ")


def test_a_body_in_small_chunks_with_a_trailer_is_read(patient: int) -> None:
    with closing(connected(patient)) as connection:
        after_the_head(connection)
        for _ in range(20):
            connection.sendall(b"1;a=b\r\nx\r\n" * 500)
        connection.sendall(b"0\r\nX: y\r\n\r\n")
        answered = rest_of(connection)
    assert answered.startswith(b"HTTP/1.1 200 OK")
    assert answered.endswith(b"\r\n\r\n10000")


@pytest.mark.parametrize(
    "begun",
    [b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"],
    ids=["a letter", "no end of the head", "a line break", "no end of the body"],
)
def test_what_does_not_come_in_time_is_given_up(hurried: int, begun: bytes) -> None:
    with closing(connected(hurried)) as connection:
        connection.sendall(begun)
        problem = problem_in(rest_of(connection))
    assert (problem["error"], problem["status"]) == ("request_timeout", 408)


def test_a_request_that_was_answered_before_its_body_came_gets_no_second_answer(hurried: int) -> None:
    with closing(connected(hurried)) as connection:
        connection.sendall(b"POST /refused HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nbegun")
        answered = rest_of(connection)
    assert answered.startswith(b"HTTP/1.1 401 ")
    assert answered.count(b"HTTP/1.1 ") == 1


def test_a_connection_on_which_nothing_is_asked_is_closed(hurried: int) -> None:
    with closing(connected(hurried)) as connection:
        assert rest_of(connection) == b""


def test_a_connection_is_not_kept_by_line_breaks_behind_an_answer(hurried: int) -> None:
    with closing(connected(hurried)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"\r\n")
        assert b"request_timeout" in rest_of(connection)


def test_an_answer_that_nobody_takes_is_given_up(hurried: int) -> None:
    with closing(connected(hurried)) as connection:
        connection.sendall(b"GET /much HTTP/1.1\r\nHost: a\r\n\r\n")
        # Nothing is read until the server has given up, which the next connection shows by getting a place.
        for _ in range(Hurried.connections_at_most):
            with closing(connected(hurried)) as other:
                assert rest_of(other) == b""
        assert len(rest_of(connection)) < MUCH


class Untaken:
    """A loop and a transport at once: what waits to be taken, and what is called when time has passed."""

    def __init__(self, left: int) -> None:
        self.left, self.is_aborted = left, False
        self._due: list[Callable[[], None]] = []

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.is_aborted = True

    def call_later(self, _seconds: float, call: Callable[..., None], *arguments: object) -> None:
        self._due.append(partial(call, *arguments))

    def let_time_pass(self) -> None:
        self._due.pop()()


@pytest.mark.parametrize(("a_time", "is_aborted"), [(TAKE_BYTES, False), (TAKE_BYTES - 1, True), (0, True)])
def test_an_answer_is_given_up_when_less_of_it_is_taken_in_time_than_one_may_ask(a_time: int, is_aborted: bool) -> None:
    connection, untaken = BoundedHttp.__new__(BoundedHttp), Untaken(10 * TAKE_BYTES)
    connection.loop = connection.transport = untaken  # type: ignore[assignment]  # as much of both as is asked here
    connection.flow, connection._untaken = FlowControl(untaken), None  # type: ignore[arg-type]
    connection.pause_writing()
    for _ in range(3):
        if not untaken.is_aborted:
            untaken.left -= a_time
            untaken.let_time_pass()
    assert untaken.is_aborted is is_aborted


def test_beyond_its_connections_a_port_says_so_and_has_room_again_afterwards(hurried: int) -> None:
    some = [connected(hurried) for _ in range(Hurried.connections_at_most)]
    with closing(connected(hurried)) as one_more:
        problem = problem_in(rest_of(one_more))
    assert (problem["error"], problem["status"]) == ("overloaded", 503)
    for each in some:
        assert rest_of(each) == b""
        each.close()
    assert httpx.get(f"http://127.0.0.1:{hurried}/").status_code == 200


@pytest.mark.parametrize("sent", [b"no HTTP at all\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"])
def test_what_is_no_http_is_a_problem_as_well(patient: int, sent: bytes) -> None:
    with closing(connected(patient)) as connection:
        connection.sendall(sent)
        assert problem_in(rest_of(connection))["error"] == "malformed_http"


def registry_with_a_count() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("rounds", "Rounds.", registry=registry).inc(3)
    return registry


def test_metrics_are_shown_by_the_names_of_this_machine_alone() -> None:
    access = access_of_monitor(Settings(), "metrics_host")
    with port_of(metrics_app(registry_with_a_count(), access)) as port:
        url = f"http://127.0.0.1:{port}"
        assert "rounds_total 3.0" in httpx.get(f"{url}/metrics").text
        assert httpx.get(f"{url}/livez").json() == {"status": "alive"}
        refused = httpx.get(f"{url}/metrics", headers={"Host": "evil.example"})
        assert (refused.status_code, refused.json()["error"]) == (421, "unknown_host")
        assert httpx.get(f"{url}/livez", headers={"Host": "10.42.0.17:3002"}).status_code == 200
        missing, posted = httpx.get(f"{url}/nowhere"), httpx.post(f"{url}/metrics")
        assert (missing.json()["error"], posted.json()["error"]) == ("unknown_path", "method_not_allowed")
        assert {missing.headers["content-type"], posted.headers["content-type"]} == {"application/problem+json"}


def test_metrics_with_a_token_are_closed_without_it() -> None:
    access = Access(tokens=(TOKEN,), read_needs_token=True)
    with port_of(metrics_app(registry_with_a_count(), access)) as port:
        url = f"http://127.0.0.1:{port}"
        closed = httpx.get(f"{url}/metrics")
        assert (closed.status_code, closed.json()["error"]) == (401, "unauthorized")
        assert httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert httpx.get(f"{url}/metrics", auth=("prometheus", TOKEN)).status_code == 200
        assert httpx.get(f"{url}/livez").status_code == 200
