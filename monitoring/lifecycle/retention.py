"""The removal of records that no judgement and no retraining can ask for any more.

Records are kept as long as the settings say, and longer where the spec's windows, delay or history reach further. How
far back that is counts from the day that the records themselves show (see `observed_time`), never from a clock alone.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from monitoring.evaluation.windows import MATURED_WINDOWS
from monitoring.lifecycle.observed_time import Jump, Observed, observed
from monitoring.lifecycle.retrain import Workshop
from services.core.clock import EPOCH
from services.core.ports import ALL_MODELS, Pruned, RecordStore
from services.core.spec import ModelSpec

PORTION: Final = 1000
"""Rows of a kind in one transaction: tens of milliseconds, which a consumer waits for without noticing."""

PORTIONS_A_ROUND: Final = 20
"""After these the lifecycle looks at its jobs again; what is left goes in its next rounds."""

SHARE_A_DAY: Final = 0.1
"""Of a model's predictions, as of one day. A day of a year is 0.3 %; whatever else goes wrong, nine tenths are there
the next day. Where the settings keep less than before, what is over goes within weeks."""

LETTERS_A_DAY: Final = PORTION * PORTIONS_A_ROUND

logger = logging.getLogger("bellwether.retention")


def needed(spec: ModelSpec) -> timedelta:
    """How far back the model's judgements, its retrainings and the look for a drift's cause may ask for answers."""
    # One window more than a judgement reads: one that was held up for so long still finds all of its rows.
    judged = spec.task.outcome_delay + (MATURED_WINDOWS + 1) * spec.drift.window
    trained = spec.task.outcome_delay + spec.retraining.history
    asked_for_a_cause = spec.retraining.patience + spec.drift.window
    return max(judged, trained, asked_for_a_cause)


def horizon(spec: ModelSpec, *, keep: timedelta, as_of: datetime) -> datetime:
    """The time before which the model's records may go."""
    return as_of - max(keep, needed(spec))


def day_of(store: RecordStore, models: Iterable[str], *, now: datetime, keep: timedelta) -> Observed:
    """What day it is by the predictions of all models: they share their time, and some are asked more often."""
    known = store.removed_as_of(until=now)
    found = [store.days_made(model, since=known or EPOCH, until=now) for model in models]
    return observed(sorted({day for days in found for day in days}), known=known, now=now, keep=keep)


def removal(spec: ModelSpec, store: RecordStore, *, keep: timedelta, as_of: datetime) -> Iterator[Pruned]:
    """Remove what is too old as of that day, portion after portion, while there is some and the day allows it."""
    before, left = horizon(spec, keep=keep, as_of=as_of), _allowed(spec, store, as_of=as_of)
    while left > 0:
        portion = store.prune(spec.name, before=before, as_of=as_of, limit=min(PORTION, left))
        if not portion.rows:
            return
        left -= portion.predictions
        yield portion


def _allowed(spec: ModelSpec, store: RecordStore, *, as_of: datetime) -> int:
    """How many predictions may still go as of this day. A portion may in any case: a share of few rows is none."""
    gone = store.removed(spec.name, as_of=as_of).predictions
    return max(PORTION, int(SHARE_A_DAY * (store.predictions_kept(spec.name) + gone))) - gone


def prune_letters(store: RecordStore, *, keep: timedelta, as_of: datetime) -> int:
    """Remove the dead letters that are too old as of that day, up to a day's share; returns how many."""
    gone, left = 0, LETTERS_A_DAY - store.removed(ALL_MODELS, as_of=as_of).dead_letters
    while left > gone and (
        portion := store.prune_dead_letters(before=as_of - keep, as_of=as_of, limit=min(PORTION, left - gone))
    ):
        gone += portion
    return gone


def unused_training_sets(spec: ModelSpec, workshop: Workshop, *, before: datetime) -> list[Path]:
    """Training sets from before this day that no version was made of: what the gate refused."""
    used = {version.training_set for version in workshop.store.versions(spec.name)}
    named = re.compile(re.escape(spec.name) + r"_(\d{4}-\d{2}-\d{2})_f\d+_r\d+_[0-9a-f]+\.parquet")
    found = ((path, named.fullmatch(path.name)) for path in workshop.training_directory.glob("*.parquet"))
    return [
        path
        for path, match in found
        if match and path.name not in used and date.fromisoformat(match[1]) < before.date()
    ]


@dataclass(slots=True)
class Upkeep:
    """Pruning between other work: once in a day of event time, a little at each call until nothing is left.

    Args:
        models: by whose predictions the day is told.
    """

    keep: timedelta
    models: tuple[str, ...]
    _done_on: dict[str, date] = field(default_factory=dict)
    _gone: dict[str, Pruned] = field(default_factory=dict)
    _jumps: dict[str, Jump] = field(default_factory=dict)
    _has_room: bool = True
    """Whether the store may have room to give back: after a removal, and once at the beginning."""

    def attend(self, spec: ModelSpec, workshop: Workshop) -> Jump | None:
        """The jump of time for which nothing is removed, None while there is none."""
        today = workshop.now().date()
        if self._done_on.get(spec.name) == today and not self._was_confirmed(spec, workshop):
            return self._jumps.get(spec.name)
        seen = day_of(workshop.store, self.models, now=workshop.now(), keep=self.keep)
        self._tell(spec, seen.jump)
        if seen.jump is None and seen.day is not None:
            if self._some(spec, workshop.store, as_of=seen.day):
                return None
            self._finish(spec, workshop, seen.day)
        self._done_on[spec.name] = today
        return seen.jump

    def give_room_back(self, store: RecordStore) -> None:
        """To the disk, a little at each call, until there is no more than the next rows need. Raises
        `StoreUnavailable`."""
        for _ in range(PORTIONS_A_ROUND if self._has_room else 0):
            if not store.give_room_back():
                self._has_room = False
                return

    def _was_confirmed(self, spec: ModelSpec, workshop: Workshop) -> bool:
        """Whether somebody has let time go on since it stands still here: that needs not wait for tomorrow."""
        jump = self._jumps.get(spec.name)
        if jump is None:
            return False
        known = workshop.store.removed_as_of(until=workshop.now())
        return known is not None and known > jump.after

    def _tell(self, spec: ModelSpec, jump: Jump | None) -> None:
        if jump is None:
            self._jumps.pop(spec.name, None)
        elif self._jumps.get(spec.name) != jump:
            self._jumps[spec.name] = jump
            logger.warning(
                "%s: nothing is removed: %s; `bellwether prune --confirm-jump` if that is so", spec.name, jump
            )

    def _some(self, spec: ModelSpec, store: RecordStore, *, as_of: datetime) -> bool:
        """Whether there may be more."""
        portions = list(islice(removal(spec, store, keep=self.keep, as_of=as_of), PORTIONS_A_ROUND))
        self._has_room = self._has_room or bool(portions)
        self._gone[spec.name] = summed([self._gone.get(spec.name, Pruned()), *portions])
        return len(portions) == PORTIONS_A_ROUND

    def _finish(self, spec: ModelSpec, workshop: Workshop, as_of: datetime) -> None:
        letters = prune_letters(workshop.store, keep=self.keep, as_of=as_of)
        sets = unused_training_sets(spec, workshop, before=as_of - self.keep)
        for path in sets:
            path.unlink(missing_ok=True)
        gone = self._gone.pop(spec.name, Pruned())
        if gone.rows or letters or sets:
            logger.info(
                "%s: removed as too old: %d predictions, %d outcomes, %d results, %d dead letters, %d training sets",
                spec.name,
                gone.predictions,
                gone.outcomes,
                gone.results,
                letters,
                len(sets),
            )


def summed(portions: Iterable[Pruned]) -> Pruned:
    total = Pruned()
    for each in portions:
        total = Pruned(
            predictions=total.predictions + each.predictions,
            outcomes=total.outcomes + each.outcomes,
            results=total.results + each.results,
        )
    return total
