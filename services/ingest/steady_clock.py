"""The machine's clock, as far as it can be trusted with removing things."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from services.core.clock import Now, wall_clock

AGREES_FOR: Final = timedelta(hours=1)
"""Nothing is removed by a clock that was set a moment ago. What is to be removed is days old and can wait."""

TOLERANCE: Final = timedelta(minutes=1)
"""Beyond what is corrected step by step, and below what would matter for anything that is kept for days."""

logger = logging.getLogger(__name__)


class SteadyClock:
    """Tells the time, unless the clock has jumped in the last hour beside the time that really passed."""

    def __init__(self, *, now: Now = wall_clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._monotonic = monotonic
        self._since, self._at = now(), monotonic()

    def now(self) -> datetime | None:
        """The time, or None until the clock has been steady for an hour."""
        now, passed = self._now(), timedelta(seconds=self._monotonic() - self._at)
        jumped = now - self._since - passed
        if abs(jumped) > TOLERANCE:
            logger.warning("the clock jumped by %s to %s; nothing is removed by it for %s", jumped, now, AGREES_FOR)
            self._since, self._at = now, self._monotonic()
            return None
        return now if passed >= AGREES_FOR else None
