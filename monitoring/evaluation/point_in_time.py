"""What was known at each decision of a historic file, and what only afterwards. Pure.

A file is made after the fact, so it holds the values of today's tables: a counter that went on counting after the
decision, or a field that was filled in with the outcome. A model trained on those is brilliant until it serves.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from services.core.features import Value
from services.core.spec import Feature
from services.serving.availability import CLOCK_SKEW

TIMES_NEEDED: Final = 30
"""With fewer times nothing is called in order: thirty in order leave room for one in ten that is not (rule of three).
One that is out of order is a fact at any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoricRow:
    """One case of a file, in the model's words.

    `values` lack what the file leaves blank; a text where a number belongs is NaN, which no feature takes.
    `outcome` is one of the task's classes. Times are aware UTC; None and absent mean that the file does not say.
    """

    values: Mapping[str, Value]
    observed_at: Mapping[str, datetime]
    outcome: str | None
    decided_at: datetime | None = None
    started_at: datetime | None = None
    outcome_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A feature's values against the decisions and outcomes of their rows.

    Args:
        n: values of which the file tells, by their own time or by the entity's start, when they could be known.
        late: of those n, the values that could be known only after the decision.
        lead: how long after it, in the median of the late ones; None without any.
        too_early: of the late ones, those asked for before the entity's start plus the feature's `known_after`.
        dated: values whose own time and whose decision's the file tells.
        stale: of the dated ones, those older than `max_age` at the decision.
        against_outcomes: values whose own time and whose outcome's the file tells.
        after_outcome: of those, the values observed when the outcome was known or later.
    """

    n: int
    late: int
    lead: timedelta | None
    too_early: int
    dated: int
    stale: int
    against_outcomes: int
    after_outcome: int


def timing(feature: Feature, rows: Sequence[HistoricRow]) -> Timing:
    """Compare times, of the rows that have a value of the feature."""
    moments = [_moments(feature, row) for row in rows if feature.name in row.values]
    leads = [each.lead for each in moments if each.lead is not None]
    late = [lead for lead in leads if lead > timedelta(0)]
    ages = [each.age for each in moments if each.age is not None]
    before_outcome = [each.before_outcome for each in moments if each.before_outcome is not None]
    return Timing(
        n=len(leads),
        late=len(late),
        lead=_median(late),
        too_early=sum(each.too_early for each in moments),
        dated=len(ages),
        stale=0 if feature.max_age is None else sum(age > feature.max_age for age in ages),
        against_outcomes=len(before_outcome),
        after_outcome=before_outcome.count(False),
    )


def decided_after_outcome(rows: Iterable[HistoricRow]) -> tuple[int, int]:
    """(rows whose decision and outcome have a time, those of them whose outcome was known before the decision)."""
    both = [
        row.outcome_at <= row.decided_at for row in rows if row.outcome_at is not None and row.decided_at is not None
    ]
    return len(both), sum(both)


def _median(leads: Sequence[timedelta]) -> timedelta | None:
    if not leads:
        return None
    return timedelta(seconds=statistics.median(each.total_seconds() for each in leads))


class _Moments(NamedTuple):
    """`lead` is how long after the decision a value could be known; 0 for before it."""

    lead: timedelta | None
    too_early: bool
    age: timedelta | None
    before_outcome: bool | None


def _moments(feature: Feature, row: HistoricRow) -> _Moments:
    observed_at, decided_at = row.observed_at.get(feature.name), row.decided_at
    age = None if observed_at is None or decided_at is None else decided_at - observed_at
    wait = _wait(feature, row)
    # Serving forgives clocks a little, and so must this, or hosts that disagree by a second would look like a leak.
    observed_late = None if age is None else (-age if -age > CLOCK_SKEW else timedelta(0))
    known = [each for each in (observed_late, wait) if each is not None]
    return _Moments(
        lead=max(known, default=None),
        too_early=wait is not None and wait > timedelta(0),
        age=age,
        before_outcome=None if observed_at is None or row.outcome_at is None else observed_at < row.outcome_at,
    )


def _wait(feature: Feature, row: HistoricRow) -> timedelta | None:
    """How long after the decision the value begins to mean anything; None when the file or the spec does not say."""
    if feature.known_after is None or row.started_at is None or row.decided_at is None:
        return None
    return max(row.started_at + feature.known_after - row.decided_at, timedelta(0))
