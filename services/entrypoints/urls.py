"""Paths and queries as they came.

Servers decode them with a mark in place of each byte that is no UTF-8: two ids that differ in such bytes would be one.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from services.core.errors import Fault, InvalidRequest

_LONE_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SHOWN: Final = 24
"""Characters of a path that a fault repeats: an escape or two and what is before and behind them."""


def require_readable(scope: Scope) -> None:
    """Raises `InvalidRequest` unless the path and the query are percent-encoded UTF-8."""
    path, query = scope.get("raw_path") or b"", scope["query_string"]
    if b"%" in path or not path.isascii():
        _require("path", path)
    if query and (b"%" in query or not query.isascii()):
        _require("query", query)


class ReadableUrl:
    """Middleware of a route with parameters in its path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        require_readable(scope)
        await self._app(scope, receive, send)


def _require(where: str, raw: bytes) -> None:
    if not raw.isascii():
        raise _unreadable(where, raw, next(at for at, byte in enumerate(raw) if byte > 0x7F), "is not percent-encoded")
    if lone := _LONE_PERCENT.search(raw):
        raise _unreadable(where, raw, lone.start(), "begins no escape (%25 stands for a %)")
    try:
        unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise _unreadable(where, raw, _place(raw, error.start), "is no UTF-8") from None


def _place(raw: bytes, decoded: int) -> int:
    """Where the byte at this place of the decoded text begins in the raw one."""
    at = 0
    for _ in range(decoded):
        at += 3 if raw[at] == ord("%") else 1
    return at


def _unreadable(where: str, raw: bytes, at: int, problem: str) -> InvalidRequest:
    found = raw[at : at + _SHOWN].decode("ascii", errors="backslashreplace")
    expected = "expected percent-encoded UTF-8, such as %C3%BC for ü"
    return InvalidRequest((Fault(where, f"found {found!r} at place {at}, which {problem}; {expected}"),))
