"""Totals of the record store, counted as seldom as they take long."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from services.core.ports import RecordCounts

SHARE: Final = 0.02
"""Of the time that may be spent on counting: a count that takes a second is a minute old at most."""


@dataclass(slots=True)
class Totals:
    """What `counts` tells, which is exact and takes a look at every row; from any thread.

    A count is renewed once it is older than what it took over `SHARE`. One thread renews it; others wait for that one.
    """

    counts: Callable[[str], RecordCounts]
    monotonic: Callable[[], float] = time.monotonic
    _known: dict[str, RecordCounts] = field(default_factory=dict)
    _renew_at: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def of(self, model: str) -> RecordCounts:
        """Raises `StoreUnavailable`."""
        with self._lock:
            if model not in self._known or self.monotonic() >= self._renew_at[model]:
                self._count(model)
            return self._known[model]

    def _count(self, model: str) -> None:
        began = self.monotonic()
        self._known[model] = self.counts(model)
        ended = self.monotonic()
        self._renew_at[model] = ended + (ended - began) / SHARE
