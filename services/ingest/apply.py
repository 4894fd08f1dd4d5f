"""Events become rows. Pure: what cannot become a row becomes a dead letter with its reason, never an exception."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from services.core.clock import to_microseconds
from services.core.errors import MalformedEvent
from services.core.events import Event, LoggedEvent, fact_of
from services.core.predictions import PredictionMade
from services.core.records import Batch, DeadLetter

_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of a NUL in JSON, and not an escaped backslash before `u0000`."""


def apply(logged: Sequence[LoggedEvent], *, origin: str, now: datetime) -> Batch:
    """One batch of rows from a run of events, in their order.

    Args:
        origin: names the log; a dead letter's origin is this and the event's position.
    """
    batch = Batch([], [], [])
    for each in logged:
        try:
            _add(batch, each.event)
        except MalformedEvent as error:
            batch.dead_letters.append(_dead_letter(each, error, origin=origin, now=now))
    return batch


def _add(batch: Batch, event: Event) -> None:
    _require_no_nul(event)
    fact = fact_of(event)
    if isinstance(fact, PredictionMade):
        _require_same("prediction id", fact.prediction_id, event.id)
        _require_instant("made_at", fact.made_at)
        batch.predictions.append(fact)
    else:
        _require_same("key", fact.prediction_id, event.key)
        _require_instant("observed_at", fact.observed_at)
        batch.outcomes.append((event.id, fact))


def _require_no_nul(event: Event) -> None:
    """PostgreSQL takes no NUL in a text."""
    if b"u0000" in event.data and _NUL.search(event.data):
        raise MalformedEvent("nul_character", f"{event.type} {event.id}: a text in its data has a NUL")


def _require_same(name: str, found: str, expected: str) -> None:
    """The account counts envelopes and the rows are made of facts: both must speak of the same thing."""
    if found != expected:
        raise MalformedEvent("contradiction", f"the data's {name} is {found[:64]!r}, the envelope's {expected[:64]!r}")


def _require_instant(name: str, moment: datetime) -> None:
    """A time that the store refuses would keep the whole batch out, and with it every event behind it."""
    try:
        to_microseconds(moment)
    except (ValueError, OverflowError) as error:
        raise MalformedEvent("no_instant", f"{name} {moment.isoformat()}: {error}") from error


def _dead_letter(logged: LoggedEvent, error: MalformedEvent, *, origin: str, now: datetime) -> DeadLetter:
    event = logged.event
    return DeadLetter(
        event_id=event.id,
        reason=error.reason,
        detail=error.detail,
        origin=f"{origin}@{logged.position}",
        type=event.type,
        key=event.key,
        data=event.data,
        at=now,
    )
