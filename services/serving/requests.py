"""From decoded JSON to requests. Strict, and every fault of a request is named at once.

A value of the wrong JSON type refuses the request: the caller's program is wrong. A value of the right type that is out
of range or an unseen category does not: that is the world's doing, and the availability of the feature says `invalid`.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from services.core.errors import Fault, InvalidRequest
from services.core.features import Reading, Value
from services.core.limits import harmless, id_problem, text_problem, time_problem
from services.core.outcomes import OutcomeObserved
from services.core.predictions import PredictionRequest
from services.core.spec import Feature, ModelSpec, Numeric, Source
from services.serving.availability import CLOCK_SKEW, in_words

FAULTS_AT_MOST: Final = 100
"""Faults that one answer lists, whatever the request: an answer must not be many times as long as what it answers."""
NAME_LENGTH: Final = 64
"""Characters of a caller's name that a fault repeats; the names of features have no more."""

_LEAP_SECOND: Final = re.compile(r"(?<=[Tt ]\d\d:\d\d):60(?=[.,Zz+-])")

_NO_OFFSET: Final = re.compile(r"[+-]\d\d:?[6-9]\d(?::?\d\d)?$", re.ASCII)
"""One of 60 minutes and more, which Python adds up."""

_NO_TIME: Final = datetime.max.replace(tzinfo=UTC)
"""Stands in for a time that was refused."""

_JSON_TYPES: Final = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def prediction_request(spec: ModelSpec, body: object) -> PredictionRequest:
    """A request to predict. Raises `InvalidRequest`."""
    faults = Faults()
    fields = faults.members(body, required=("entity_id", "features"), optional=("request_id", "started_at"))
    request_id = fields.get("request_id")
    started_at = fields.get("started_at")
    request = PredictionRequest(
        entity_id=faults.identifier("entity_id", fields.get("entity_id")),
        features=_given(spec, fields.get("features"), faults),
        request_id=None if request_id is None else faults.identifier("request_id", request_id),
        started_at=None if started_at is None else faults.moment("started_at", started_at),
    )
    faults.refuse()
    return request


def outcome(spec: ModelSpec, body: object, *, now: datetime) -> OutcomeObserved:
    """The truth about one prediction. Raises `InvalidRequest`."""
    faults = Faults()
    fields = faults.members(body, required=("prediction_id", "value", "observed_at"))
    observed = OutcomeObserved(
        prediction_id=faults.identifier("prediction_id", fields.get("prediction_id")),
        model=spec.name,
        value=faults.one_of("value", fields.get("value"), spec.task.classes),
        observed_at=faults.past("observed_at", fields.get("observed_at"), now=now),
    )
    faults.refuse()
    return observed


def feature_readings(spec: ModelSpec, body: object, *, now: datetime) -> dict[str, Reading]:
    """Values for the online store; null says that the source itself has none. Raises `InvalidRequest`."""
    faults = Faults()
    written = faults.members(body, required=("features",)).get("features")
    readings = {
        feature.name: _reading(feature, value, faults, now)
        for feature, value in _features(spec, written, Source.ONLINE, faults)
    }
    faults.refuse()
    return readings


def entity_id(value: object) -> str:
    """An entity's id from elsewhere than a body. Raises `InvalidRequest`."""
    faults = Faults()
    identifier = faults.identifier("entity_id", value)
    faults.refuse()
    return identifier


@dataclass
class Listing:
    """What the answer to one call lists, with the names that it has said already.

    The rows of a call share it: together they list as many faults as one request may, and each of them at least one.
    """

    left: int = FAULTS_AT_MOST
    said: set[str] = field(default_factory=set)

    def shortened(self, error: InvalidRequest) -> InvalidRequest:
        faults = error.faults[: max(self.left, 1)]
        self.left -= len(faults)
        beyond = error.beyond + len(error.faults) - len(faults)
        return InvalidRequest(tuple(map(self.said_once, faults)), beyond=beyond)

    def said_once(self, fault: Fault) -> Fault:
        if fault.expected in self.said:
            return fault.without_expected()
        if fault.expected:
            self.said.add(fault.expected)
        return fault


@dataclass(slots=True)
class Faults:
    """Collects what is wrong with one request. After a fault the returned value stands in until `refuse` raises.

    `beyond` counts the faults behind the first `FAULTS_AT_MOST`.
    """

    found: list[Fault] = field(default_factory=list)
    beyond: int = 0
    _missing: set[str] = field(default_factory=set)

    def add(self, where: str, problem: str) -> None:
        if len(self.found) < FAULTS_AT_MOST:
            self.found.append(Fault(where, problem))
        else:
            self.beyond += 1

    def missing(self, where: str) -> None:
        """The null that is found there afterwards is no second fault."""
        self._missing.add(where)
        self.add(where, "is missing")

    def unknown(self, names: Sequence[str], expected: Sequence[str], *, prefix: str = "") -> None:
        """Members that nobody knows. Which are expected is said once."""
        listed = names[: FAULTS_AT_MOST - len(self.found)]
        self.beyond += len(names) - len(listed)
        if not listed:
            return
        others = ", ".join(expected)
        if any(fault.expected == others for fault in self.found):
            others = ""
        for name in listed:
            self.found.append(Fault(f"{prefix}{shown(name)}", "is unknown", expected=others))
            others = ""

    def include(self, faults: Sequence[Fault], *, beyond: int) -> None:
        """Those of a part of the request, of which `beyond` were not listed there."""
        room = FAULTS_AT_MOST - len(self.found)
        self.found += faults[:room]
        self.beyond += beyond + max(len(faults) - room, 0)

    def refuse(self) -> None:
        """Raise `InvalidRequest` when anything was wrong."""
        if self.found:
            raise self.refusal()

    def refusal(self) -> InvalidRequest:
        return InvalidRequest(tuple(self.found), beyond=self.beyond)

    def members(
        self, body: object, *, required: tuple[str, ...], optional: tuple[str, ...] = (), where: str = ""
    ) -> Mapping[str, Any]:
        """The members of a JSON object that has all of `required` and nothing beyond `optional`."""
        if not isinstance(body, dict):
            self.add(where or "body", f"found {json_type(body)}, expected an object")
            # The caller's further look-ups find nothing; one fault for the whole says enough.
            raise self.refusal()
        prefix = f"{where}." if where else ""
        for name in required:
            if name not in body:
                self.missing(f"{prefix}{name}")
        known = (*required, *optional)
        if not all(map(known.__contains__, body)):
            self.unknown([name for name in body if name not in known], known, prefix=prefix)
        return body

    def identifier(self, where: str, value: object) -> str:
        if not isinstance(value, str):
            self.wrong_type(where, value, "a string")
        elif problem := id_problem(value):
            self.add(where, problem)
        else:
            return value
        return ""

    def one_of(self, where: str, value: object, choices: tuple[str, ...]) -> str:
        if isinstance(value, str) and value in choices:
            return value
        if isinstance(value, str):
            self.add(where, f"found {value[:64]!r}, expected one of {', '.join(choices)}")
        else:
            self.wrong_type(where, value, "a string")
        return ""

    def moment(self, where: str, value: object) -> datetime:
        if not isinstance(value, str):
            self.wrong_type(where, value, "a time such as 2026-03-01T12:00:00Z")
            return _NO_TIME
        expected = "expected a time with its offset, such as 2026-03-01T12:00:00Z"
        try:
            moment = _parsed(value)
            if moment.tzinfo is None:
                self.add(where, f"found {value[:64]!r}, which has no offset; {expected}")
                return _NO_TIME
            moment = moment.astimezone(UTC)
        except (ValueError, OverflowError):
            self.add(where, f"found {value[:64]!r}, {expected}")
            return _NO_TIME
        if problem := time_problem(moment):
            self.add(where, problem)
            return _NO_TIME
        return moment

    def past(self, where: str, value: object, *, now: datetime) -> datetime:
        """A moment that is not in the future.

        The latest time wins over earlier ones, so one value from the future would hide every true one after it.
        """
        moment = self.moment(where, value)
        if moment is not _NO_TIME and moment > now + CLOCK_SKEW:
            self.add(where, f"lies {_ahead(moment - now)} in the future; it is {now.isoformat()} here")
        return moment

    def wrong_type(self, where: str, value: object, expected: str) -> None:
        if value is not None or where not in self._missing:
            self.add(where, f"found {json_type(value)}, expected {expected}")


def _parsed(text: str) -> datetime:
    """Raises `ValueError`, and `OverflowError`. A leap second (RFC 3339) is the first one of the next minute."""
    if _NO_OFFSET.search(text, len("2026-03-01T00")):
        raise ValueError(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        if not (leap := _LEAP_SECOND.search(text)):
            raise
    return datetime.fromisoformat(f"{text[: leap.start()]}:59{text[leap.end() :]}") + timedelta(seconds=1)


def shown(name: str) -> str:
    """A caller's name as a fault repeats it."""
    return harmless(name[:NAME_LENGTH])


def json_type(value: object) -> str:
    return _JSON_TYPES.get(type(value), type(value).__name__)


def _given(spec: ModelSpec, body: object, faults: Faults) -> dict[str, Value]:
    given = {}
    for feature, value in _features(spec, body, Source.REQUEST, faults):
        checked = _value(feature, value, f"features.{feature.name}", faults)
        if checked is not None:
            given[feature.name] = checked
    return given


def _features(spec: ModelSpec, body: object, source: Source, faults: Faults) -> list[tuple[Feature, object]]:
    """The features that may come this way, with what came; the others become faults."""
    if not isinstance(body, dict):
        faults.wrong_type("features", body, "an object")
        return []
    known = spec.by_name
    accepted, unknown = [], []
    for name, value in body.items():
        feature = known.get(name)
        if feature is None:
            unknown.append(name)
        elif feature.source is not source:
            faults.add(f"features.{name}", _elsewhere(feature))
        else:
            accepted.append((feature, value))
    if unknown:
        faults.unknown(unknown, [each.name for each in spec.features if each.source is source], prefix="features.")
    return accepted


def _elsewhere(feature: Feature) -> str:
    if feature.source is Source.ONLINE:
        return "comes from the online store; PUT it to the entity's features instead"
    return "comes with each request to predict; send it there instead"


def _reading(feature: Feature, body: object, faults: Faults, now: datetime) -> Reading:
    where = f"features.{feature.name}"
    if not isinstance(body, dict):
        faults.wrong_type(where, body, "an object with value and observed_at")
        return Reading(None, now)
    fields = faults.members(body, required=("value", "observed_at"), where=where)
    value = _value(feature, fields.get("value"), f"{where}.value", faults)
    return Reading(value, faults.past(f"{where}.observed_at", fields.get("observed_at"), now=now))


def _value(feature: Feature, value: object, where: str, faults: Faults) -> Value | None:
    """The value in its kind's type; None for null, and after a fault."""
    if value is None:
        return None
    return _number(value, where, faults) if isinstance(feature.kind, Numeric) else _category(value, where, faults)


def _number(value: object, where: str, faults: Faults) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        faults.wrong_type(where, value, "a number")
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        faults.add(where, "found a number beyond any float, expected a finite number")
        return None
    return number


def _category(value: object, where: str, faults: Faults) -> str | None:
    if not isinstance(value, str):
        faults.wrong_type(where, value, "a string")
        return None
    if problem := text_problem(value):
        faults.add(where, problem)
        return None
    return value


def _ahead(distance: timedelta) -> str:
    return in_words(distance.total_seconds())
