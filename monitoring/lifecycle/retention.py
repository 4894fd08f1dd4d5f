"""The removal of records that no judgement and no retraining can ask for any more.

Records are kept as long as the settings say, and longer where the spec's windows, delay or history reach further.
"""

import logging
import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

from monitoring.evaluation.windows import MATURED_WINDOWS
from monitoring.lifecycle.retrain import Workshop
from services.core.ports import Pruned, RecordStore
from services.core.spec import ModelSpec

PORTION: Final = 1000
"""Rows of a kind in one transaction: tens of milliseconds, which a consumer waits for without noticing."""

PORTIONS_A_ROUND: Final = 20
"""After these the lifecycle looks at its jobs again; what is left goes in its next rounds."""

DAY: Final = timedelta(days=1)

logger = logging.getLogger("bellwether.retention")


def needed(spec: ModelSpec) -> timedelta:
    """How far back the model's judgements, its retrainings and the look for a drift's cause may ask for answers."""
    # One window more than a judgement reads: one that was held up for so long still finds all of its rows.
    judged = spec.task.outcome_delay + (MATURED_WINDOWS + 1) * spec.drift.window
    trained = spec.task.outcome_delay + spec.retraining.history
    asked_for_a_cause = spec.retraining.patience + spec.drift.window
    return max(judged, trained, asked_for_a_cause)


def horizon(spec: ModelSpec, *, keep: timedelta, now: datetime) -> datetime:
    """The time before which the model's records may go."""
    return now - max(keep, needed(spec))


def prune_all(spec: ModelSpec, store: RecordStore, *, before: datetime) -> Pruned:
    """Remove the model's rows from before this moment, however many there are."""
    gone = Pruned()
    while (portion := store.prune(spec.name, before=before, limit=PORTION)).rows:
        gone = _sum(gone, portion)
    return gone


def prune_letters(store: RecordStore, *, before: datetime) -> int:
    """Remove the dead letters from before this moment, however many there are; returns how many."""
    gone = 0
    while portion := store.prune_dead_letters(before=before, limit=PORTION):
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
    """Pruning between other work: once in a day of event time, a little at each call until nothing is left."""

    keep: timedelta
    _done: dict[str, datetime] = field(default_factory=dict)
    _gone: dict[str, Pruned] = field(default_factory=dict)

    def attend(self, spec: ModelSpec, workshop: Workshop) -> None:
        now = workshop.now()
        done = self._done.get(spec.name)
        if done is not None and now - done < DAY:
            return
        if self._some(spec, workshop.store, before=horizon(spec, keep=self.keep, now=now)):
            return
        self._done[spec.name] = now
        self._finish(spec, workshop, now)

    def _some(self, spec: ModelSpec, store: RecordStore, *, before: datetime) -> bool:
        """Whether there may be more."""
        for _ in range(PORTIONS_A_ROUND):
            portion = store.prune(spec.name, before=before, limit=PORTION)
            if not portion.rows:
                return False
            self._gone[spec.name] = _sum(self._gone.get(spec.name, Pruned()), portion)
        return True

    def _finish(self, spec: ModelSpec, workshop: Workshop, now: datetime) -> None:
        letters = prune_letters(workshop.store, before=now - self.keep)
        sets = unused_training_sets(spec, workshop, before=now - self.keep)
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


def _sum(one: Pruned, other: Pruned) -> Pruned:
    return Pruned(
        predictions=one.predictions + other.predictions,
        outcomes=one.outcomes + other.outcomes,
        results=one.results + other.results,
    )
