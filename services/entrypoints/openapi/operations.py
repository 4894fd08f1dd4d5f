"""Paths and what is asked, answered and refused there."""

from typing import Any

from services.core.errors import EventLogUnavailable, FeatureSourceDown, InvalidRequest, StoreUnavailable
from services.core.spec import ModelSpec
from services.entrypoints.access import Access
from services.entrypoints.http_json import JSON, ROWS_AT_MOST, MalformedJson
from services.entrypoints.openapi.operation import (
    BODY,
    EITHER,
    NOBODY,
    Operation,
    json_body,
    operation,
    text,
    to_predict,
    to_write,
)
from services.entrypoints.openapi.requests import (
    IDENTIFIER,
    MOMENT,
    example_features,
    example_outcome,
    example_readings,
    example_request,
    reference,
    rows,
)


def shared_paths() -> dict[str, Any]:
    """Those that are the same whatever models are hosted."""
    return {
        "/": {"get": text("index", "The models, as a page", "text/html")},
        "/livez": {"get": text("livez", "Whether the process answers")},
        "/readyz": {"get": text("readyz", "Whether predictions can be asked for")},
        "/metrics": {"get": text("metrics", "What was counted, for Prometheus")},
        "/openapi.json": {"get": operation("openapi", "This document", {"type": "object"})},
        "/v1/models": {"get": operation("models", "The models", reference("Models"))},
    }


def model_paths(spec: ModelSpec, access: Access) -> dict[str, Any]:
    """Those of one model, named in the path."""
    path = f"/v1/models/{spec.name}"
    entity = f"{path}/entities/{{entity_id}}"
    operations = {
        path: ("get", _card(spec)),
        f"{path}/predict": ("post", _predict(spec, access)),
        f"{path}/predict:batch": ("post", _predict_batch(spec, access)),
        f"{path}/outcomes": ("post", _outcomes(spec, access)),
        f"{entity}/features": ("put", _write_features(spec, access)),
        f"{entity}/availability": ("get", _availability(spec, access)),
    }
    return {path: {verb: {**each, "tags": [spec.name]}} for path, (verb, each) in operations.items()}


def _card(spec: ModelSpec) -> Operation:
    summary = "The spec: versions, features and what they mean"
    return operation(f"{spec.name}_card", summary, reference("ModelCard"), errors=(StoreUnavailable,))


def _predict(spec: ModelSpec, access: Access) -> Operation:
    return operation(
        f"{spec.name}_predict",
        spec.meaning,
        reference("Answer"),
        errors=(*BODY, EventLogUnavailable),
        security=to_predict(access),
        body=json_body(reference(f"{spec.name}.PredictRequest"), request=example_request(spec)),
    )


def _predict_batch(spec: ModelSpec, access: Access) -> Operation:
    return operation(
        f"{spec.name}_predict_batch",
        "Several at once, each answered or refused on its own",
        reference("Answers"),
        errors=BODY,
        security=to_write(access),
        body=json_body(
            rows(reference(f"{spec.name}.PredictRequest"), at_most=ROWS_AT_MOST), rows=[example_request(spec)]
        ),
    )


def _outcomes(spec: ModelSpec, access: Access) -> Operation:
    one = reference(f"{spec.name}.Outcome")
    return operation(
        f"{spec.name}_outcomes",
        "What turned out to be true, of one prediction or of several",
        {"anyOf": [reference("Receipt"), reference("Receipts")]},
        errors=(*BODY, EventLogUnavailable),
        security=to_write(access),
        body=json_body(
            {"anyOf": [one, rows(one, at_most=ROWS_AT_MOST)]},
            one=example_outcome(spec),
            several=[example_outcome(spec)],
        ),
    )


def _write_features(spec: ModelSpec, access: Access) -> Operation:
    return operation(
        f"{spec.name}_write_features",
        f"Write features of a {spec.entity} into the online store",
        reference("Written"),
        errors=(*BODY, FeatureSourceDown),
        security=to_write(access),
        body=json_body(reference(f"{spec.name}.FeatureReadings"), readings=example_readings(spec)),
        parameters=[_entity(spec)],
    )


def _availability(spec: ModelSpec, access: Access) -> Operation:
    return operation(
        f"{spec.name}_availability",
        "Whether the model may answer now, with nothing recorded",
        reference("Availability"),
        errors=(MalformedJson, InvalidRequest),
        security=EITHER if to_write(access) else NOBODY,
        parameters=[_entity(spec), _features_asked(spec), _started_at(spec)],
    )


def _entity(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": "entity_id",
        "in": "path",
        "required": True,
        "schema": IDENTIFIER,
        "description": f"The {spec.entity}.",
        "example": f"{spec.entity}-1",
    }


def _features_asked(spec: ModelSpec) -> dict[str, Any]:
    content = {JSON: {"schema": reference(f"{spec.name}.Features"), "example": example_features(spec)}}
    description = "In place of a request's features; without it they are missing."
    return {"name": "features", "in": "query", "description": description, "content": content}


def _started_at(spec: ModelSpec) -> dict[str, Any]:
    return {"name": "started_at", "in": "query", "description": f"When the {spec.entity} came to be.", "schema": MOMENT}
