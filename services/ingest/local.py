"""The local log read by its own machine's consumer: one partition, whose position is the event's."""

from collections.abc import Callable, Sequence
from typing import Final

from services.core.ports import EventLog
from services.core.records import DeadLetter
from services.core.transport import Lag, Portion

CONSUMER: Final = "records"
ORIGIN: Final = "event-log"


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


class LocalPassage:
    """See `services.core.transport.Passage`: the consumer of the local log has passed what is behind its position."""

    def __init__(self, *, position: Callable[[str], int]) -> None:
        self._position = position

    def passed(self, *, patience: float) -> int:  # noqa: ARG002 - nothing is on a way that could be waited for
        return self._position(CONSUMER)
