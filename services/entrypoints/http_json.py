"""JSON in: strict, bounded, and of the right content type. JSON out: bytes with the headers that every answer has."""

import json
from codecs import BOM_UTF8
from collections.abc import Mapping
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

MEMBERS_AT_MOST: Final = 50_000
"""Members of all objects of a body. A megabyte of rows has fewer, since a name and its value take some twenty bytes;
a body that has more consists of next to nothing else, and each of them costs time."""
CONTAINERS_AT_MOST: Final = 150_000
"""Arrays and objects of a body: each costs a third of what a member does."""
FEW_BYTES: Final = MEMBERS_AT_MOST * len('"":0,')
"""A body of no more can have neither so many members nor, inside of `DEPTH_AT_MOST`, many more containers."""

DEPTH_AT_MOST: Final = 32
"""Arrays and objects inside one another. No route reads more than five; parameters of inference may have some."""
TOO_DEEP: Final = f"the body has more than {DEPTH_AT_MOST} arrays and objects inside one another; send it flatter"

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
_decode = msgspec.json.Decoder().decode

_IS_JSON: Final = (b"content-type", JSON.encode())
_CONTAINERS: Final = (dict, list)
_AS_IT_IS: Final = (b"identity", b"")
_GZIP: Final = b"\x1f\x8b"
_UTF_8: Final = "utf-8"


class MalformedJson(BellwetherError):
    code: ClassVar[str] = "malformed_json"


class UnsupportedMediaType(BellwetherError):
    code: ClassVar[str] = "unsupported_media_type"


class BodyTooLarge(BellwetherError):
    code: ClassVar[str] = "body_too_large"


class _Encoded(Response):
    """Starlette would encode the same headers for every answer."""

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:  # noqa: ARG002 - ours are all there are
        self.raw_headers = [
            *_SECURITY_HEADERS,
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", (self.media_type or JSON).encode()),
        ]


def answer(content: object, *, status: int = 200, media_type: str = JSON) -> Response:
    return _Encoded(_encode(content), status_code=status, media_type=media_type)


async def checked_body(request: Request, *, limit: int) -> bytes:
    """The body without a byte order mark, for a reader that is less strict. Raises as `body_of` does."""
    body = (await _bounded_json(request, limit)).removeprefix(BOM_UTF8)
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
    if _IS_JSON not in request.scope["headers"] and (media_type := media_type_of(request)) != JSON:
        raise UnsupportedMediaType(f"found Content-Type {media_type[:100]!r}, expected {JSON}")
    return await bounded(request, limit)


def media_type_of(request: Request) -> str:
    """The content type without its parameters; "" where there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def decoded(body: bytes, *, what: str = "the body") -> Any:
    """Decode JSON as RFC 8259 has it: UTF-8, finite numbers, and no member twice, in time linear in its length.

    A byte order mark before it is passed over. `what` is how a problem names the text.

    Raises:
        MalformedJson: also where it is deeper than `DEPTH_AT_MOST`.
        BodyTooLarge: it has more than `MEMBERS_AT_MOST` or `CONTAINERS_AT_MOST`.
    """
    body = body.removeprefix(BOM_UTF8)
    if len(body) > FEW_BYTES:
        _refuse_many_parts(body)
    try:
        content = _decode(body)
        members = _members(content)
        # Of a member that stands twice, parsers keep the first or the last; whoever checked it may have seen the other.
        # With no colon beyond one per member there is none, and the second look is spared.
        if body.count(b":") != members:
            _duplicates.decode(body.decode())
    except RecursionError:
        raise MalformedJson(TOO_DEEP) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise MalformedJson(f"{what} {_why_no_json(body, error)}") from error
    return content


async def bounded(request: Request, limit: int) -> bytes:
    """The body as it came.

    Raises:
        UnsupportedMediaType: it is compressed or encoded in another way.
        BodyTooLarge
    """
    # One look at all headers: each one that is asked for by its name costs as much.
    for name, value in request.scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise BodyTooLarge(f"the body has {int(value)} bytes, expected at most {limit}; send less at once")
        if name == b"content-encoding" and value.strip().lower() not in _AS_IT_IS:
            found = value[:100].decode("latin-1")
            raise UnsupportedMediaType(f"found Content-Encoding {found!r}, expected none; send the body as it is")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(f"the body has more than {limit} bytes; send less at once")
    return bytes(body)


def _why_no_json(body: bytes, error: Exception) -> str:
    """In words that may follow the name of the text. It was refused already, so a guess at what it is may take time."""
    if not body.strip():
        return "is empty, expected JSON"
    if body.startswith(_GZIP):
        return "is compressed (gzip), expected JSON as it is"
    encoding = json.detect_encoding(body)
    if encoding != _UTF_8 and _can_be(body, encoding):
        return f"is {encoding[:6].upper()}, expected JSON in UTF-8"
    try:
        body.decode()
    except UnicodeDecodeError as no_text:
        found, at = body[no_text.start], no_text.start
        return f"is no UTF-8: found the byte 0x{found:02X} at place {at}; expected JSON in UTF-8"
    return f"is no JSON: {error}"


def _can_be(body: bytes, encoding: str) -> bool:
    """The guess was made by the first four bytes."""
    try:
        return "\x00" not in body.decode(encoding)
    except UnicodeDecodeError:
        return False


def _refuse_many_parts(body: bytes) -> None:
    """Before they become objects, of which each takes many times the memory of its text. Raises `BodyTooLarge`."""
    if not _too_many(body):
        return
    # Colons and brackets inside of texts are none; hardly a body has so many that they have to be told apart.
    outside = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    if problem := _too_many(b"".join(outside)):
        raise BodyTooLarge(f"{problem}; send less at once")


def _too_many(document: bytes) -> str:
    """What a document without texts has too many of, in words; "" for nothing."""
    members, containers = document.count(b":"), document.count(b"[") + document.count(b"{")
    if members > MEMBERS_AT_MOST:
        return f"found {members} members, expected at most {MEMBERS_AT_MOST}"
    if containers > CONTAINERS_AT_MOST:
        return f"found {containers} arrays and objects, expected at most {CONTAINERS_AT_MOST}"
    return ""


def _members(content: Any) -> int:
    """Members of all objects in it, counted level by level. Raises `MalformedJson`."""
    members = 0
    level: list[Any] = [content] if isinstance(content, _CONTAINERS) else []
    for _ in range(DEPTH_AT_MOST):
        for place, each in enumerate(level):
            if isinstance(each, dict):
                members += len(each)
                level[place] = each.values()
        level = [value for values in level for value in values if isinstance(value, _CONTAINERS)]
        if not level:
            return members
    raise MalformedJson(TOO_DEEP)


def _refuse_twice(members: list[tuple[str, Any]]) -> None:
    seen = {name for name, _ in members}
    if len(seen) == len(members):
        return
    for name, _ in members:
        if name not in seen:
            raise ValueError(f"member {name[:64]!r} stands twice in one object")
        seen.remove(name)


_duplicates: Final = json.JSONDecoder(object_pairs_hook=_refuse_twice)
