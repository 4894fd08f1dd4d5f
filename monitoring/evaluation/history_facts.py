"""What a historic file holds of one feature, in numbers. Pure; what the numbers mean is judged in `history_check`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from monitoring.evaluation.point_in_time import NOTHING, HistoricRow, Shared, Timing, timing
from monitoring.evaluation.separation import Separation, separation
from monitoring.evaluation.unknown import NotEnoughData
from services.core.records import ResultStatus
from services.core.spec import Feature, ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFacts:
    """Of `n` rows, `missing` have no value and `invalid` one that the spec does not take.

    `alone` is how well the feature by itself tells the classes apart.
    `is_outcome`: it is read from the outcome's own column.
    """

    feature: Feature
    n: int
    missing: int
    invalid: int
    timing: Timing
    alone: Separation | NotEnoughData
    is_outcome: bool

    @property
    def values(self) -> int:
        return self.n - self.missing

    def as_body(self) -> dict[str, Any]:
        """JSON-ready; a share of nothing is null."""
        times = self.timing
        return {
            "n": self.n,
            "missing_share": _share(self.missing, self.n),
            "invalid_share": _share(self.invalid, self.n),
            "late": {
                "n": times.n,
                "share": _share(times.late, times.n),
                "lead_seconds_median": None if times.lead is None else times.lead.total_seconds(),
                "too_early_share": _share(times.too_early, times.n),
                "unsure_share": _share(times.unsure, times.dated),
            },
            "stale": {"n": times.dated, "share": _share(times.stale, times.dated)},
            "after_outcome": {
                "n": times.against_outcomes,
                "share": _share(times.after_outcome, times.against_outcomes),
            },
            "alone": _alone(self.alone),
        }


def feature_facts(
    spec: ModelSpec, feature: Feature, rows: Sequence[HistoricRow], shared: Shared = NOTHING
) -> FeatureFacts:
    values = [row.values[feature.name] for row in rows if feature.name in row.values]
    judged = [row for row in rows if row.outcome is not None]
    return FeatureFacts(
        feature=feature,
        n=len(rows),
        missing=len(rows) - len(values),
        invalid=sum(feature.kind.problem(value) is not None for value in values),
        timing=timing(feature, rows, shared),
        alone=separation(
            feature,
            [row.values.get(feature.name) for row in judged],
            [row.outcome == spec.task.positive for row in judged],
        ),
        is_outcome=shared.outcome,
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _alone(alone: Separation | NotEnoughData) -> dict[str, Any]:
    if isinstance(alone, NotEnoughData):
        return alone.as_body()
    return {"status": ResultStatus.OK.value, "n": alone.n, "auc": round(alone.auc, 4)}
