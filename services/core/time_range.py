"""Times that are known only roughly, because somebody wrote down a day, or an hour that the clock showed twice."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A time that lies somewhere in [earliest, latest]: both aware UTC, both included."""

    earliest: datetime
    latest: datetime

    @classmethod
    def exactly(cls, moment: datetime) -> Self:
        return cls(moment, moment)

    @property
    def is_exact(self) -> bool:
        return self.earliest == self.latest

    def at_least_after(self, other: "TimeRange") -> timedelta:
        """How long after `other` this is at the least: what no reading of the two can make shorter."""
        return self.earliest - other.latest

    def at_most_after(self, other: "TimeRange") -> timedelta:
        """How long after `other` this is at the most."""
        return self.latest - other.earliest
