"""Which outcome of a prediction counts, by what the log knows. docs/decisions/receipts.md says why it is so."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from services.core.clock import EPOCH
from services.core.errors import MalformedEvent
from services.core.events import LoggedEvent, fact_of
from services.core.outcomes import OutcomeObserved

TICK: Final = timedelta(microseconds=1)
"""The smallest step between two times."""
COARSE: Final = timedelta(seconds=1)
"""A clock that has gone back by less stands still or is read in steps; one that was set back by more is believed."""


class OutcomeResult(StrEnum):
    """What became of an outcome, as far as this machine's log knows."""

    ACCEPTED = "accepted"
    """It is recorded, and the log has no other outcome of this prediction."""
    CORRECTED = "corrected"
    """It is recorded, and counts instead of one that was observed before, or at the same moment and sent before."""
    KEPT_NEWER = "kept_newer"
    """It is recorded, and one that was observed later goes on counting."""
    DUPLICATE = "duplicate"
    """The same outcome is recorded already, and nothing has changed."""
    REFUSED = "refused"
    """It is wrong, or could not be recorded for the moment."""


@dataclass(frozen=True, slots=True)
class Counting:
    """The outcome that counts, and the id of its event."""

    event_id: str
    outcome: OutcomeObserved

    @classmethod
    def among(cls, latest: Iterable[LoggedEvent]) -> Self | None:
        """As the record store chooses among those of the same moment; None where there is none."""
        facts = ((each.event.id, fact) for each in latest if (fact := _readable(each)) is not None)
        ranked = sorted(facts, key=lambda each: (_recorded_at(each[1]), each[0]))
        return cls(*ranked[-1]) if ranked else None

    def says(self, observed: OutcomeObserved) -> bool:
        return (self.outcome.value, self.outcome.observed_at) == (observed.value, observed.observed_at)


class Moments:
    """When outcomes are recorded: each later than the one before it, also by a clock that is read in steps."""

    def __init__(self) -> None:
        self._last = EPOCH

    def next(self, *, now: datetime, after: Counting | None) -> datetime:
        moment = self._last + TICK if now <= self._last < now + COARSE else now
        if after is not None:
            moment = max(moment, _recorded_at(after.outcome) + TICK)
        self._last = moment
        return moment


def goes_on_counting(rival: Counting, recorded: OutcomeObserved, *, was_there: bool) -> bool:
    """Whether `rival` would, although it is of the same moment and this delivery of something else is the later one.

    Args:
        was_there: whether the event of `recorded` had been appended before.
    """
    if rival.outcome.observed_at != recorded.observed_at or rival.says(recorded):
        return False
    return was_there or _recorded_at(rival.outcome) >= _recorded_at(recorded)


def result_beside(rival: Counting | None, recorded: OutcomeObserved, *, was_there: bool) -> OutcomeResult:
    """What became of an outcome that is in the log, where `rival` counts without it."""
    if was_there or (rival is not None and rival.says(recorded)):
        return OutcomeResult.DUPLICATE
    if rival is None:
        return OutcomeResult.ACCEPTED
    earlier = rival.outcome.observed_at <= recorded.observed_at
    return OutcomeResult.CORRECTED if earlier else OutcomeResult.KEPT_NEWER


def _readable(logged: LoggedEvent) -> OutcomeObserved | None:
    """None for an event that another version has put there and this one cannot read."""
    try:
        fact = fact_of(logged.event)
    except MalformedEvent:
        return None
    return fact if isinstance(fact, OutcomeObserved) else None


def _recorded_at(outcome: OutcomeObserved) -> datetime:
    return outcome.recorded_at or EPOCH
