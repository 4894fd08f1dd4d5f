"""Is it the same request again? A `request_id` stands for one, and another request gets no answer of that one."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Final

import msgspec

from services.core.errors import Fault, InvalidRequest
from services.core.features import FeatureVerdict, Status, Value
from services.core.predictions import PredictionMade, PredictionRequest
from services.core.spec import ModelSpec, Source

DIGEST_BYTES: Final = 8
"""Of each part. It tells slips of a caller apart; whoever looks for two requests with one digest deceives himself."""

FIELDS_NAMED: Final = 20
"""Of those that differ; whoever confuses requests needs no more."""

_DIGITS: Final = 2 * DIGEST_BYTES

_encode = msgspec.json.Encoder().encode


def fingerprint(request: PredictionRequest) -> str:
    """Of the features and of the start, one digest behind the other. The order of the features is no part of it."""
    return _digest(sorted(request.features.items())) + _digest(request.started_at)


def require_repeated(spec: ModelSpec, request: PredictionRequest, made: PredictionMade) -> None:
    """Raises `InvalidRequest` unless it is the request that was answered with `made`, sent once more."""
    if made.entity_id != request.entity_id:
        problem = "was used for another entity_id before"
    elif differing := _differences(spec, request, made):
        named = ", ".join(differing[:FIELDS_NAMED]) + (" and more" if len(differing) > FIELDS_NAMED else "")
        problem = f"was used before with other content of {named}"
    else:
        return
    raise InvalidRequest((Fault("request_id", f"{problem}; use a new one for a new request"),))


def _differences(spec: ModelSpec, request: PredictionRequest, made: PredictionMade) -> list[str]:
    """The fields that differ. An event without a fingerprint tells the features that it has recorded, and no start."""
    if made.fingerprint is None:
        return list(_recorded_differently(spec, request, made))
    asked, before = fingerprint(request), made.fingerprint
    if asked == before:
        return []
    fields: list[str] = []
    if asked[:_DIGITS] != before[:_DIGITS]:
        fields += list(_recorded_differently(spec, request, made)) or ["features"]
    if asked[_DIGITS:] != before[_DIGITS:]:
        fields.append("started_at")
    return fields


def _recorded_differently(spec: ModelSpec, request: PredictionRequest, made: PredictionMade) -> Iterator[str]:
    """Without what the spec has gained or lost since, and what was too early to be looked at."""
    for feature in spec.features:
        verdict = made.features.get(feature.name) if feature.source is Source.REQUEST else None
        if verdict is not None and _differs(verdict, request.features.get(feature.name)):
            yield f"features.{feature.name}"


def _differs(verdict: FeatureVerdict, given: Value | None) -> bool:
    return verdict.status is not Status.TOO_EARLY and verdict.value != given


def _digest(part: Sequence[tuple[str, Value]] | datetime | None) -> str:
    return blake2b(_encode(part), digest_size=DIGEST_BYTES).hexdigest()
