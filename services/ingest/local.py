"""The local log read by its own machine's consumer: one partition, whose position is the event's."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from services.core.clock import EPOCH, Now, wall_clock
from services.core.ports import EventLog
from services.core.records import DeadLetter
from services.core.transport import Lag, Outbox, Portion

CONSUMER: Final = "records"
ORIGIN: Final = "event-log"
NOTED_EVERY: Final = timedelta(minutes=1)
"""The consumer's position is written into the log's file so often: it is a synced write, and what goes is days old."""


class LocalSource:
    """See `services.core.transport.EventSource`. `position` looks a partition's name up in the store."""

    def __init__(self, log: EventLog, *, position: Callable[[str], int]) -> None:
        self._log = log
        self._position = position

    def read(self, *, limit: int) -> list[Portion]:
        events = self._log.read(after=self._position(CONSUMER), limit=limit)
        if not events:
            return []
        last = events[-1].position
        return [Portion(partition=CONSUMER, origin=ORIGIN, events=events, dead_letters=[], position=last)]

    def bury(self, portion: Portion, letters: Sequence[DeadLetter]) -> None:
        """The store's table is all there is."""

    def kept(self, portion: Portion) -> None:
        """The next read asks the store."""

    def lags(self) -> list[Lag]:
        return [Lag(topic=ORIGIN, partition=0, events=max(0, self._log.end() - self._position(CONSUMER)))]

    def close(self) -> None:
        self._log.close()


class LocalRetention:
    """Keeps the log from growing for ever where no forwarder does: what is stored, and old enough, goes.

    Args:
        keep: how long an event stays, by the machine's clock, so that a repeated request finds its answer.
        limit: how many go at once at most; as many as a round reads, so that the log shrinks as fast as it grows.
    """

    def __init__(
        self, outbox: Outbox, *, position: Callable[[str], int], keep: timedelta, limit: int, now: Now = wall_clock
    ) -> None:
        self._outbox = outbox
        self._position = position
        self._keep = keep
        self._limit = limit
        self._now = now
        self._noted_at = EPOCH

    def prune(self) -> int:
        """How many events went. Raises `EventLogUnavailable`, and `StoreUnavailable`."""
        now = self._now()
        if now - self._noted_at >= NOTED_EVERY:
            self._outbox.forward_to(CONSUMER, self._position(CONSUMER))
            self._noted_at = now
        return self._outbox.prune(before=now - self._keep, limit=self._limit)

    def close(self) -> None:
        self._outbox.close()


class LocalPassage:
    """See `services.core.transport.Passage`: the consumer of the local log has passed what is behind its position."""

    def __init__(self, *, position: Callable[[str], int]) -> None:
        self._position = position

    def passed(self, *, patience: float) -> int:  # noqa: ARG002 - nothing is on a way that could be waited for
        return self._position(CONSUMER)
