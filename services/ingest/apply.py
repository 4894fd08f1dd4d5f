"""Events become rows. Pure: what cannot become a row becomes a dead letter with its reason, never an exception."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from services.core.errors import MalformedEvent
from services.core.events import Event, LoggedEvent, fact_of
from services.core.letters import keepable
from services.core.limits import TEXT_LENGTH, id_problem, text_problem, time_problem
from services.core.outcomes import OutcomeObserved
from services.core.predictions import LEAST_CONTROL_SHARE, NO_ACTION, PredictionMade
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
            batch.dead_letters.append(dead_letter(each, error, origin=origin, now=now))
    return batch


def dead_letter(logged: LoggedEvent, error: MalformedEvent, *, origin: str, now: datetime) -> DeadLetter:
    """What is kept of an event that cannot become rows; every store takes it."""
    event = logged.event
    return keepable(
        DeadLetter(
            event_id=event.id,
            reason=error.reason,
            detail=error.detail,
            origin=f"{origin}@{logged.position}",
            type=event.type,
            key=event.key,
            data=event.data,
            at=now,
        )
    )


def _add(batch: Batch, event: Event) -> None:
    _require_no_nul(event)
    fact = fact_of(event)
    if isinstance(fact, PredictionMade):
        _require_prediction(fact, event)
        batch.predictions.append(fact)
    else:
        _require_outcome(fact, event)
        batch.outcomes.append((event.id, fact))


def _require_no_nul(event: Event) -> None:
    """PostgreSQL takes no NUL in a text."""
    if b"u0000" in event.data and _NUL.search(event.data):
        raise MalformedEvent("nul_character", f"{event.type} {event.id}: a text in its data has a NUL")


def _require_prediction(made: PredictionMade, event: Event) -> None:
    _require_same("prediction id", made.prediction_id, event.id)
    _require_limits((event.id, made.model, made.entity_id), (made.version, made.label, made.action))
    _require_time("made_at", made.made_at)
    _require_weight(made)


def _require_outcome(observed: OutcomeObserved, event: Event) -> None:
    _require_same("key", observed.prediction_id, event.key)
    _require_limits((event.id, observed.model, observed.prediction_id), (observed.value,))
    _require_time("observed_at", observed.observed_at)
    if observed.recorded_at is not None:
        _require_time("recorded_at", observed.recorded_at)


def _require_same(name: str, found: str, expected: str) -> None:
    """The account counts envelopes and the rows are made of facts: both must speak of the same thing."""
    if found != expected:
        raise MalformedEvent("contradiction", f"the data's {name} is {found[:64]!r}, the envelope's {expected[:64]!r}")


def _require_limits(ids: tuple[str, ...], texts: tuple[str, ...]) -> None:
    """As at the door, which events of another producer, or of an older version, have not passed."""
    together = "".join(ids + texts)
    if len(together) <= TEXT_LENGTH and together.isprintable() and all(ids):
        return  # as nearly always, and one look at all of them is cheaper
    for value, problem in [
        *((each, id_problem(each)) for each in ids),
        *((each, text_problem(each)) for each in texts),
    ]:
        if problem:
            raise MalformedEvent("beyond_limits", f"{value[:64]!r}: {problem}")


def _require_time(name: str, moment: datetime) -> None:
    """A time that the store refuses would keep the whole batch out, and with it every event behind it."""
    problem = "found no time zone, expected an offset such as Z" if moment.tzinfo is None else time_problem(moment)
    if problem:
        raise MalformedEvent("no_instant", f"{name} {moment.isoformat()}: {problem}")


def _require_weight(made: PredictionMade) -> None:
    """An answer whose action was withheld stands for 1 / P(withheld) others: it has to have one."""
    share = made.control_share
    if not 0.0 <= share <= 1.0:
        raise MalformedEvent("contradiction", f"control_share is {share}, expected a probability")
    if share == 0.0 and not made.acted and made.intended_action != NO_ACTION:
        raise MalformedEvent("contradiction", "its action was withheld, and control_share, the chance of that, is 0")
    if 0.0 < share < LEAST_CONTROL_SHARE:
        expected = f"0, or at least {LEAST_CONTROL_SHARE:g}"
        raise MalformedEvent("beyond_limits", f"control_share is {share}, expected {expected}")
