"""How long windows and waits are, in a world that may run faster than the machine's clock."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

SCRAPES_PER_WINDOW: Final = 4
"""A rate needs two samples; four leave room for one that was lost and one that came late."""

SCRAPES_PER_WAIT: Final = 2
"""A wait shorter than this would end with the sample that began it."""

SHORTEST_AGE: Final = timedelta(seconds=30)
"""Processes are no faster in a fast world: a judgement still takes seconds, and its next may wait for a processor."""

RESTART: Final = timedelta(seconds=15)
"""What a process may take to begin anew, in any world."""

FLOW: Final = timedelta(minutes=1)
"""Counters of two processes, scraped at different moments, can be compared over no less than this."""

_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """`speed` is simulated seconds per real second; `scrape` is the time between two scrapes, in real time."""

    speed: float = 1.0
    scrape: timedelta = timedelta(seconds=15)

    def window(self, length: timedelta, *, least: timedelta = timedelta(0)) -> str:
        """A range of a rate, in no world shorter than `least`."""
        return duration(self._range(length, least))

    def offset(self, length: timedelta, *, window: timedelta, least: timedelta = timedelta(0)) -> str:
        """How far back something is compared with the same of `window`, which never reaches back so far itself."""
        return duration(max(length / self.speed, 2 * self._range(window, least)))

    def wait(self, length: timedelta, *, of_process: bool = False) -> str:
        """An alert's `for`; no wait at all stays none."""
        if not length:
            return duration(length)
        least = RESTART if of_process else timedelta(0)
        return duration(max(length / self.speed, SCRAPES_PER_WAIT * self.scrape, least))

    def _range(self, length: timedelta, least: timedelta) -> timedelta:
        return max(length / self.speed, SCRAPES_PER_WINDOW * self.scrape, least)

    def age(self, length: timedelta) -> str:
        """An age at which a process counts as silent, in seconds."""
        return f"{max(length / self.speed, SHORTEST_AGE).total_seconds():g}"


def duration(length: timedelta) -> str:
    """In Prometheus's words, such as 90s or 3d; exact to the millisecond."""
    milliseconds = round(length / timedelta(milliseconds=1))
    if milliseconds == 0:
        return "0s"
    unit, size = next((unit, size) for unit, size in _UNITS if milliseconds % size == 0)
    return f"{milliseconds // size}{unit}"
