"""May each feature be used now? Pure: the spec, what was found, and the time give the verdicts."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from services.core.errors import FeatureSourceDown
from services.core.features import FeatureVerdict, Reading, Readings, Status, Value
from services.core.limits import harmless
from services.core.spec import Feature, Impute, ModelSpec, Source, Unavailable

CLOCK_SKEW: Final = timedelta(seconds=5)
"""How far into the future a value's own time may lie. Hosts that keep time by NTP differ by far less than a second;
anything beyond a few seconds is a wrong clock or a wrong unit, and such a value would look fresh for ever."""

PROBLEM_LENGTH: Final = 200
"""Longest description of a bad value; what a store holds may be of any length."""

_WORDS: Final = {
    Status.MISSING: "is missing",
    Status.STALE: "is stale",
    Status.INVALID: "is invalid",
    Status.TOO_EARLY: "is not known yet",
    Status.SOURCE_DOWN: "could not be looked up",
}


def availability(
    spec: ModelSpec,
    *,
    given: Mapping[str, Value],
    readings: Readings | FeatureSourceDown,
    now: datetime,
    started_at: datetime | None,
) -> dict[str, FeatureVerdict]:
    """One verdict per feature, in the order of the spec.

    Args:
        given: the request's own features.
        readings: what the online store knows, or why it could not be asked.
        started_at: when the entity came to be; unknown (None) makes every feature with `known_after` too early.
    """
    age = None if started_at is None else now - started_at
    return {
        feature.name: (None if feature.known_after is None else _too_early(feature, feature.known_after, age))
        or _found(feature, given, readings, now, started_at)
        for feature in spec.features
    }


def blocking(spec: ModelSpec, verdicts: Mapping[str, FeatureVerdict]) -> tuple[str, ...]:
    """Why the model may not answer, in plain words; empty when it may.

    Callers are told these. What the online store has of an entity they need not know, and may not: see the verdicts.
    """
    return tuple(
        _reason(feature, verdicts[feature.name])
        for feature in spec.features
        if verdicts[feature.name].usable is None and feature.if_unavailable is Unavailable.ASK_THE_RULE
    )


def without_values(verdicts: Mapping[str, FeatureVerdict]) -> dict[str, FeatureVerdict]:
    """Statuses and ages, for who may know of an entity no more than that."""
    return {
        name: FeatureVerdict(
            each.status, age_seconds=each.age_seconds, problem=each.problem if _is_about_time(each) else None
        )
        for name, each in verdicts.items()
    }


def usable(verdicts: Mapping[str, FeatureVerdict]) -> dict[str, Value]:
    """The values that the model and the rule may see: of each verdict its `usable`, without a call for each."""
    ok = Status.OK
    return {
        name: value
        for name, verdict in verdicts.items()
        if (value := verdict.value if verdict.status is ok else verdict.imputed) is not None
    }


def _found(
    feature: Feature,
    given: Mapping[str, Value],
    readings: Readings | FeatureSourceDown,
    now: datetime,
    started_at: datetime | None,
) -> FeatureVerdict:
    if feature.source is Source.REQUEST:
        value = given.get(feature.name)
        return _unavailable(feature, Status.MISSING) if value is None else _judged(feature, value, None)
    if isinstance(readings, FeatureSourceDown):
        return _unavailable(feature, Status.SOURCE_DOWN, problem=harmless(str(readings)[:PROBLEM_LENGTH]))
    reading = readings.get(feature.name)
    if reading is None or reading.value is None:
        return _unavailable(feature, Status.MISSING)
    verdict = _read(feature, reading, now)
    if feature.known_after is None or started_at is None or verdict.status is not Status.OK:
        return verdict
    return _observed_too_early(feature, feature.known_after, reading.observed_at - started_at) or verdict


def _read(feature: Feature, reading: Reading, now: datetime) -> FeatureVerdict:
    elapsed = now - reading.observed_at
    age = elapsed.total_seconds()
    if age < 0.0:
        if elapsed < -CLOCK_SKEW:
            problem = f"its time lies {in_words(-age)} in the future"
            return _unavailable(feature, Status.INVALID, value=reading.value, age=age, problem=problem)
        age = 0.0
    verdict = _judged(feature, reading.value, age)
    limit = feature.max_age
    if limit is not None and elapsed > limit and verdict.status is Status.OK:
        problem = f"{in_words(age)} old, limit {in_words(limit.total_seconds())}"
        return _unavailable(feature, Status.STALE, value=reading.value, age=age, problem=problem)
    return verdict


def _judged(feature: Feature, value: Value | bool | None, age: float | None) -> FeatureVerdict:
    if problem := feature.kind.problem(value):
        return _unavailable(feature, Status.INVALID, value=value, age=age, problem=problem[:PROBLEM_LENGTH])
    # No problem was found, so it is one of both.
    return FeatureVerdict(Status.OK, value if isinstance(value, str) else float(value), age)  # type: ignore[arg-type]


def _too_early(feature: Feature, known_after: timedelta, entity_age: timedelta | None) -> FeatureVerdict | None:
    """A value that exists before it can mean anything is a default or a leak from elsewhere, so it is not looked at."""
    if entity_age is not None and entity_age >= known_after:
        return None
    asked = "nobody said when that was" if entity_age is None else f"asked {in_words(entity_age.total_seconds())} after"
    problem = f"known {in_words(known_after.total_seconds())} after the entity's start, {asked}"
    return _unavailable(feature, Status.TOO_EARLY, problem=problem)


def _observed_too_early(feature: Feature, known_after: timedelta, observed_after: timedelta) -> FeatureVerdict | None:
    """A count of the first minutes that nobody renewed is no count of the first hour, whenever it is read."""
    if observed_after >= known_after:
        return None
    known, sooner = known_after.total_seconds(), (known_after - observed_after).total_seconds()
    problem = f"known {in_words(known)} after the entity's start, observed {in_words(sooner)} sooner"
    return _unavailable(feature, Status.TOO_EARLY, problem=problem)


def _unavailable(
    feature: Feature,
    status: Status,
    *,
    value: Value | bool | None = None,
    age: float | None = None,
    problem: str | None = None,
) -> FeatureVerdict:
    imputed = feature.if_unavailable.value if isinstance(feature.if_unavailable, Impute) else None
    return FeatureVerdict(status, _recordable(value), age, imputed, problem)


def _recordable(value: Value | bool | None) -> Value | None:
    """What an event can carry: JSON has no NaN, and a bool is no value of any feature."""
    if isinstance(value, str):
        # What a feed wrote past the door must not keep the whole prediction out of the record store.
        return harmless(value[:PROBLEM_LENGTH])
    if value is None or isinstance(value, bool) or not math.isfinite(value):
        return None
    return float(value)


def _reason(feature: Feature, verdict: FeatureVerdict) -> str:
    words = f"{feature.name} {_WORDS[verdict.status]}"
    names_a_stored_value = (
        feature.source is Source.ONLINE and verdict.status is Status.INVALID and not _is_about_time(verdict)
    )
    return words if verdict.problem is None or names_a_stored_value else f"{words}: {verdict.problem}"


def _is_about_time(verdict: FeatureVerdict) -> bool:
    """Whether its problem names a time and no value."""
    if verdict.status is Status.INVALID:
        return verdict.age_seconds is not None and verdict.age_seconds < 0
    return verdict.status in (Status.STALE, Status.TOO_EARLY)


def in_words(seconds: float) -> str:
    """A duration in the largest unit that still tells it apart: 90 s, 50 min, 36 h, 12 d."""
    for unit, length, enough in (("d", 86_400, 4), ("h", 3_600, 2), ("min", 60, 2)):
        if abs(seconds) >= enough * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
