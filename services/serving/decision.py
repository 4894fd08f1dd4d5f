"""Who answers: the model when every feature that it needs may be used, else the rule, else the last resort."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from services.core.features import FeatureVerdict, Value
from services.core.predictions import ServedBy
from services.core.spec import Decision, ModelSpec
from services.serving.availability import blocking, usable
from services.serving.fit import untrained
from services.serving.form import Untrained
from services.serving.runtime import ServingModel

logger = logging.getLogger(__name__)

Failed = Callable[[ServedBy], None]
"""Told when a model or a rule raised, or answered with nothing that can be used."""

NO_MODEL = "no model version is loaded"


@dataclass(frozen=True, slots=True)
class Decided:
    """`decision.reasons` start with why nobody better answered."""

    served_by: ServedBy
    decision: Decision


def decide(
    spec: ModelSpec, model: ServingModel | None, verdicts: Mapping[str, FeatureVerdict], *, failed: Failed
) -> Decided:
    """Never raises: whatever a model or a rule does, the caller gets an answer and its reasons."""
    values = usable(verdicts)
    reasons = _reasons_against(model, verdicts, values)
    if model is not None and not reasons:
        decision, trouble = _by_model(spec, model, values)
        if decision is not None:
            return Decided(ServedBy.MODEL, decision)
        failed(ServedBy.MODEL)
        reasons = (trouble,)
    return _without_model(spec, values, reasons, failed)


def _reasons_against(
    model: ServingModel | None, verdicts: Mapping[str, FeatureVerdict], values: Mapping[str, Value]
) -> tuple[str, ...]:
    """What the version was not trained with keeps it from nothing."""
    if model is None:
        return (NO_MODEL,)
    return () if len(values) == len(verdicts) else blocking(model.spec, verdicts)


def _without_model(spec: ModelSpec, values: Mapping[str, Value], reasons: tuple[str, ...], failed: Failed) -> Decided:
    decision, trouble = _by_rule(spec, values)
    if decision is not None:
        return Decided(ServedBy.RULE, _explained(decision, reasons))
    if trouble == _RULE_RAISED:
        failed(ServedBy.RULE)
    return Decided(ServedBy.LAST_RESORT, _explained(spec.last_resort, (*reasons, trouble)))


def _by_model(spec: ModelSpec, model: ServingModel, values: Mapping[str, Value]) -> tuple[Decision | None, str]:
    try:
        score = model.score(values)
        decision = spec.decide(score)
        # The recorded score is the model's, whatever the spec's words make of it.
        return (decision if decision.score == score else replace(decision, score=score)), ""
    except Exception as error:
        trouble = f"version {model.version} failed to score"
        is_told = isinstance(error, Untrained)
        if (why := error if is_told else untrained(model.manifest, values)) is not None:
            trouble += f": {why}; `bellwether retrain {spec.name}` trains one that can"
        logger.exception("%s: %s; the rule answers", spec.name, trouble, exc_info=not is_told)
        return None, trouble


_RULE_RAISED = "the rule failed"
_RULE_LACKS_INPUTS = "the rule lacks its inputs"


def _by_rule(spec: ModelSpec, values: Mapping[str, Value]) -> tuple[Decision | None, str]:
    try:
        return spec.rule(values), _RULE_LACKS_INPUTS
    except Exception:
        logger.exception("the rule of %s failed; the last resort answers", spec.name)
        return None, _RULE_RAISED


def _explained(decision: Decision, reasons: tuple[str, ...]) -> Decision:
    return replace(decision, reasons=(*reasons, *decision.reasons))
