"""Over a stretch of event time: was each feature usable, how old was it, and what kept the model from answering. Pure.

Shares are in [0, 1] and ages in seconds. What rests on no answer at all is None, never 0.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from services.core.features import FeatureVerdict, Status
from services.core.predictions import PredictionMade, ServedBy
from services.core.spec import Feature, ModelSpec, Unavailable

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
REASONS: Final = 5
NO_VERSION: Final = "no version was loaded"
FAILED_TO_SCORE: Final = "the version failed to score"


def availability_report(spec: ModelSpec, answers: Sequence[PredictionMade]) -> dict[str, Any]:
    """JSON-ready; `answers` holds at least one.

    `served_by` are shares of all answers. `reasons` say why the model did not answer, the most frequent first, as
    shares of the answers that it did not give; one answer may have several.
    """
    kept = [made for made in answers if made.served_by is not ServedBy.MODEL]
    causes = [_causes(spec, made) for made in kept]
    return {
        "served_by": {who.value: sum(made.served_by is who for made in answers) / len(answers) for who in ServedBy},
        "reasons": _reasons(kept, causes),
        "features": {feature.name: _feature(feature, answers, causes) for feature in spec.features},
    }


def _feature(feature: Feature, answers: Sequence[PredictionMade], causes: Sequence[Sequence[str]]) -> dict[str, Any]:
    """`n` counts the answers that have a verdict on the feature; the shares are of those."""
    verdicts = [verdict for made in answers if (verdict := made.features.get(feature.name)) is not None]
    n = len(verdicts)
    counts = Counter(verdict.status for verdict in verdicts)
    return {
        "n": n,
        "status": {status.value: counts[status] / n for status in Status} if n else None,
        "imputed": sum(verdict.imputed is not None for verdict in verdicts) / n if n else None,
        "age_seconds": _ages(verdicts),
        "max_age_seconds": None if feature.max_age is None else feature.max_age.total_seconds(),
        "kept_from_model": _kept_from_model(feature.name, causes),
    }


def _ages(verdicts: Sequence[FeatureVerdict]) -> dict[str, float] | None:
    """Quantiles of the ages that were found, of usable values and others; each is the age of one of them.

    None when none has an age, as values of the request have none.
    """
    ages = [verdict.age_seconds for verdict in verdicts if verdict.age_seconds is not None]
    if not ages:
        return None
    found = np.quantile(ages, list(QUANTILES.values()), method="inverted_cdf")
    return dict(zip(QUANTILES, found.tolist(), strict=True))


def _kept_from_model(name: str, causes: Sequence[Sequence[str]]) -> dict[str, float] | None:
    """Of the answers that the model did not give, the shares for which the feature is to blame, alone or not alone."""
    if not causes:
        return None
    blamed = [len(each) for each in causes if name in each]
    return {
        "alone": blamed.count(1) / len(causes),
        "with_others": (len(blamed) - blamed.count(1)) / len(causes),
    }


def _causes(spec: ModelSpec, made: PredictionMade) -> tuple[str, ...]:
    """The features without which the model could not answer; none when there was no model to ask."""
    if not made.version:
        return ()
    return tuple(
        feature.name
        for feature in spec.features
        if feature.if_unavailable is Unavailable.ASK_THE_RULE
        and (verdict := made.features.get(feature.name)) is not None
        and verdict.usable is None
    )


def _reasons(kept: Sequence[PredictionMade], causes: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    counts = Counter(reason for made, names in zip(kept, causes, strict=True) for reason in _reasons_of(made, names))
    return [{"reason": reason, "share": count / len(kept)} for reason, count in counts.most_common(REASONS)]


def _reasons_of(made: PredictionMade, causes: Sequence[str]) -> list[str]:
    if not made.version:
        return [NO_VERSION]
    return [f"{name} {made.features[name].status.value.replace('_', ' ')}" for name in causes] or [_why_failed(made)]


def _why_failed(made: PredictionMade) -> str:
    """With what the service has said of it, as of a category that the version was not trained for."""
    begin = f"version {made.version} failed to score: "
    told = next((reason.removeprefix(begin) for reason in made.reasons if reason.startswith(begin)), "")
    return f"{FAILED_TO_SCORE}: {told}" if told else FAILED_TO_SCORE
