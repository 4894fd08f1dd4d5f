"""Ports of what carries events from the log into the store: what a consumer reads, and what a forwarder does."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from services.core.events import Event, LoggedEvent
from services.core.records import DeadLetter


class Portion(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer got of one partition: events that follow each other.

    `partition` names the partition and is the consumer's name in the store. `start` is where the consumer stood before,
    `position` where it stands once all of this is stored, and `last_event` the id of the event before that ("" where it
    is none). `dead_letters` are records that are no event. `expired` is how many events the log no longer has between
    `start` and the first that it does.
    """

    partition: str
    origin: str
    events: list[LoggedEvent]
    dead_letters: list[DeadLetter]
    start: int
    position: int
    last_event: str = ""
    expired: int = 0


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How many events of a partition a consumer has not stored yet."""

    topic: str
    partition: int
    events: int


class EventSource(Protocol):
    """What a consumer reads: partitions, each in its own order and with a position of its own in the store.

    The positions in the store are the truth: what is delivered begins there, after a restart, after partitions went
    from one consumer to another, and after a portion that was not kept. So a portion may come again, in this process or
    another, and nothing is left out. Threads: all methods are called from one.
    """

    def read(self, *, limit: int) -> list[Portion]:
        """About `limit` further events of the partitions that are this consumer's; none when there are none yet.

        Portions that were not `kept` before the next call come again.

        Raises:
            EventLogUnavailable: try again later; nothing is left out.
            StoreUnavailable: the position of a partition could not be looked up.
            PositionLost: the log is not the one that the position was stored for. It is to be rewound first.
        """
        ...

    def bury(self, portion: Portion, letters: Sequence[DeadLetter]) -> None:
        """Tell others what of the portion cannot become rows, before it is kept; may tell it more than once.

        Raises:
            EventLogUnavailable: it could not be told.
        """
        ...

    def kept(self, portion: Portion) -> None:
        """The portion's rows and its position are committed."""
        ...

    def positions_before(self, moment: datetime) -> dict[str, int]:
        """Of each partition, by name, the position behind which lies all that the log has taken since this moment.

        Raises `EventLogUnavailable`.
        """
        ...

    def lags(self) -> list[Lag]:
        """Of this consumer's partitions, as far as it knows without asking the store; those it knows nothing of are not
        told.

        Raises `EventLogUnavailable`.
        """
        ...

    def reached_end(self) -> bool:
        """Whether all is kept that this consumer's partitions had when this was first asked.

        Asks whoever knows; a consumer that does not know its partitions yet has not reached their ends.

        Raises:
            EventLogUnavailable: nobody could say.
            StoreUnavailable: the position of a partition could not be looked up.
        """
        ...

    def close(self) -> None: ...


class Unsent(msgspec.Struct, frozen=True, kw_only=True):
    """How many events wait for their destination, and when the oldest of them was appended (None: none waits)."""

    events: int
    oldest_at: datetime | None


class Outbox(Protocol):
    """The local log as the forwarder sees it: events, and how far they have gone.

    Positions are durable. They belong to one destination: a log that is carried to another one begins anew.
    """

    def read(self, *, after: int, limit: int) -> list[LoggedEvent]: ...

    def forwarded(self, destination: str) -> int:
        """The position up to which the destination has every event; 0 for one that has none."""
        ...

    def forward_to(self, destination: str, position: int, *, start: int | None = None) -> None:
        """Move the position. Raises `EventLogUnavailable`.

        With `start`, only if it stands there: somebody who wants events sent again may have moved it back meanwhile.
        """
        ...

    def unsent(self) -> Unsent: ...

    def prune(self, *, before: datetime, now: datetime, below: int, limit: int) -> int:
        """Remove up to `limit` events at positions below `below` that were appended before this moment; how many went.

        `below` is a position that consumers have stored; the event there stays, so that a reader can tell whether this
        is the log that its position was stored for. An event from after `now` was appended by a clock that was ahead,
        and goes with those behind it. An id that is removed can be appended again: the store has it, and
        ignores the second.
        """
        ...

    def close(self) -> None: ...


class EventSink(Protocol):
    """Where the forwarder carries events."""

    def destination(self) -> str:
        """The name of what is there now, under which the outbox keeps its position. Raises `EventLogUnavailable`."""
        ...

    def deliver(self, events: Sequence[Event]) -> None:
        """Return once each event will survive there: as an event, or as a dead letter if it is never accepted as one.

        Raises:
            EventLogUnavailable: some may have arrived and some not; deliver them all again.
        """
        ...

    def close(self) -> None: ...


class Passage(Protocol):
    """How far the events of a local log have come."""

    def passed(self, *, patience: float) -> int:
        """The position up to which the consumers have passed every event of the local log.

        Waits up to `patience` seconds for them to pass what had left the log when this was called, and returns 0 when
        they have not. Raises `EventLogUnavailable` and `StoreUnavailable`.
        """
        ...

    def close(self) -> None: ...
