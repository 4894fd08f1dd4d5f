"""What day it is by the records: a clock alone is not believed where something is removed for good. Pure.

A clock that is wrong stamps what is recorded meanwhile, so the newest record is no better witness than the clock. What
a wrong clock cannot make up in a moment are days: time has come to a day once predictions were made on `SUPPORT` days
from it on, and it came there without a pause that is longer than `LONGEST_PAUSE`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from services.core.clock import DAY

SUPPORT: Final = 3
"""Days with predictions. Who keeps for a year may keep two days longer, and most clocks are mended within them."""

LONGEST_PAUSE: Final = timedelta(days=35)
"""Between two predictions of any model: who asks once a month pauses for 31 days, and a holiday may come on top."""


@dataclass(frozen=True, slots=True)
class Jump:
    """From the last day that is believed to the first that is not."""

    after: datetime
    to: datetime

    def __str__(self) -> str:
        days = (self.to - self.after).days
        between = f"from {self.after:%Y-%m-%d} to {self.to:%Y-%m-%d}"
        return f"time jumped by {days} days, {between}, and no prediction was made on the way"


@dataclass(frozen=True, slots=True)
class Observed:
    """`day` is the latest that time has surely come to, None while too few days have been seen without a long pause."""

    day: datetime | None
    jump: Jump | None = None


def observed(days: Sequence[datetime], *, known: datetime | None, now: datetime, keep: timedelta) -> Observed:
    """What the days on which predictions were made say, oldest first and none after `now`.

    Args:
        known: a day that time is known to have come to: as of which something was removed before, or which a person
            has confirmed. Days before it are not looked at; what is read again brings back old ones.
        keep: for how long records are kept. Where none is older there is nothing to remove, so nothing stands still.
    """
    everything = _runs(days if known is None else [known, *(day for day in days if day > known)])
    runs = everything if known is not None else _from_the_longest(everything)
    if not runs:
        return Observed(None, _newest_jump(everything, now) if days and now - days[0] > keep else None)
    believed, later = runs[0], [run[0] for run in runs[1:]]
    reached = believed[-SUPPORT] if len(believed) >= SUPPORT else known
    beyond = next(iter(later), now)
    jumped = beyond - believed[-1] > LONGEST_PAUSE
    return Observed(reached, Jump(believed[-1], beyond) if jumped else None)


def borne_out(days: Sequence[datetime]) -> datetime:
    """The latest of these days that time has come to, for what cannot wait for two days more: outcomes that mature.

    A day that follows the one before it is believed at once: a clock that jumps so little makes outcomes look older by
    a day at most. After a longer pause it takes `SUPPORT` days. The first of the days is believed.
    """
    newest = max(0, len(days) - SUPPORT)
    while newest + 1 < len(days) and days[newest + 1] - days[newest] <= DAY:
        newest += 1
    return days[newest]


def _from_the_longest(runs: list[list[datetime]]) -> list[list[datetime]]:
    """Without what lies before it: a pause of long ago, or a moment of a clock that began in 1970."""
    longest = max(runs, key=len, default=[])
    return runs[runs.index(longest) :] if len(longest) >= SUPPORT else []


def _newest_jump(runs: list[list[datetime]], now: datetime) -> Jump | None:
    """Who asks on one day a quarter never has `SUPPORT` days without a pause: a person has to say what day it is."""
    if now - runs[-1][-1] > LONGEST_PAUSE:
        return Jump(runs[-1][-1], now)
    return Jump(runs[-2][-1], runs[-1][0]) if len(runs) > 1 else None


def _runs(days: Sequence[datetime]) -> list[list[datetime]]:
    """The days parted where the pause between two is too long."""
    if not days:
        return []
    runs = [[days[0]]]
    for before, day in pairwise(days):
        if day - before > LONGEST_PAUSE:
            runs.append([])
        runs[-1].append(day)
    return runs
