"""What was known at each decision of a historic file, and what only afterwards. Pure.

A file is made after the fact, so it holds the values of today's tables: a counter that went on counting after the
decision, or a field that was filled in with the outcome. A model trained on those is brilliant until it serves.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from services.core.features import Value
from services.core.spec import Feature
from services.core.time_range import TimeRange
from services.serving.availability import CLOCK_SKEW

TIMES_NEEDED: Final = 30
"""With fewer times nothing is called in order: thirty in order leave room for one in ten that is not (rule of three).
One that is out of order is a fact at any number."""


ROUGH: Final = timedelta(hours=2)
"""Days without hours are rougher than this. Minutes are not, nor is the hour that comes twice once a year."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoricRow:
    """One case of a file, in the model's words.

    `values` lack what the file leaves blank; a text where a number belongs is NaN, which no feature takes.
    `outcome` is one of the task's classes. Times are known roughly; None and absent mean that the file does not say.
    """

    values: Mapping[str, Value]
    observed_at: Mapping[str, TimeRange]
    outcome: str | None
    decided_at: TimeRange | None = None
    started_at: TimeRange | None = None
    outcome_at: TimeRange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Which columns of the file a feature is read from that others are read from too.

    Two times in one column are the same moment, however roughly it is known.
    """

    outcome: bool = False
    decided_at: bool = False
    outcome_at: bool = False


NOTHING: Final = Shared()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A feature's values against the decisions and outcomes of their rows.

    Of times that are known roughly, the kindest reading counts: what is late, stale or after the outcome is so however
    one reads them.

    Args:
        n: values of which the file tells, by their own time or by the entity's start, when they could be known.
        late: of those n, the values that could be known only after the decision.
        lead: how long after it, in the median of the late ones; None without any.
        too_early: of the late ones, those asked for before the entity's start plus the feature's `known_after`.
        unsure: of the dated ones, those that are not late by the kindest reading of their times, and late by hours by
            another.
        dated: values whose own time and whose decision's the file tells.
        stale: of the dated ones, those older than `max_age` at the decision.
        against_outcomes: values whose own time and whose outcome's the file tells.
        after_outcome: of those, the values observed when the outcome was known or later.
    """

    n: int
    late: int
    lead: timedelta | None
    too_early: int
    unsure: int
    dated: int
    stale: int
    against_outcomes: int
    after_outcome: int


def timing(feature: Feature, rows: Sequence[HistoricRow], shared: Shared = NOTHING) -> Timing:
    """Compare times, of the rows that have a value of the feature."""
    moments = [_moments(feature, row, shared) for row in rows if feature.name in row.values]
    leads = [each.lead for each in moments if each.lead is not None]
    late = [lead for lead in leads if lead > timedelta(0)]
    ages = [each.age for each in moments if each.age is not None]
    before_outcome = [each.before_outcome for each in moments if each.before_outcome is not None]
    return Timing(
        n=len(leads),
        late=len(late),
        lead=_median(late),
        too_early=sum(each.too_early for each in moments),
        unsure=sum(each.unsure for each in moments),
        dated=len(ages),
        stale=0 if feature.max_age is None else sum(age > feature.max_age for age in ages),
        against_outcomes=len(before_outcome),
        after_outcome=before_outcome.count(False),
    )


def decided_after_outcome(rows: Iterable[HistoricRow]) -> tuple[int, int]:
    """(rows whose decision and outcome have a time, those of them whose outcome was known before the decision)."""
    both = [
        row.outcome_at.at_most_after(row.decided_at) <= _NO_TIME
        for row in rows
        if row.outcome_at is not None and row.decided_at is not None
    ]
    return len(both), sum(both)


def before_the_row_above(rows: Iterable[HistoricRow]) -> tuple[int, int]:
    """(rows whose decision has a time, those of them that were surely decided before one further up in the file)."""
    decided, before, latest = 0, 0, None
    for row in rows:
        if row.decided_at is not None:
            decided += 1
            before += latest is not None and row.decided_at.latest < latest
            latest = row.decided_at.earliest if latest is None else max(latest, row.decided_at.earliest)
    return decided, before


def decided_before_start(rows: Iterable[HistoricRow]) -> tuple[int, int]:
    """(rows whose entity's start and decision have a time, those of them that were surely decided before the start)."""
    both = [
        row.decided_at.at_most_after(row.started_at) < _NO_TIME
        for row in rows
        if row.started_at is not None and row.decided_at is not None
    ]
    return len(both), sum(both)


_NO_TIME: Final = timedelta(0)


def _median(leads: Sequence[timedelta]) -> timedelta | None:
    if not leads:
        return None
    return timedelta(seconds=statistics.median(each.total_seconds() for each in leads))


class _Moments(NamedTuple):
    """`lead` is how long after the decision a value could be known; 0 for before it."""

    lead: timedelta | None
    too_early: bool
    unsure: bool
    age: timedelta | None
    before_outcome: bool | None


def _moments(feature: Feature, row: HistoricRow, shared: Shared) -> _Moments:
    observed_at, decided_at = row.observed_at.get(feature.name), row.decided_at
    wait, lead, age, unsure = _wait(feature, row), None, None, False
    if observed_at is not None and decided_at is not None:
        age = _NO_TIME if shared.decided_at else decided_at.at_least_after(observed_at)
        lead = _NO_TIME if shared.decided_at else _lead(observed_at.at_least_after(decided_at))
        unsure = not (shared.decided_at or lead) and observed_at.at_most_after(decided_at) > ROUGH
    return _Moments(
        lead=max((each for each in (lead, wait) if each is not None), default=None),
        too_early=wait is not None and wait > _NO_TIME,
        unsure=unsure,
        age=age,
        before_outcome=_before_outcome(observed_at, row, shared),
    )


def _before_outcome(observed_at: TimeRange | None, row: HistoricRow, shared: Shared) -> bool | None:
    if observed_at is None or row.outcome_at is None:
        return None
    return not shared.outcome_at and row.outcome_at.at_most_after(observed_at) > _NO_TIME


def _lead(after: timedelta) -> timedelta:
    """Serving forgives clocks a little, and so must this, or hosts that disagree by a second would look like a leak."""
    return after if after > CLOCK_SKEW else _NO_TIME


def _wait(feature: Feature, row: HistoricRow) -> timedelta | None:
    """How long after the decision the value begins to mean anything; None when the file or the spec does not say."""
    if feature.known_after is None or row.started_at is None or row.decided_at is None:
        return None
    return max(feature.known_after - row.decided_at.at_most_after(row.started_at), _NO_TIME)
