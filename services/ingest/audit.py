"""The account: every appended event is stored, dead-lettered, removed as too old, or still on its way."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from services.core.events import LoggedEvent
from services.core.outcomes import OutcomeObserved
from services.core.ports import ALL_MODELS, EventLog, Records, Removed, Retention
from services.ingest.apply import apply
from services.ingest.local import partition_of

IDS_AT_ONCE: Final = 10_000
EXAMPLES: Final = 10

_Kind = Literal["predictions", "outcomes", "dead_letters"]


class Kept(Records, Retention, Protocol):
    """What an account looks into: what is stored, and what was removed."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of distinct events. `pruned` were stored and removed again because they were too old.

    `unaccounted` were passed by the consumers and are nowhere; some are named.
    """

    appended: int
    stored: int
    dead_lettered: int
    pruned: int
    in_flight: int
    duplicates_stored: int
    unaccounted: int
    examples: list[str]


def audit(log: EventLog, store: Kept, *, passed: int | None = None, at_once: int = IDS_AT_ONCE) -> Account:
    """Look up every event of the log in the store, by id, a portion at a time.

    Args:
        passed: the position up to which the consumers have passed every event (see `Passage`); by default what the
            consumer of the local log has. It is known before the look-ups begin, so consumers that work meanwhile can
            only turn "in flight" into "stored".
        at_once: events of a portion; the work grows with their number, and memory with a portion.
    """
    position = store.position(partition_of(log)) if passed is None else passed
    appended = stored = dead = in_flight = pruned = 0
    missing: list[str] = []
    unaccounted = after = 0
    removals = _Removals(log, store, at_once)
    while portion := log.ids(after=after, limit=at_once):
        ids = [event_id for _, event_id in portion]
        in_store, in_dead = store.stored_event_ids(ids), store.dead_event_ids(ids)
        accounted = in_store | in_dead
        elsewhere = [(at, event_id) for at, event_id in portion if event_id not in accounted]
        gone = [event_id for at, event_id in elsewhere if at <= position]
        lost = removals.unexplained(gone, after=after)
        appended += len(ids)
        stored += len(in_store)
        dead += len(in_dead - in_store)
        in_flight += len(elsewhere) - len(gone)
        pruned += len(gone) - len(lost)
        unaccounted += len(lost)
        missing += lost[: EXAMPLES - len(missing)]
        after = portion[-1][0]
    return Account(
        appended=appended,
        stored=stored,
        dead_lettered=dead,
        pruned=pruned,
        in_flight=in_flight,
        duplicates_stored=store.stored_twice(),
        unaccounted=unaccounted,
        examples=missing,
    )


@dataclass
class _Removals:
    """Tells removed from lost, in two ways at once: by the event's own time, and by how many the store has removed.

    A loss of these days lies behind no horizon, and a loss of long ago leaves more events than were removed.
    """

    log: EventLog
    store: Kept
    at_once: int
    _removed: dict[str, Removed] = field(default_factory=dict)
    _explained: dict[tuple[str, _Kind], int] = field(default_factory=dict)

    def unexplained(self, gone: Collection[str], *, after: int) -> list[str]:
        """Which of these events of the portion behind `after` were not removed, in the order of the log."""
        if not gone:
            return []
        among = set(gone)
        logged = [each for each in self.log.read(after=after, limit=self.at_once) if each.event.id in among]
        self._removed.clear()  # Removals go on: what was stored a moment ago may be removed by now.
        return [each.event.id for each in logged if not self._is_explained(each)]

    def _is_explained(self, logged: LoggedEvent) -> bool:
        """What a consumer makes of the event says where it was; a carrier may have buried what could be a row, too."""
        batch = apply([logged], origin="", now=logged.event.time)
        return (
            any(self._claim(made.model, "predictions", made.made_at) for made in batch.predictions)
            or any(self._outcome_went(seen) for _, seen in batch.outcomes)
            or self._claim(ALL_MODELS, "dead_letters", logged.event.time)
        )

    def _outcome_went(self, seen: OutcomeObserved) -> bool:
        """By itself, or with its prediction, which may have been much older."""
        if self._claim(seen.model, "outcomes", seen.observed_at):
            return True
        if self._of(seen.model).before is None or self.store.stored_event_ids([seen.prediction_id]):
            return False
        made = self.log.find(seen.prediction_id)
        if made is not None:
            return self._claim(seen.model, "outcomes", made.time)
        # The log may keep events for less long than outcomes take to come; then their number alone can tell.
        return self._has_removed_some() and self._claim(seen.model, "outcomes", None)

    def _has_removed_some(self) -> bool:
        return bool(first := self.log.ids(after=0, limit=1)) and first[0][0] > 1

    def _claim(self, model: str, kind: _Kind, at: datetime | None) -> bool:
        """Whether an event of that time (None: nobody knows) is one of those that were removed; each of them explains
        one event."""
        removed, explained = self._of(model), self._explained.get((model, kind), 0)
        too_old = removed.before is not None and (at is None or at < removed.before)
        if not too_old or explained >= getattr(removed, kind):
            return False
        self._explained[model, kind] = explained + 1
        return True

    def _of(self, model: str) -> Removed:
        if model not in self._removed:
            self._removed[model] = self.store.removed(model)
        return self._removed[model]
