"""Events as Kafka records: CloudEvents 1.0 in binary mode, where headers carry the envelope and the value the data."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from services.core.clock import require_aware
from services.core.errors import MalformedEvent
from services.core.events import Event
from services.core.letters import findable, keepable
from services.core.records import DeadLetter

Headers = list[tuple[str, bytes]]

_JSON: Final = ("content-type", b"application/json")
_VERSION: Final = "1.0"
_LETTER_FIELDS: Final = ("event_id", "reason", "detail", "origin", "type", "key")


def headers_of(event: Event) -> Headers:
    return [
        ("ce_specversion", _VERSION.encode()),
        ("ce_id", event.id.encode()),
        ("ce_type", event.type.encode()),
        ("ce_source", event.source.encode()),
        ("ce_time", event.time.isoformat().encode()),
        _JSON,
    ]


def event_of(record: Any, *, topic: str) -> Event:
    """The event in a consumer's record.

    Raises:
        MalformedEvent: reason `no_envelope` (a header is missing or no text), `unknown_version` or `no_data`.
    """
    found = _texts(record.headers)
    if found.get("ce_specversion") != _VERSION:
        version = found.get("ce_specversion")
        raise MalformedEvent("unknown_version", f"found ce_specversion {version!r}, expected {_VERSION!r}")
    if record.value is None:
        raise MalformedEvent("no_data", "the record has no value")
    return Event(
        id=_required(found, "ce_id"),
        type=_required(found, "ce_type"),
        source=_required(found, "ce_source"),
        topic=topic,
        key=_text(record.key, "the key"),
        time=_time(_required(found, "ce_time")),
        data=bytes(record.value),
    )


def headers_of_letter(letter: DeadLetter) -> Headers:
    letter = keepable(letter)
    fields = [(name, str(getattr(letter, name)).encode()) for name in _LETTER_FIELDS]
    return [*fields, ("at", letter.at.isoformat().encode())]


def letter_of(record: Any) -> DeadLetter:
    """The dead letter in a consumer's record. Raises `MalformedEvent`, reason `no_envelope`."""
    found = _texts(record.headers)
    fields = {name: _required(found, name) for name in _LETTER_FIELDS if name not in {"key", "type"}}
    return DeadLetter(
        **fields,
        type=found.get("type", ""),
        key=found.get("key", ""),
        data=bytes(record.value or b""),
        at=_time(_required(found, "at")),
    )


def unreadable_letter(record: Any, error: MalformedEvent, *, origin: str, now: datetime) -> DeadLetter:
    """What is kept of a record without a usable envelope.

    Its id is the event's wherever that can be read, for whoever accounts for the event looks for it by that; else where
    the record was found.
    """
    return keepable(_letter(record, error, origin=origin, now=now))


def _letter(record: Any, error: MalformedEvent, *, origin: str, now: datetime) -> DeadLetter:
    return DeadLetter(
        event_id=_id_of(record.headers) or origin,
        reason=error.reason,
        detail=error.detail,
        origin=origin,
        type="",
        key=bytes(record.key or b"").decode(errors="replace"),
        data=bytes(record.value or b""),
        at=now,
    )


def _id_of(headers: Iterable[tuple[str, bytes | None]] | None) -> str:
    """The event's id, or a letter's, as `findable` has it; "" where there is none that is text."""
    ids = [value for name, value in headers or () if name in {"ce_id", "event_id"} and value]
    try:
        return findable(bytes(ids[-1]).decode()) if ids else ""
    except UnicodeDecodeError:
        return ""


def _texts(headers: Iterable[tuple[str, bytes | None]] | None) -> dict[str, str]:
    return {name: _text(value, "header", name) for name, value in headers or () if value is not None}


def _text(value: bytes | None, *what: str) -> str:
    """As text; a database refuses a NUL, and with it the whole batch. `what` it is, is said of one that is none."""
    try:
        text = bytes(value or b"").decode()
    except UnicodeDecodeError as error:
        raise MalformedEvent("no_envelope", f"{_named(*what)} is no UTF-8: {error}") from error
    if "\x00" in text:
        raise MalformedEvent("no_envelope", f"{_named(*what)} has a NUL")
    return text


def _named(kind: str, name: str = "") -> str:
    return f"{kind} {name[:64]!r}" if name else kind


def _required(found: dict[str, str], name: str) -> str:
    if not found.get(name):
        raise MalformedEvent("no_envelope", f"header {name!r} is missing or empty")
    return found[name]


def _time(text: str) -> datetime:
    try:
        return require_aware(datetime.fromisoformat(text), name="ce_time")
    except (ValueError, OverflowError) as error:
        raise MalformedEvent("no_envelope", f"time {text[:64]!r}: {error}") from error
