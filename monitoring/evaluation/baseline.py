"""What would have been answered without a model: what every model has to beat."""

from collections.abc import Mapping

from services.core.features import Value
from services.core.records import Judged
from services.core.spec import Decision, ModelSpec


def usable_of(row: Judged) -> dict[str, Value]:
    """The features that the answer could rest on, as they were known when it was given."""
    verdicts = row.prediction.features.items()
    return {name: verdict.usable for name, verdict in verdicts if verdict.usable is not None}


def decision_without_model(spec: ModelSpec, usable: Mapping[str, Value]) -> Decision:
    """Values that were recorded while their feature was of another kind are none that a rule can compare."""
    try:
        return spec.rule(usable) or spec.last_resort
    except (TypeError, ValueError):
        # Looked at only now: looking at each value beforehand takes longer than most rules.
        comparable = {name: value for name, value in usable.items() if _is_taken(spec, name, value)}
        return spec.rule(comparable) or spec.last_resort


def _is_taken(spec: ModelSpec, name: str, value: Value) -> bool:
    feature = spec.by_name.get(name)
    return feature is None or feature.kind.takes(value)


def score_without_model(spec: ModelSpec, usable: Mapping[str, Value]) -> float:
    """P(positive), in [0, 1]; a rule that gives none ranks by label: 1 for that of a score of 1, else 0."""
    decision = decision_without_model(spec, usable)
    if decision.score is not None:
        return decision.score
    return float(decision.label == spec.decide(1.0).label)
