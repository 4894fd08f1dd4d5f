"""A portion into the store, whatever its events hold: rows that the store refuses become dead letters.

1. All of it is committed together with the position, which is what nearly always happens.
2. Where the store refuses something of it, the portion is halved, and the halves again, until each event that is
   refused stands alone: one among two thousand costs some twenty transactions, and k of them at most 2k log n.
   The parts leave the position where it was. Whoever dies in between reads the portion again, and the store ignores
   what it has.
3. The refused are told as dead letters, which every store takes, and committed together with the position.

A store that fails for a reason nobody knows (`StoreFailed`) may be away, or may choke on one event; waiting for it
would then hold up the line for ever, and burying what it cannot take for the moment would bury good events. Its
neighbours tell which it is: an event is buried only when it failed alone, others of its type went in, and it failed
once more behind them; or when it has failed alone for ten minutes while others of any type went in. While nothing
goes in, it is an outage.

Taking a portion apart has an end in time, too: a consumer that is away for long loses its partitions. Then a smaller
portion is read (see `consume`), in which fewer events can be refused.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from services.core.errors import ContentRefused, MalformedEvent, StoreFailed
from services.core.events import OUTCOME_OBSERVED, PREDICTION_MADE, Event, LoggedEvent
from services.core.letters import keepable
from services.core.ports import Records
from services.core.records import Batch, DeadLetter, Stored
from services.core.transport import Portion
from services.ingest.apply import apply, dead_letter

REFUSED: Final = "refused_by_store"
SUSPECTS: Final = 8
"""Events that fail alone before any other went in: beyond so many it is an outage, and is not tried on every event."""

APART_SECONDS: Final = 20.0
"""Below the time that a group of consumers waits for a busy member."""
SUSPECT_SECONDS: Final = 600.0
"""After so long, an event that fails alone is not waited for any more, if others go in: it can be tried again."""

Bury = Callable[[Portion, Sequence[DeadLetter]], None]

logger = logging.getLogger(__name__)


class Kept(NamedTuple):
    stored: Stored
    batch: Batch


@dataclass
class Evidence:
    """What a consumer knows from one portion to the next about events that fail, and about others that go in.

    `alive` is called between two steps of long work, so that nobody takes it for a process that hangs.
    """

    alive: Callable[[], None] = lambda: None
    monotonic: Callable[[], float] = time.monotonic
    _failing_since: dict[str, float] = field(default_factory=dict)
    """By the id of an event that failed alone: since when, the store's other failures before that included."""
    _taken_at: dict[str, float] = field(default_factory=dict)
    """By type: when one went in last."""

    def took(self, batch: Batch) -> None:
        at = self.monotonic()
        if batch.predictions:
            self._taken_at[PREDICTION_MADE] = at
        if batch.outcomes:
            self._taken_at[OUTCOME_OBSERVED] = at

    def failed_alone(self, event: Event, *, since: float) -> None:
        self._failing_since.setdefault(event.id, since)

    def speaks_against(self, event: Event) -> bool:
        """Whether others went in while this one failed, so that it is not an outage."""
        since = self._failing_since[event.id]
        if event.type in self._taken_at and self._taken_at[event.type] >= since:
            return True
        return self.monotonic() - since >= SUSPECT_SECONDS and self.took_some_since(since)

    def took_some_since(self, moment: float) -> bool:
        return any(at >= moment for at in self._taken_at.values())

    def settled(self, events: Sequence[LoggedEvent]) -> None:
        """They went in, or were buried."""
        if self._failing_since:
            for logged in events:
                self._failing_since.pop(logged.event.id, None)


def keep(portion: Portion, *, store: Records, bury: Bury, now: datetime, evidence: Evidence) -> Kept:
    """Commit the portion, tell its dead letters by `EventSource.bury`, and say what became of it.

    Raises `StoreUnavailable`, `EventLogUnavailable` and `PositionLost`: the position has not moved.
    """
    batch = apply(portion.events, origin=portion.origin, now=now)
    batch.dead_letters.extend(map(keepable, portion.dead_letters))
    bury(portion, batch.dead_letters)
    try:
        kept = Kept(_passed(store, portion, batch), batch)
        evidence.took(batch)
    except (ContentRefused, StoreFailed):
        kept = _in_parts(portion, batch, store=store, bury=bury, now=now, evidence=evidence)
    evidence.settled(portion.events)
    return kept


def _in_parts(portion: Portion, batch: Batch, *, store: Records, bury: Bury, now: datetime, evidence: Evidence) -> Kept:
    parts = _Parts(store, portion, now=now, evidence=evidence)
    refused = parts.refused()
    if refused:
        logger.warning(
            "%s: the store refuses %d of %d events; `bellwether dead-letters list --reason %s` says why",
            portion.partition,
            len(refused),
            len(portion.events),
            REFUSED,
        )
        bury(portion, refused)
    letters = batch.dead_letters + refused
    last = _passed(store, portion, Batch([], [], letters))
    stored = Stored(parts.stored, parts.duplicates, last.dead_lettered)
    return Kept(stored, Batch(batch.predictions, batch.outcomes, letters))


def _passed(store: Records, portion: Portion, batch: Batch) -> Stored:
    """Commit the batch together with the position behind the portion."""
    return store.commit(
        batch,
        consumer=portion.partition,
        start=portion.start,
        position=portion.position,
        last_event=portion.last_event,
    )


class TakesTooLong(StoreFailed):
    """A portion could not be taken apart in time."""


class _Suspect(NamedTuple):
    """An event that the store failed on while it was alone, for no reason that is known."""

    event: LoggedEvent
    error: StoreFailed


class _Parts:
    """A portion's rows, committed in parts. `stored` and `duplicates` count what went in."""

    def __init__(self, store: Records, portion: Portion, *, now: datetime, evidence: Evidence) -> None:
        self._store = store
        self._portion = portion
        self._now = now
        self._evidence = evidence
        self._began = evidence.monotonic()
        self._nothing_went_in = True
        self._suspects: list[_Suspect] = []
        self._refused: list[DeadLetter] = []
        self.stored = self.duplicates = 0

    def refused(self) -> list[DeadLetter]:
        """Commit every row that the store takes; returns the others' letters. Raises `StoreUnavailable`."""
        self._halve(self._portion.events)
        for suspect in self._suspects:
            self._try_again(suspect)
        return self._refused

    def _add(self, events: Sequence[LoggedEvent]) -> None:
        self._evidence.alive()
        if self._evidence.monotonic() - self._began > APART_SECONDS:
            raise TakesTooLong(
                f"taking {len(self._portion.events)} events of {self._portion.partition} apart took over "
                f"{APART_SECONDS:g} s; going on with fewer at once"
            )
        rows = apply(events, origin=self._portion.origin, now=self._now)
        part = Batch(rows.predictions, rows.outcomes, [])
        start = self._portion.start
        stored = self._store.commit(part, consumer=self._portion.partition, start=start, position=start)
        self.stored += stored.stored
        self.duplicates += stored.duplicates
        self._evidence.took(part)
        self._nothing_went_in = False

    def _add_or_halve(self, events: Sequence[LoggedEvent]) -> None:
        try:
            self._add(events)
        except TakesTooLong:
            raise
        except (ContentRefused, StoreFailed) as error:
            if len(events) > 1:
                self._halve(events)
            elif isinstance(error, StoreFailed):
                self._suspect(events[0], error)
            else:
                self._refuse(events[0], error)

    def _halve(self, events: Sequence[LoggedEvent]) -> None:
        middle = len(events) // 2
        for half in (events[:middle], events[middle:]):
            if half:
                self._add_or_halve(half)

    def _refuse(self, event: LoggedEvent, error: Exception) -> None:
        reason = MalformedEvent(REFUSED, str(error))
        self._refused.append(dead_letter(event, reason, origin=self._portion.origin, now=self._now))

    def _suspect(self, event: LoggedEvent, error: StoreFailed) -> None:
        self._suspects.append(_Suspect(event, error))
        self._evidence.failed_alone(event.event, since=self._began)
        if len(self._suspects) >= SUSPECTS and self._nothing_went_in:
            raise error

    def _try_again(self, suspect: _Suspect) -> None:
        if not self._evidence.speaks_against(suspect.event.event):
            raise suspect.error
        try:
            self._add([suspect.event])
        except TakesTooLong:
            raise
        except (ContentRefused, StoreFailed) as error:
            self._refuse(suspect.event, error)
