"""Is it the same request again? A `request_id` stands for one, and another request gets no answer of that one."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from services.core.errors import Fault, InvalidRequest
from services.core.features import FeatureVerdict, Status, Value
from services.core.predictions import Asked, PredictionMade, PredictionRequest
from services.core.spec import ModelSpec, Source

FIELDS_NAMED: Final = 20
"""Of those that differ; whoever confuses requests needs no more."""


def known_later(spec: ModelSpec) -> tuple[str, ...]:
    """Features of a request that can come too early."""
    return tuple(each.name for each in spec.features if each.known_after is not None and each.source is Source.REQUEST)


def asked_beside(
    request: PredictionRequest, verdicts: Mapping[str, FeatureVerdict], *, known_later: Iterable[str]
) -> Asked | None:
    """What a request with an id asked and its verdicts do not tell; None of one that nobody can repeat."""
    if request.request_id is None:
        return None
    given = [(name, request.features[name]) for name in known_later if name in request.features]
    return Asked(
        request.started_at, {name: value for name, value in given if verdicts[name].status is Status.TOO_EARLY}
    )


def require_repeated(spec: ModelSpec, request: PredictionRequest, made: PredictionMade) -> None:
    """Raises `InvalidRequest` unless it is the request that was answered with `made`, sent once more."""
    if made.entity_id != request.entity_id:
        problem = "was used for another entity_id before"
    elif differing := list(_differences(spec, request, made)):
        named = ", ".join(differing[:FIELDS_NAMED]) + (" and more" if len(differing) > FIELDS_NAMED else "")
        problem = f"was used before with other content of {named}"
    else:
        return
    raise InvalidRequest((Fault("request_id", f"{problem}; use a new one for a new request"),))


def _differences(spec: ModelSpec, request: PredictionRequest, made: PredictionMade) -> Iterator[str]:
    """Names of the fields. What nobody can know of an event that an earlier version recorded counts as the same."""
    for feature in spec.features:
        if feature.source is Source.REQUEST and _differs(feature.name, request, made):
            yield f"features.{feature.name}"
    if made.asked is not None and made.asked.started_at != request.started_at:
        yield "started_at"


def _differs(name: str, request: PredictionRequest, made: PredictionMade) -> bool:
    given, verdict = request.features.get(name), made.features.get(name)
    if verdict is None or verdict.status is not Status.TOO_EARLY:
        return given != _value(verdict)
    return made.asked is not None and given != made.asked.early.get(name)


def _value(verdict: FeatureVerdict | None) -> Value | None:
    """None for a feature that the spec did not have yet, which no request could bring."""
    return None if verdict is None else verdict.value
