"""JSON Schemas of what one model's routes take. They say exactly what `services.serving.requests` accepts.

A value of the right type that is out of range is accepted, and its feature answered as `invalid`. So a range stands in
one branch of an `anyOf` whose next branch is what is accepted beyond it: a validator agrees with the service, and a
reader (or a generator of forms) still finds the range.
"""

from typing import Any, Final

from services.core.limits import ID_LENGTH, TEXT_LENGTH
from services.core.spec import Categorical, Feature, ModelSpec, Numeric, Source

Schema = dict[str, Any]

REPEATED: Final = "With the same content it gets the same answer, recorded once; with other content it is refused."

EXAMPLE_TIME: Final = "2026-01-05T08:00:00Z"

NO_CONTROLS: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""Lone surrogates are refused too, but no JSON has them."""

IDENTIFIER: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": ID_LENGTH, "pattern": NO_CONTROLS}
MOMENT: Final[Schema] = {
    "type": "string",
    "format": "date-time",
    "description": "A time with its offset.",
    "examples": [EXAMPLE_TIME],
}
PAST_MOMENT: Final[Schema] = {**MOMENT, "description": "A time with its offset, not in the future."}

ROW_BEYOND: Final[Schema] = {"description": "Anything else is refused in its own row; the others are not affected."}

NO_VALUE: Final[Schema] = {"type": "null", "description": "There is no value: `missing`."}


def request_schemas(spec: ModelSpec) -> dict[str, Schema]:
    """Components by name: `{model}.PredictRequest`, `.Features`, `.Outcome` and `.FeatureReadings`."""
    return {
        f"{spec.name}.Features": _features(spec),
        f"{spec.name}.PredictRequest": _predict_request(spec),
        f"{spec.name}.Outcome": _outcome(spec),
        f"{spec.name}.FeatureReadings": _readings(spec),
    }


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def rows(item: Schema, *, at_most: int) -> Schema:
    """An array each of whose items is judged on its own."""
    return {"type": "array", "maxItems": at_most, "items": {"anyOf": [item, ROW_BEYOND]}}


def example_request(spec: ModelSpec) -> dict[str, Any]:
    return {"entity_id": f"{spec.entity}-1", "features": example_features(spec)}


def example_features(spec: ModelSpec) -> dict[str, Any]:
    return {feature.name: example_value(feature) for feature in spec.features if feature.source is Source.REQUEST}


def example_readings(spec: ModelSpec) -> dict[str, Any]:
    values = {feature.name: example_value(feature) for feature in spec.online_features}
    return {"features": {name: {"value": value, "observed_at": EXAMPLE_TIME} for name, value in values.items()}}


def example_outcome(spec: ModelSpec) -> dict[str, Any]:
    prediction_id = "6f1c6e0a-52a4-4f0e-9f2b-0d7c9a4e1b11"
    return {"prediction_id": prediction_id, "value": spec.task.positive, "observed_at": EXAMPLE_TIME}


def example_value(feature: Feature) -> float | str:
    """A usable value: the first category, or a number that both bounds allow."""
    if isinstance(feature.kind, Categorical):
        return feature.kind.categories[0]
    low, high = feature.kind.low, feature.kind.high
    if low is not None and high is not None:
        return (low + high) / 2
    return next((bound for bound in (low, high) if bound is not None), 0.0)


def _predict_request(spec: ModelSpec) -> Schema:
    return closed(
        {
            "entity_id": {**IDENTIFIER, "description": f"The {spec.entity}."},
            "features": reference(f"{spec.name}.Features"),
            "request_id": _or_null(IDENTIFIER, REPEATED),
            "started_at": _or_null(MOMENT, f"When the {spec.entity} came to be: some features are known only later."),
        },
        required=["entity_id", "features"],
        example=example_request(spec),
    )


def _features(spec: ModelSpec) -> Schema:
    given = [feature for feature in spec.features if feature.source is Source.REQUEST]
    schema = closed({feature.name: feature_values(feature) for feature in given}, example=example_features(spec))
    return {
        **schema,
        "description": "Those that come with the request. None has to be there; what is absent or null is `missing`.",
    }


def _outcome(spec: ModelSpec) -> Schema:
    return closed(
        {
            "prediction_id": IDENTIFIER,
            "value": {"enum": list(spec.task.classes), "description": "What turned out to be true."},
            "observed_at": {
                **PAST_MOMENT,
                "description": "Not in the future. The latest wins; of several at one moment, the one sent last.",
            },
        },
        required=["prediction_id", "value", "observed_at"],
        example=example_outcome(spec),
    )


def _readings(spec: ModelSpec) -> Schema:
    written = {feature.name: _reading(feature) for feature in spec.online_features}
    return closed({"features": closed(written)}, required=["features"], example=example_readings(spec))


def _reading(feature: Feature) -> Schema:
    observed_at = {**PAST_MOMENT, "description": "The value's own time, not in the future; its age counts from here."}
    return closed({"value": feature_values(feature), "observed_at": observed_at}, required=["value", "observed_at"])


def feature_values(feature: Feature) -> Schema:
    values = _numbers(feature.kind) if isinstance(feature.kind, Numeric) else _categories(feature.kind)
    return {
        "description": f"{feature.meaning}. Refreshed: {feature.refreshed}. Owner: {feature.owner}.",
        "anyOf": [*values, NO_VALUE],
        "examples": [example_value(feature)],
    }


def _numbers(kind: Numeric) -> list[Schema]:
    bounds = {name: bound for name, bound in (("minimum", kind.low), ("maximum", kind.high)) if bound is not None}
    if not bounds:
        return [{"type": "number", "description": "Any finite number."}]
    beyond = {"type": "number", "description": "Out of range: accepted, and the feature is `invalid`."}
    return [{"type": "number", **bounds, "description": "Usable."}, beyond]


def _categories(kind: Categorical) -> list[Schema]:
    beyond = {
        "type": "string",
        "maxLength": TEXT_LENGTH,
        "pattern": NO_CONTROLS,
        "description": "An unseen category: accepted, and the feature is `invalid`.",
    }
    return [{"enum": list(kind.categories), "description": "Usable."}, beyond]


def _or_null(schema: Schema, description: str) -> Schema:
    return {**schema, "type": [schema["type"], "null"], "description": description}


def closed(properties: dict[str, Schema], *, required: list[str] | None = None, example: Any = None) -> Schema:
    """An object with these members and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required or [],
        "additionalProperties": False,
        **({} if example is None else {"examples": [example]}),
    }
