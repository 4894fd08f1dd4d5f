"""Servers that no caller can hold open: every port bounds the head of a request, its time, and its connections.

The prediction service's workers get the same protocol from `bound_workers`, since BentoML chooses it by a name. The
monitor, and the processes that show metrics alone, are served by `Listener`, in a thread of their own.
"""

import atexit
import contextlib
import resource
import socket
from asyncio import Protocol, TimerHandle
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from threading import Thread
from typing import Any, ClassVar, Final

import msgspec
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.core.errors import BellwetherError
from services.entrypoints.access import Access, Unauthorized
from services.entrypoints.http_json import SECURITY_HEADERS, answer
from services.entrypoints.http_problems import (
    HEADERS_TOO_LARGE,
    MALFORMED_HTTP,
    OVERLOADED,
    PROBLEM_JSON,
    REQUEST_TIMEOUT,
    RETRY_AFTER_SECONDS,
    ROUTING_CODES,
    SERVER_CODES,
    problem_members,
    problem_response,
    status_of,
)

HEAD_BYTES: Final = 32_768
"""Of the request's line and headers together. Ours take a few hundred; cookies of other ports, some thousand."""
HEAD_SECONDS: Final = 10.0
"""For the line and the headers, from the first byte or from the connection; they come in one packet nearly always."""
BODY_SECONDS: Final = 30.0
"""For the body behind them: a megabyte over a slow line takes ten."""
TAKE_SECONDS: Final = 30.0
"""How long an answer may wait in memory for a caller who takes less than `TAKE_BYTES` of it."""
TAKE_BYTES: Final = 65_536
"""Two kilobytes a second: a report of some megabytes reaches whoever takes it slowly, and nobody keeps it for ever."""
HEARD_SECONDS: Final = 1.0
"""How long a caller who is refused may go on sending before the connection is closed under it."""
CONNECTIONS: Final = 100
"""To a port that a few scrapers and people look at."""
BACKLOG: Final = 100
"""Connections that wait until the server takes them."""
FILES_KEPT: Final = 256
"""Open files that a worker keeps for everything that is no connection."""
STOP_SECONDS: Final = 5.0
"""How long open connections may finish in; a page is drawn in a fraction of that."""


# Called by name: each request passes here, and to look a method up behind one's own costs as much as calling it.
_data_received: Final = HttpToolsProtocol.data_received
_headers_complete: Final = HttpToolsProtocol.on_headers_complete
_body: Final = HttpToolsProtocol.on_body
_message_complete: Final = HttpToolsProtocol.on_message_complete


class BoundedHttp(HttpToolsProtocol):
    """One connection. The timers are made only for what does not come at once, which costs other requests nothing."""

    connections_at_most: ClassVar[int] = CONNECTIONS
    head_seconds: ClassVar[float] = HEAD_SECONDS
    body_seconds: ClassVar[float] = BODY_SECONDS
    take_seconds: ClassVar[float] = TAKE_SECONDS

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: TimerHandle | None = None
        self._untaken: TimerHandle | None = None
        self._head_bytes = self._chunk_bytes = self._beside_bytes = self._head_fields = 0
        self._body_came = False
        self._in_head = True
        self._refusal = MALFORMED_HTTP

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.connections_at_most:
            self._refuse(OVERLOADED, f"this port takes {self.connections_at_most} connections; try again in a moment")
            return
        self._deadline = self.loop.call_later(self.head_seconds, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._chunk_bytes = size = len(data)
        if self._in_head:
            self._head_bytes += size
        _data_received(self, data)
        # A request that came at once has left neither: its head is counted no more, and the next has not begun.
        if self._head_bytes or not self._in_head:
            self._wait_for_more()

    def _wait_for_more(self) -> None:
        if not self._in_head:
            self._drop_what_is_no_body()
        if self._in_head and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(HEADERS_TOO_LARGE, _too_large(self._head_bytes))
        elif self._beside_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(HEADERS_TOO_LARGE, _too_large(self._beside_bytes, what="trailers"))
        elif self._deadline is None and not self.transport.is_closing():
            seconds = self.head_seconds if self._in_head else self.body_seconds
            self._deadline = self.loop.call_later(seconds, self._late)

    def _drop_what_is_no_body(self) -> None:
        """Trailers, which nobody reads, and which the server would keep among the headers."""
        trailers = self.headers[self._head_fields :]
        del self.headers[self._head_fields :]
        size = sum(len(name) + len(value) for name, value in trailers)
        self._beside_bytes += size if self._body_came else self._chunk_bytes
        self._body_came = False

    def on_body(self, body: bytes) -> None:
        self._body_came = True
        _body(self, body)

    def on_headers_complete(self) -> None:
        if self._head_bytes > HEAD_BYTES or self._chunk_bytes > HEAD_BYTES:
            self._require_small_head()
        self._in_head = False
        self._head_bytes = 0
        self._head_fields = len(self.headers)
        # What came along with the head was counted with it.
        self._beside_bytes = -self._chunk_bytes
        if self._deadline is not None:
            self._stop_waiting()
        _headers_complete(self)

    def _require_small_head(self) -> None:
        """More came than a head may have; how much of it was the head is counted only then."""
        size = len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)
        if size > HEAD_BYTES:
            self._refusal = HEADERS_TOO_LARGE
            raise ValueError(size)

    def on_message_complete(self) -> None:
        self._in_head = True
        if self._deadline is not None:
            self._stop_waiting()
        _message_complete(self)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the server's word for it
        detail = (
            _too_large(self._head_bytes) if self._refusal == HEADERS_TOO_LARGE else "this is no HTTP that can be read"
        )
        self._refuse(self._refusal, detail)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._untaken is None:
            self._wait_until_taken()

    def _wait_until_taken(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._untaken = self.loop.call_later(self.take_seconds, self._untaken_by_now, left)

    def _untaken_by_now(self, before: int) -> None:
        if self.transport.get_write_buffer_size() > before - TAKE_BYTES:
            self.transport.abort()
        else:
            self._wait_until_taken()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _late(self) -> None:
        self._deadline = None
        if self._in_head and self._head_bytes == 0:
            # Nothing was asked, so nothing is answered.
            self.transport.close()
        elif not self.transport.is_closing():
            part, limit = ("line and headers", self.head_seconds) if self._in_head else ("body", self.body_seconds)
            self._refuse(REQUEST_TIMEOUT, f"the request's {part} did not come within {limit:g} s; send them at once")

    def _refuse(self, code: str, detail: str) -> None:
        """Close, with a problem where no other answer has been begun, or given to the request whose body is late."""
        self._stop_timers()
        if self.cycle is None or (self.cycle.response_complete and self._in_head) or not self.cycle.response_started:
            self.transport.write(_plain_problem(code, detail))
        if code == OVERLOADED:
            self.transport.close()
        else:
            self._close_when_heard()

    def _close_when_heard(self) -> None:
        """Throw away what still comes, until the caller closes or for a moment.

        To close at once on bytes that nobody has read resets the connection, and the caller loses the answer with it.
        """
        self._in_head, self._head_bytes = True, 0
        self.transport.write_eof()
        self.transport.set_protocol(Protocol())
        self.loop.call_later(HEARD_SECONDS, self.transport.close)
        self.connection_lost(ConnectionAbortedError("refused"))

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_timers(self) -> None:
        self._stop_waiting()
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None


class WorkerHttp(BoundedHttp):
    """Of a serving worker, which takes as many connections as it may have open files."""

    connections_at_most = max(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FILES_KEPT)


def bound_workers() -> None:
    """Let the server that BentoML makes in this process, which names no protocol, take `WorkerHttp`."""
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{WorkerHttp.__name__}"


class Gate:
    """An application behind what is asked of every request."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            problem = self._access.problem(scope["method"], scope["path"], scope["headers"])
            if problem is not None:
                await known_problem(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)


@contextmanager
def serving(app: ASGIApp, bound: socket.socket, *, protocol: type[BoundedHttp] = BoundedHttp) -> Iterator[None]:
    """Answer at a socket that is bound, in a thread of its own, for as long as this is entered."""
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=int(STOP_SECONDS),
    )
    # Whoever connects while the server starts waits for it.
    bound.listen(BACKLOG)
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([bound],), name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(2 * STOP_SECONDS)


def show_metrics(registry: CollectorRegistry, bound: socket.socket, access: Access) -> None:
    """Show `registry` at a socket that is bound, until the process ends."""
    staying = contextlib.ExitStack()
    staying.enter_context(serving(metrics_app(registry, access), bound))
    atexit.register(staying.close)


def metrics_app(registry: CollectorRegistry, access: Access) -> ASGIApp:
    """`/metrics` behind the rules of access, and `/livez` for probes."""

    def metrics(request: Request) -> Response:
        access.check_read(Headers(scope=request.scope))
        text = generate_latest(registry)
        return Response(text, headers={**SECURITY_HEADERS, "Content-Type": CONTENT_TYPE_LATEST})

    app = Starlette(
        routes=[Route("/metrics", metrics), Route("/livez", alive)],
        exception_handlers={BellwetherError: _known, HTTPException: _unrouted, Exception: _unexpected},
    )
    app.router.redirect_slashes = False
    return Gate(app, access)


async def alive(_request: Request) -> Response:
    """On the event loop, where no thread that is busy can keep a probe waiting."""
    return answer({"status": "alive"})


def bound_socket(host: str, port: int) -> socket.socket:
    """Taken before a server starts, so that a taken port is an error of whoever starts it. Raises `OSError`."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def known_problem(error: BellwetherError) -> Response:
    """The answer to an error of the rules of access."""
    response = problem_response(status_of(error), error.code, str(error))
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = LOGIN
    return response


LOGIN: Final = 'Bearer, Basic realm="Bellwether", charset="UTF-8"'
"""Programs send a token; a browser asks its user for one, as the password of any name."""


async def _known(_request: Request, error: Exception) -> Response:
    if not isinstance(error, BellwetherError):
        raise error
    return known_problem(error)


async def _unrouted(request: Request, error: Exception) -> Response:
    return unrouted(request, error, more="; this port has /metrics and /livez")


def unrouted(request: Request, error: Exception, *, more: str = "") -> Response:
    """The answer of a port whose router knows no such path, or not by this verb. Raises any other error."""
    if not isinstance(error, HTTPException):
        raise error
    code = ROUTING_CODES.get(error.status_code, BellwetherError.code)
    detail = f"{request.method} {request.url.path[:200]}: {error.detail}{more}"
    response = problem_response(HTTPStatus(error.status_code), code, detail)
    response.headers.update(error.headers or {})
    return response


async def _unexpected(_request: Request, _error: Exception) -> Response:
    detail = "the process failed; its log says why"
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, BellwetherError.code, detail)


def _plain_problem(code: str, detail: str) -> bytes:
    """A whole answer, for a connection that is closed behind it."""
    status = SERVER_CODES[code]
    body = msgspec.json.encode(problem_members(status, code, detail))
    retry = f"Retry-After: {RETRY_AFTER_SECONDS}\r\n" if status is HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {PROBLEM_JSON}\r\nContent-Length: {len(body)}\r\n"
        f"{retry}Connection: close\r\n\r\n"
    )
    return head.encode() + body


def _too_large(found: int, *, what: str = "line and headers") -> str:
    return f"the request's {what} have {found} bytes or more, expected at most {HEAD_BYTES}"
