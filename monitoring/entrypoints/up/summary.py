"""What a run showed, computed from recorded events alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from monitoring.evaluation.auc import auc
from monitoring.evaluation.business import Earned
from monitoring.evaluation.ranked import Ranked, is_ranked
from monitoring.evaluation.unknown import NotEnoughData
from services.core.ports import RecordStore
from services.core.predictions import Arm
from services.core.records import CHAMPION, AliasChange, Judged, ResultKind
from services.core.spec import Measure, ModelSpec

RESULTS_READ: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the store cannot know: the driver's side of the run. `changed_at` is when the world changed for good."""

    seconds: float
    began_at: datetime
    ended_at: datetime
    changed_at: datetime
    failed_requests: int
    retried_requests: int
    pruned_events: int
    unaccounted_events: int


def summarise(spec: ModelSpec, run: Run, store: RecordStore) -> dict[str, Any]:
    """The run as a JSON-ready object. A figure that cannot be known is null, never 0."""
    changes = [change for change in store.alias_changes(spec.name) if change.alias == CHAMPION]
    promoted = next((change for change in changes if change.previous and change.at >= run.changed_at), None)
    drift = _first_drift(spec, store, since=run.changed_at)
    phases = _phases(spec, run, store, promoted)
    matured_until = run.ended_at - spec.task.outcome_delay
    counts = store.counts(spec.name)
    return {
        "seconds": round(run.seconds, 1),
        "world_days": round((run.ended_at - run.began_at) / timedelta(days=1), 1),
        "predictions": counts.predictions_by | {"total": counts.predictions},
        "outcomes": counts.outcomes,
        "outcome_coverage": _coverage(spec, store, run.began_at, matured_until),
        "world_changed_at": run.changed_at.isoformat(),
        "drift_found_at": drift[0].isoformat() if drift else None,
        "drifted_features": drift[1] if drift else [],
        "version_before": changes[0].version if changes else None,
        "version_after": promoted.version if promoted else None,
        "promoted_at": promoted.at.isoformat() if promoted else None,
        "auc": {name: phase.auc for name, phase in phases.items()},
        "measures": _measures(spec, phases),
        "failed_requests": run.failed_requests,
        "retried_requests": run.retried_requests,
        "pruned_events": run.pruned_events,
        "unaccounted_events": run.unaccounted_events,
    }


class _Phase:
    """What the model's judged answers of a phase come to."""

    def __init__(self, spec: ModelSpec) -> None:
        self._ranked = Ranked(spec)
        self._earned = Earned(spec)

    def add(self, rows: Sequence[Judged]) -> None:
        self._ranked.add(rows)
        self._earned.add(filter(is_ranked, rows))

    @property
    def auc(self) -> float | None:
        try:
            return round(auc(self._ranked.target, self._ranked.score, self._ranked.weight), 4)
        except ValueError:
            return None

    @property
    def earned(self) -> dict[str, Any] | NotEnoughData:
        return self._earned.found()


def _phases(spec: ModelSpec, run: Run, store: RecordStore, promoted: AliasChange | None) -> dict[str, _Phase]:
    """Judged answers before the world changed, from then to the promotion, and by the promoted version."""
    # Of younger answers only the early outcomes are known, and those are mostly of one class.
    matured = run.ended_at - spec.task.outcome_delay
    turned = min(promoted.at, matured) if promoted else matured
    after = _phase(spec, store, turned, matured, promoted.version) if promoted else _Phase(spec)
    return {
        "before": _phase(spec, store, run.began_at, run.changed_at),
        "after_change": _phase(spec, store, run.changed_at, turned),
        "after_promotion": after,
    }


def _phase(spec: ModelSpec, store: RecordStore, begin: datetime, end: datetime, version: str | None = None) -> _Phase:
    phase = _Phase(spec)
    for rows in store.judged_in_batches(spec.name, made_from=begin, made_until=end, version=version):
        phase.add(rows)
    return phase


def _measures(spec: ModelSpec, phases: dict[str, _Phase]) -> dict[str, Any]:
    """Per measure and phase: its mean per answer of each arm, and what acting changes per entity to act on."""
    earned = {name: phase.earned for name, phase in phases.items()}
    return {
        measure.name: {"unit": measure.unit, "good": measure.good.value}
        | {phase: _measured(measure, found) for phase, found in earned.items()}
        for measure in spec.measures
    }


def _measured(measure: Measure, found: dict[str, Any] | NotEnoughData) -> dict[str, Any]:
    if isinstance(found, NotEnoughData):
        return {arm.value: None for arm in Arm} | {"effect": None}
    figures = found["measures"][measure.name]
    means = {arm.value: figures["arms"].get(arm.value, {}).get("mean") for arm in Arm}
    effect = figures["effect"].get("per_entity")
    return {arm: None if mean is None else round(mean, 2) for arm, mean in means.items()} | {
        "effect": effect and {bound: round(value, 2) for bound, value in effect.items()}
    }


def _first_drift(spec: ModelSpec, store: RecordStore, *, since: datetime) -> tuple[datetime, list[str]] | None:
    """When drift was first confirmed since the change, and in which features."""
    for result in store.results(spec.name, ResultKind.DRIFT, limit=RESULTS_READ):
        if result.window_end >= since and result.body.get("confirmed"):
            return result.window_end, sorted(result.body["confirmed_features"])
    return None


def _coverage(spec: ModelSpec, store: RecordStore, begin: datetime, matured_until: datetime) -> float | None:
    known = made = 0
    for rows in store.judged_in_batches(spec.name, made_from=begin, made_until=matured_until):
        made += len(rows)
        known += sum(row.outcome is not None for row in rows)
    return round(known / made, 4) if made else None
