"""Paths and what is asked, answered and refused there."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from services.core.errors import (
    BellwetherError,
    EventLogUnavailable,
    FeatureSourceDown,
    InvalidRequest,
    StoreUnavailable,
)
from services.core.spec import ModelSpec
from services.entrypoints.http_json import JSON, ROWS_AT_MOST, BodyTooLarge, MalformedJson, UnsupportedMediaType
from services.entrypoints.http_problems import CLIENT_GONE, PROBLEM_JSON, STATUS
from services.entrypoints.openapi.requests import (
    IDENTIFIER,
    MOMENT,
    Schema,
    example_features,
    example_outcome,
    example_readings,
    example_request,
    reference,
    rows,
)

Operation = dict[str, Any]
Errors = tuple[type[BellwetherError], ...]

BODY: Final[Errors] = (MalformedJson, BodyTooLarge, UnsupportedMediaType, InvalidRequest)
"""What is wrong with a body."""


def shared_paths() -> dict[str, Any]:
    """Those that are the same whatever models are hosted."""
    return {
        "/": {"get": _text("index", "The models, as a page", "text/html")},
        "/livez": {"get": _text("livez", "Whether the process answers")},
        "/readyz": {"get": _text("readyz", "Whether predictions can be asked for")},
        "/metrics": {"get": _text("metrics", "What was counted, for Prometheus")},
        "/openapi.json": {"get": _read("openapi", "This document", {"type": "object"})},
        "/v1/models": {"get": _read("models", "The models", reference("Models"))},
    }


def model_paths(spec: ModelSpec) -> dict[str, Any]:
    """Those of one model, named in the path."""
    path = f"/v1/models/{spec.name}"
    entity = f"{path}/entities/{{entity_id}}"
    operations = {
        path: ("get", _card(spec)),
        f"{path}/predict": ("post", _predict(spec)),
        f"{path}/predict:batch": ("post", _predict_batch(spec)),
        f"{path}/outcomes": ("post", _outcomes(spec)),
        f"{entity}/features": ("put", _write_features(spec)),
        f"{entity}/availability": ("get", _availability(spec)),
    }
    return {path: {verb: {**operation, "tags": [spec.name]}} for path, (verb, operation) in operations.items()}


def _card(spec: ModelSpec) -> Operation:
    summary = "The spec: versions, features and what they mean"
    return _read(f"{spec.name}_card", summary, reference("ModelCard"), StoreUnavailable)


def _predict(spec: ModelSpec) -> Operation:
    return _operation(
        f"{spec.name}_predict",
        spec.meaning,
        reference("Answer"),
        errors=(*BODY, EventLogUnavailable),
        body=_body(reference(f"{spec.name}.PredictRequest"), request=example_request(spec)),
    )


def _predict_batch(spec: ModelSpec) -> Operation:
    return _operation(
        f"{spec.name}_predict_batch",
        "Several at once, each answered or refused on its own",
        reference("Answers"),
        errors=BODY,
        body=_body(rows(reference(f"{spec.name}.PredictRequest"), at_most=ROWS_AT_MOST), rows=[example_request(spec)]),
    )


def _outcomes(spec: ModelSpec) -> Operation:
    one = reference(f"{spec.name}.Outcome")
    return _operation(
        f"{spec.name}_outcomes",
        "What turned out to be true, of one prediction or of several",
        {"anyOf": [reference("Receipt"), reference("Receipts")]},
        errors=(*BODY, EventLogUnavailable),
        body=_body(
            {"anyOf": [one, rows(one, at_most=ROWS_AT_MOST)]},
            one=example_outcome(spec),
            several=[example_outcome(spec)],
        ),
    )


def _write_features(spec: ModelSpec) -> Operation:
    return _operation(
        f"{spec.name}_write_features",
        f"Write features of a {spec.entity} into the online store",
        reference("Written"),
        errors=(*BODY, FeatureSourceDown),
        body=_body(reference(f"{spec.name}.FeatureReadings"), readings=example_readings(spec)),
        parameters=[_entity(spec)],
    )


def _availability(spec: ModelSpec) -> Operation:
    return _operation(
        f"{spec.name}_availability",
        "Whether the model may answer now, with nothing recorded",
        reference("Availability"),
        errors=(MalformedJson, InvalidRequest),
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


def _text(name: str, summary: str, media_type: str = "text/plain") -> Operation:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": "OK", "content": {media_type: {"schema": {"type": "string"}}}}},
    }


def _read(name: str, summary: str, answer: Schema, *errors: type[BellwetherError]) -> Operation:
    return _operation(name, summary, answer, errors=errors)


def _operation(name: str, summary: str, answer: Schema, *, errors: Errors = (), **more: Any) -> Operation:
    """`more` are members of the operation; a `body` becomes its request body."""
    body = {"requestBody": more.pop("body")} if "body" in more else {}
    answered = {"200": {"description": "OK", "content": {JSON: {"schema": answer}}}}
    return {
        "operationId": name,
        "summary": summary,
        **more,
        **body,
        "responses": {**answered, **_refusals(errors, reads_a_body=bool(body))},
    }


def _body(schema: Schema, **examples: Any) -> dict[str, Any]:
    named = {name: {"value": value} for name, value in examples.items()}
    return {"required": True, "content": {JSON: {"schema": schema, "examples": named}}}


def _refusals(errors: Errors, *, reads_a_body: bool) -> dict[str, Any]:
    """Responses by status, each with the codes that it can carry."""
    codes: dict[HTTPStatus, list[str]] = {}
    for error in errors:
        codes.setdefault(STATUS[error], []).append(error.code)
    if reads_a_body:
        codes[HTTPStatus.BAD_REQUEST].append(CLIENT_GONE)
    codes[HTTPStatus.INTERNAL_SERVER_ERROR] = [BellwetherError.code]
    return {str(status.value): _refusal(status, codes[status]) for status in sorted(codes)}


def _refusal(status: HTTPStatus, codes: Iterable[str]) -> dict[str, Any]:
    listed = sorted(codes)
    schema = {"allOf": [reference("Problem"), {"properties": {"error": {"enum": listed}}}]}
    return {"description": f"{status.phrase}: {', '.join(listed)}", "content": {PROBLEM_JSON: {"schema": schema}}}
