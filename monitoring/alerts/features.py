"""Whether features arrive: a feed that went stale, values that are missing or wrong, a source that does not answer."""

from datetime import timedelta
from typing import Final

from monitoring.alerts.pace import Pace
from monitoring.alerts.rule import Alert, Dashboard, Group, Severity
from services.core.features import Status
from services.core.spec import ModelSpec
from services.metrics import table

WINDOW: Final = timedelta(minutes=30)
ANSWERS_AT_LEAST: Final = 20
"""A share of fewer answers says nothing: two of ten would be a fifth."""


def feature_rules(spec: ModelSpec, pace: Pace) -> Group:
    return Group(spec.name, (_stale(spec, pace), _unusable(spec, pace), _source_down(spec, pace)))


def _stale(spec: ModelSpec, pace: Pace) -> Alert:
    return Alert(
        name="FeatureFeedStale",
        expr=_share_above_limit(spec, pace, Status.STALE),
        lasts=timedelta(minutes=10),
        severity=Severity.TICKET,
        summary=f"{spec.name}: {{{{ $labels.feature }}}} was too old in {_shown(spec)}",
        description="Whoever refreshes the feature has stopped; its owner stands in the model's card.",
        dashboard=Dashboard.MODEL,
    )


def _unusable(spec: ModelSpec, pace: Pace) -> Alert:
    return Alert(
        name="FeatureUnusable",
        expr=_share_above_limit(spec, pace, Status.MISSING, Status.INVALID),
        lasts=timedelta(minutes=10),
        severity=Severity.TICKET,
        summary=f"{spec.name}: {{{{ $labels.feature }}}} was missing or invalid in {_shown(spec)}",
        description="Callers or a feed send nothing, or what the spec does not allow.",
        dashboard=Dashboard.MODEL,
    )


def _source_down(spec: ModelSpec, pace: Pace) -> Alert:
    return Alert(
        name="FeatureSourceDown",
        expr=_share_above_limit(spec, pace, Status.SOURCE_DOWN),
        lasts=timedelta(minutes=5),
        severity=Severity.PAGE,
        summary=f"{spec.name}: {{{{ $labels.feature }}}} could not be looked up in {_shown(spec)}",
        description="The online store fails or is slower than its budget of time; the rule answers instead.",
        dashboard=Dashboard.MODEL,
    )


def _share_above_limit(spec: ModelSpec, pace: Pace, *statuses: Status) -> str:
    """Of the answers that could have had a value: those that asked too early do not count."""
    window = pace.window(WINDOW)
    found = f'{table.FEATURE_STATUS}{{model="{spec.name}",status=~"{"|".join(statuses)}"}}[{window}]'
    expected = f'{table.FEATURE_STATUS}{{model="{spec.name}",status!="{Status.TOO_EARLY}"}}[{window}]'
    return (
        f"sum by (model, feature) (increase({found}))\n"
        "/\n"
        f"(sum by (model, feature) (increase({expected})) >= {ANSWERS_AT_LEAST})\n"
        f"> {spec.drift.broken_share:g}"
    )


def _shown(spec: ModelSpec) -> str:
    return f"{{{{ $value | humanizePercentage }}}} of the answers, limit {spec.drift.broken_share:.0%}"
