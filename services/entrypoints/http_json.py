"""JSON in: strict, bounded, and of the right content type. JSON out: bytes with the headers that every answer has."""

import json
from typing import Any, ClassVar, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.core.errors import BellwetherError

JSON: Final = "application/json"
OCTETS: Final = "application/octet-stream"

ROWS_AT_MOST: Final = 1000
"""Rows of one call. A thousand predictions take under a second; the server gives up on a request after a few."""

ROWS_AT_ONCE: Final = 32
"""Rows of one call that are worked on together: enough to share the log's commits, few enough to let others in."""

SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Nothing that this service answers is to be cached, framed, sniffed for another type, or to load anything."""

_SECURITY_HEADERS: Final = tuple((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items())

_encode = msgspec.json.Encoder().encode


class MalformedJson(BellwetherError):
    code: ClassVar[str] = "malformed_json"


class UnsupportedMediaType(BellwetherError):
    code: ClassVar[str] = "unsupported_media_type"


class BodyTooLarge(BellwetherError):
    code: ClassVar[str] = "body_too_large"


def answer(content: object, *, status: int = 200, media_type: str = JSON) -> Response:
    response = Response(status_code=status)
    response.body = _encode(content)
    # Starlette would encode the same headers for every answer.
    response.raw_headers = [
        *_SECURITY_HEADERS,
        (b"content-length", b"%d" % len(response.body)),
        (b"content-type", media_type.encode()),
    ]
    return response


async def checked_body(request: Request, *, limit: int) -> bytes:
    """The body as it came, for a reader that is less strict. Raises as `body_of` does."""
    body = await _bounded_json(request, limit)
    decoded(body)
    return body


async def body_of(request: Request, *, limit: int) -> Any:
    """The decoded body.

    Only `application/json` is read, which a page of another origin cannot send without asking first (CORS).

    Raises:
        UnsupportedMediaType, BodyTooLarge, MalformedJson
    """
    return decoded(await _bounded_json(request, limit))


async def _bounded_json(request: Request, limit: int) -> bytes:
    # The usual spelling first, since each prediction passes here.
    if request.headers.get("content-type") != JSON and (media_type := media_type_of(request)) != JSON:
        raise UnsupportedMediaType(f"found Content-Type {media_type[:100]!r}, expected {JSON}")
    return await bounded(request, limit)


def media_type_of(request: Request) -> str:
    """The content type without its parameters; "" where there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def decoded(body: bytes) -> Any:
    """Decode JSON as RFC 8259 has it: UTF-8, finite numbers, and no member twice. Raises `MalformedJson`."""
    try:
        content = msgspec.json.decode(body)
        # Of a member that stands twice, parsers keep the first or the last; whoever checked it may have seen the other.
        # With no colon beyond one per member there is none, and the second look is spared.
        if body.count(b":") != _members(content):
            _duplicates.decode(body.decode())
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedJson(f"the body is no JSON: {error}") from error
    return content


async def bounded(request: Request, limit: int) -> bytes:
    """The body as it came. Raises `BodyTooLarge`."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise BodyTooLarge(f"the body has {int(declared)} bytes, expected at most {limit}; send less at once")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(f"the body has more than {limit} bytes; send less at once")
    return bytes(body)


def _members(content: Any) -> int:
    """Members of all objects in it."""
    if isinstance(content, dict):
        return len(content) + sum(_members(each) for each in content.values() if isinstance(each, dict | list))
    return sum(map(_members, content)) if isinstance(content, list) else 0


def _refuse_twice(members: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in members]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"member {twice[:64]!r} stands twice in one object")


_duplicates: Final = json.JSONDecoder(object_pairs_hook=_refuse_twice)
