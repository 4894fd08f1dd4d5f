"""Whether features arrive: a feed that went stale, values that are missing or wrong, a source that does not answer."""

from datetime import timedelta
from typing import Final

from monitoring.alerts.pace import Pace
from monitoring.alerts.rule import MODEL, OF_MODELS, Alert, Dashboard, Rule, Severity
from services.core.features import Status
from services.core.spec import ModelSpec
from services.metrics import table

WINDOW: Final = timedelta(minutes=30)
NEWEST: Final = timedelta(minutes=5)
"""What tells that it is over: half an hour would still be half full of what was, long after the repair."""
ANSWERS_AT_LEAST: Final = 20
"""A share of fewer answers says nothing: two of ten would be a fifth."""


def feature_rules(spec: ModelSpec, pace: Pace) -> tuple[Rule, ...]:
    return _stale(spec, pace), _unusable(spec, pace), _source_down(spec, pace)


def _stale(spec: ModelSpec, pace: Pace) -> Alert:
    return Alert(
        name="FeatureFeedStale",
        expr=_share_above_limit(spec, pace, Status.STALE),
        lasts=timedelta(minutes=10),
        severity=Severity.TICKET,
        summary=f"{MODEL}: {{{{ $labels.feature }}}} was too old in {_shown(spec)}",
        description="Whoever refreshes the feature has stopped; its owner stands in the model's card.",
        dashboard=Dashboard.MODEL,
    )


def _unusable(spec: ModelSpec, pace: Pace) -> Alert:
    return Alert(
        name="FeatureUnusable",
        expr=_share_above_limit(spec, pace, Status.MISSING, Status.INVALID),
        lasts=timedelta(minutes=10),
        severity=Severity.TICKET,
        summary=f"{MODEL}: {{{{ $labels.feature }}}} was missing or invalid in {_shown(spec)}",
        description="Callers or a feed send nothing, or what the spec does not allow.",
        dashboard=Dashboard.MODEL,
    )


def _source_down(spec: ModelSpec, pace: Pace) -> Alert:
    """One alert for all features: they are looked up together, and are away together."""
    return Alert(
        name="FeatureSourceDown",
        expr=_share_above_limit(spec, pace, Status.SOURCE_DOWN, of="model"),
        lasts=timedelta(minutes=5),
        severity=Severity.PAGE,
        summary=f"{MODEL}: online features could not be looked up in {_shown(spec)}",
        description="The online store fails or is slower than its budget of time; the rule answers instead.",
        dashboard=Dashboard.MODEL,
    )


def _share_above_limit(spec: ModelSpec, pace: Pace, *statuses: Status, of: str = "model, feature") -> str:
    """For so long that it matters, and until the newest answers show that it is over."""
    share, limit = _share(*statuses), f"{spec.drift.broken_share:g}"
    long, short = (share.replace("WINDOW", pace.window(each)) for each in (WINDOW, NEWEST))
    long = long.replace("ANSWERS", f">= {ANSWERS_AT_LEAST}")
    return (
        f"max by ({of}) (\n{long}\n)\n> {limit}\n"
        f"unless on ({of}) max by ({of}) (\n{short.replace('ANSWERS', '> 0')}\n)\n<= {limit}"
    )


def _share(*statuses: Status) -> str:
    """Of the answers that could have had a value: those that asked too early do not count."""
    found = f'{table.FEATURE_STATUS}{{{OF_MODELS},status=~"{"|".join(statuses)}"}}[WINDOW]'
    expected = f'{table.FEATURE_STATUS}{{{OF_MODELS},status!="{Status.TOO_EARLY}"}}[WINDOW]'
    return f"sum by (model, feature) (increase({found}))\n/\n(sum by (model, feature) (increase({expected})) ANSWERS)"


def _shown(spec: ModelSpec) -> str:
    return f"{{{{ $value | humanizePercentage }}}} of the answers, limit {spec.drift.broken_share:.0%}"
