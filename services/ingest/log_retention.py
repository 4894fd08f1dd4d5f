"""Keeps the local log from growing for ever: what consumers have stored, and what is old enough, goes."""

from collections.abc import Callable
from datetime import timedelta

from services.core.transport import Outbox
from services.ingest.steady_clock import SteadyClock


class LogRetention:
    """Removes a little whenever it is called.

    Args:
        stored: up to which position of the log consumers have stored everything; asked for before each removal.
        keep: how long an event stays, by the machine's clock, so that a repeated request finds its answer.
        limit: how many go at once at most; as many as a round reads, so that the log shrinks as fast as it grows.
    """

    def __init__(
        self, outbox: Outbox, *, stored: Callable[[], int], keep: timedelta, limit: int, clock: SteadyClock
    ) -> None:
        self._outbox = outbox
        self._stored = stored
        self._keep = keep
        self._limit = limit
        self._clock = clock

    def prune(self) -> int:
        """How many events went. Raises `EventLogUnavailable`, and `StoreUnavailable`."""
        now = self._clock.now()
        if now is None:
            return 0
        return self._outbox.prune(before=now - self._keep, now=now, below=self._stored(), limit=self._limit)

    def close(self) -> None:
        self._outbox.close()
