"""The local log read by its own machine's consumer: one partition, whose position is the event's."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from services.core.errors import LostPosition, PositionLost
from services.core.letters import findable
from services.core.ports import EventLog
from services.core.records import DeadLetter, Position
from services.core.transport import Lag, Portion

TOPIC: Final = "event-log"


def partition_of(log: EventLog) -> str:
    """The name of the log's one partition, under which the store has the consumer's position."""
    return f"{TOPIC}/{log.identity()}"


def stored_up_to(log: EventLog, committed: Position) -> int:
    """The position up to which this log is stored; 0 where the position may stand for what an earlier copy lacks, and
    where nothing is known."""
    at = _at(log, committed)
    return committed.offset if at is not None and at.is_the_last_stored else 0


class _At(NamedTuple):
    """The log's first event from the committed position on, and whether that is the one that was stored last."""

    position: int
    is_the_last_stored: bool


def _at(log: EventLog, committed: Position) -> _At | None:
    """None where the log has no event there any more, or not yet."""
    found = log.ids(after=max(0, committed.offset - 1), limit=1)
    if not found:
        return None
    position, identity = found[0]
    is_same = position == committed.offset and committed.last_event in ("", findable(identity))
    return _At(position, is_same)


class LastLog(Protocol):
    """Which log was read last, whatever process did."""

    def exchange(self, partition: str) -> str:
        """Remember this one; returns the one before, "" for none. Raises `EventLogUnavailable`."""
        ...


class LocalSource:
    """See `services.core.transport.EventSource`.

    Args:
        committed: looks a partition's position up in the store.
        last_log: remembers which log was read last, so that another one in its place is noticed.
    """

    def __init__(self, log: EventLog, *, committed: Callable[[str], Position], last_log: LastLog) -> None:
        self._log = log
        self._committed = committed
        self._last_log = last_log
        self._identity = ""
        self._known: dict[str, int] = {}
        """The position of each log as the store last told, or took it."""
        self._ends: dict[str, int] = {}
        """Of each log as of the first time that somebody asked whether it is reached."""

    def read(self, *, limit: int) -> list[Portion]:
        partition = partition_of(self._log)
        self._note_log(partition)
        committed = self._committed(partition)
        self._known[partition] = committed.offset
        removed = self._is_removed(partition, committed)
        events = self._log.read(after=committed.offset, limit=limit)
        if not events:
            return []
        last = events[-1]
        return [
            Portion(
                partition=partition,
                origin=partition,
                events=events,
                dead_letters=[],
                start=committed.offset,
                position=last.position,
                last_event=last.event.id,
                # Positions have holes where an event came twice; none of them was an event.
                expired=events[0].position - committed.offset - 1 if removed else 0,
            )
        ]

    def bury(self, portion: Portion, letters: Sequence[DeadLetter]) -> None:
        """The store's table is all there is."""

    def kept(self, portion: Portion) -> None:
        self._known[portion.partition] = portion.position

    def positions_before(self, moment: datetime) -> dict[str, int]:
        return {partition_of(self._log): self._log.position_before(moment)}

    def lags(self) -> list[Lag]:
        """Without asking the store, so that they grow while it is away."""
        position = self._known.get(partition_of(self._log))
        return [] if position is None else [Lag(topic=TOPIC, partition=0, events=max(0, self._log.end() - position))]

    def reached_end(self) -> bool:
        partition = partition_of(self._log)
        if partition not in self._ends:
            self._ends[partition] = self._log.end()
        return self._committed(partition).offset >= self._ends[partition]

    def close(self) -> None:
        self._log.close()

    def _note_log(self, partition: str) -> None:
        """Raises `PositionLost` once for each log that has taken another's place."""
        if partition == self._identity:
            return
        before = self._last_log.exchange(partition)
        self._identity = partition
        if before not in ("", partition):
            raise PositionLost(
                f"the event log is not the one that was read before ({partition}, was {before}); it is read from its "
                "start. What the earlier one held and was not stored is lost unless that file is put back",
                partition=partition,
                reason=LostPosition.LOG_REPLACED,
            )

    def _is_removed(self, partition: str, committed: Position) -> bool:
        """Whether the log has removed its events up to the committed one, and perhaps some behind it.

        Raises `PositionLost` where it is an earlier copy of the one that was read.
        """
        at = _at(self._log, committed)
        if not committed.offset or (at is not None and at.position > committed.offset):
            return True
        if at is not None and at.is_the_last_stored:
            return False
        found = f"has another event at {committed.offset}" if at else f"ends at {self._log.end()}"
        raise PositionLost(
            f"{partition} was stored up to position {committed.offset}, and the log {found}: it is an earlier copy. It "
            "is read again from its start; what was appended behind the copy and not stored is lost",
            partition=partition,
            reason=LostPosition.LOG_CUT,
            restart_at=self._start(),
        )

    def _start(self) -> int:
        """The position before the first event that the log still has."""
        first = self._log.ids(after=0, limit=1)
        return first[0][0] - 1 if first else 0


class LocalPassage:
    """See `services.core.transport.Passage`: the consumer of the local log has passed what is behind its position."""

    def __init__(self, *, stored: Callable[[], int]) -> None:
        self._stored = stored

    def passed(self, *, patience: float) -> int:  # noqa: ARG002 - nothing is on a way that could be waited for
        return self._stored()

    def close(self) -> None:
        """Nothing is open."""
