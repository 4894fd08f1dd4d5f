"""What a run showed, computed from recorded events alone."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from monitoring.evaluation.auc import auc
from monitoring.evaluation.business import business
from monitoring.evaluation.unknown import NotEnoughData
from services.core.ports import RecordStore
from services.core.predictions import Arm, ServedBy
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
        "auc": {phase: _auc(spec, rows) for phase, rows in phases.items()},
        "measures": _measures(spec, phases),
        "failed_requests": run.failed_requests,
        "retried_requests": run.retried_requests,
        "pruned_events": run.pruned_events,
        "unaccounted_events": run.unaccounted_events,
    }


def _phases(spec: ModelSpec, run: Run, store: RecordStore, promoted: AliasChange | None) -> dict[str, list[Judged]]:
    """Judged answers before the world changed, from then to the promotion, and by the promoted version."""
    # Of younger answers only the early outcomes are known, and those are mostly of one class.
    matured = run.ended_at - spec.task.outcome_delay
    turned = min(promoted.at, matured) if promoted else matured
    after = _judged(spec, store, turned, matured, promoted.version) if promoted else []
    return {
        "before": _judged(spec, store, run.began_at, run.changed_at),
        "after_change": _judged(spec, store, run.changed_at, turned),
        "after_promotion": after,
    }


def _judged(
    spec: ModelSpec, store: RecordStore, begin: datetime, end: datetime, version: str | None = None
) -> list[Judged]:
    rows = store.judged(spec.name, made_from=begin, made_until=end, version=version)
    return [row for row in rows if row.outcome is not None and row.prediction.served_by is ServedBy.MODEL]


def _auc(spec: ModelSpec, rows: list[Judged]) -> float | None:
    target = np.array([row.outcome == spec.task.positive for row in rows], dtype=int)
    score = np.array([row.prediction.score for row in rows], dtype=float)
    weight = np.array([row.prediction.weight for row in rows])
    try:
        return round(auc(target, score, weight), 4)
    except ValueError:
        return None


def _measures(spec: ModelSpec, phases: dict[str, list[Judged]]) -> dict[str, Any]:
    """Per measure and phase: its mean per answer of each arm, and what acting changes per entity to act on."""
    judged = {phase: business(spec, rows) for phase, rows in phases.items()}
    return {
        measure.name: {"unit": measure.unit, "good": measure.good.value}
        | {phase: _measured(measure, found) for phase, found in judged.items()}
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
    rows = store.judged(spec.name, made_from=begin, made_until=matured_until)
    return round(sum(row.outcome is not None for row in rows) / len(rows), 4) if rows else None
