"""The Open Inference Protocol in the document: its paths by model, with the tensors named, and its schemas.

Tensors as JSON are described. That they may also come as bytes, as columns of one column, and as whole numbers, is said
in words: these are choices of clients that speak the protocol, which nobody generates from this document.
"""

from typing import Any, Final

from services.core.errors import EventLogUnavailable, UnknownVersion
from services.core.spec import Categorical, Feature, ModelSpec, Source
from services.entrypoints.access import Access
from services.entrypoints.http_json import OCTETS, ROWS_AT_MOST
from services.entrypoints.oip.tensors import BYTES, ENTITY, FIELDS, FP64, OUTPUTS
from services.entrypoints.openapi.answers import opened, problem_schema
from services.entrypoints.openapi.operation import BODY, EITHER, Operation, Security, operation, to_predict, to_write
from services.entrypoints.openapi.operation import json_body as body
from services.entrypoints.openapi.requests import (
    IDENTIFIER,
    MOMENT,
    NO_VALUE,
    REPEATED,
    Schema,
    closed,
    example_features,
    feature_values,
    reference,
)

PROBLEM: Final = "InferenceProblem"

_TEXT: Final[Schema] = {"type": "string"}
_VERSION: Final = {
    "name": "version",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]+$"},
    "description": "The version that answers now; another one is refused.",
}
_NO_TEXT: Final[Schema] = {"const": "", "description": "There is no value."}


def shared_inference_paths() -> dict[str, Any]:
    live, ready = opened({"live": {"const": True}}), opened({"ready": {"const": True}})
    return {
        "/v2": {"get": _read("inference_server", "The server and its extensions", reference("InferenceServer"))},
        "/v2/health/live": {"get": _read("inference_live", "Whether the process answers", live)},
        "/v2/health/ready": {"get": _health("inference_ready", "Whether predictions can be asked for", ready)},
    }


def inference_paths(spec: ModelSpec, access: Access) -> dict[str, Any]:
    """Those of one model, without a version and with one."""
    path = f"/v2/models/{spec.name}"
    return {
        **_paths_of(spec, path, f"{spec.name}_inference", access),
        **_paths_of(spec, f"{path}/versions/{{version}}", f"{spec.name}_version_inference", access),
    }


def inference_schemas(spec: ModelSpec) -> dict[str, Schema]:
    return {f"{spec.name}.InferenceRequest": _request(spec)}


def shared_inference_schemas() -> dict[str, Schema]:
    problem = problem_schema()
    message = {"type": "string", "description": "The code, and what was wrong. The code alone ends `type`."}
    tensor = opened({"name": _TEXT, "datatype": _TEXT, "shape": {"type": "array", "items": {"type": "integer"}}})
    tensors = {"type": "array", "items": tensor}
    texts = {"type": "array", "items": _TEXT}
    return {
        PROBLEM: {**problem, "properties": {**problem["properties"], "error": message}},
        "InferenceServer": opened({"name": _TEXT, "version": _TEXT, "extensions": texts}),
        "InferenceModel": opened(
            {"name": _TEXT, "versions": texts, "platform": _TEXT, "inputs": tensors, "outputs": tensors}
        ),
        "InferenceResponse": opened({"model_name": _TEXT, "model_version": _TEXT, "outputs": tensors}),
    }


def example_inference(spec: ModelSpec) -> dict[str, Any]:
    kinds = {feature.name: _datatype(feature) for feature in spec.features}
    values = {ENTITY: f"{spec.entity}-1", **example_features(spec)}
    tensors = [
        {"name": name, "shape": [1], "datatype": kinds.get(name, BYTES), "data": [value]}
        for name, value in values.items()
    ]
    return {"inputs": tensors}


def _paths_of(spec: ModelSpec, path: str, name: str, access: Access) -> dict[str, Any]:
    ready = opened({"name": {"const": spec.name}, "ready": {"const": True}})
    model = _read(f"{name}_model", "What is taken and answered", reference("InferenceModel"))
    operations = {
        path: ("get", model),
        f"{path}/ready": ("get", _health(f"{name}_model_ready", "Whether the model can be asked", ready)),
        f"{path}/infer": ("post", _infer(spec, name, access)),
    }
    return {
        path: {verb: {**_with_version(each, path), "tags": [spec.name]}} for path, (verb, each) in operations.items()
    }


def _with_version(of: Operation, path: str) -> Operation:
    if "{version}" not in path:
        return of
    unknown = operation("", "", {}, errors=(UnknownVersion,), problem=PROBLEM)["responses"]["404"]
    return {**of, "parameters": [_VERSION], "responses": {**of["responses"], "404": unknown}}


def _infer(spec: ModelSpec, name: str, access: Access) -> Operation:
    described = operation(
        f"{name}_infer",
        f"{spec.meaning} (Open Inference Protocol)",
        reference("InferenceResponse"),
        errors=(*BODY, EventLogUnavailable),
        security=_asked(access),
        problem=PROBLEM,
        body=body(reference(f"{spec.name}.InferenceRequest"), request=example_inference(spec)),
    )
    described["responses"]["200"]["content"][OCTETS] = {"schema": {"type": "string", "format": "binary"}}
    return described


def _asked(access: Access) -> Security:
    """One row is a prediction, several are a batch."""
    return EITHER if to_write(access) and not to_predict(access) else to_predict(access)


def _read(name: str, summary: str, answer: Schema) -> Operation:
    return operation(name, summary, answer, problem=PROBLEM)


def _health(name: str, summary: str, answer: Schema) -> Operation:
    described = _read(name, summary, answer)
    described["responses"]["503"] = {"description": "Not yet, or not any more: `ready` is false."}
    return described


def _request(spec: ModelSpec) -> Schema:
    given = [feature for feature in spec.features if feature.source is Source.REQUEST]
    tensors = [*_fields(spec), *map(_feature, given)]
    entity = {"properties": {"name": {"const": ENTITY}}, "required": ["name"]}
    output = closed({"name": {"enum": list(OUTPUTS)}, "parameters": _flags("binary_data")}, required=["name"])
    return closed(
        {
            "id": {"type": "string", "description": "Answered as it came. `request_id` is what makes repeating safe."},
            "parameters": _flags("binary_data_output", open_to_others=True),
            "inputs": {
                "type": "array",
                "items": {"anyOf": tensors},
                "contains": entity,
                "minItems": 1,
                "maxItems": len(tensors),
                "description": "Each at most once, all with equally many rows.",
            },
            "outputs": {
                "type": "array",
                "items": output,
                "maxItems": len(OUTPUTS),
                "description": "Each at most once; all of them when none is named.",
            },
        },
        required=["inputs"],
        example=example_inference(spec),
    )


def _fields(spec: ModelSpec) -> list[Schema]:
    entity, request_id, started_at = FIELDS
    return [
        _tensor(entity, BYTES, IDENTIFIER, f"The {spec.entity}."),
        _tensor(request_id, BYTES, _or_none(IDENTIFIER), REPEATED),
        _tensor(started_at, BYTES, _or_none(MOMENT), f"When the {spec.entity} came to be."),
    ]


def _feature(feature: Feature) -> Schema:
    values = feature_values(feature)
    return _tensor(feature.name, _datatype(feature), {"anyOf": values["anyOf"]}, values["description"])


def _datatype(feature: Feature) -> str:
    return BYTES if isinstance(feature.kind, Categorical) else FP64


def _tensor(name: str, datatype: str, element: Schema, description: str) -> Schema:
    also = "" if datatype == BYTES else "FP32, and INT8 to UINT64 for whole numbers, are taken as well."
    rows = {"type": "integer", "minimum": 0, "maximum": ROWS_AT_MOST}
    members: dict[str, Schema] = {
        "name": {"const": name},
        "datatype": {"const": datatype, "description": also},
        "shape": {
            "type": "array",
            "items": rows,
            "minItems": 1,
            "maxItems": 1,
            "description": "The number of rows. [n, 1] is taken as well.",
        },
        "data": {
            "type": "array",
            "items": element,
            "maxItems": ROWS_AT_MOST,
            "description": "As many as there are rows. In its place the parameter `binary_data_size` may announce "
            "bytes behind the JSON, as Triton's binary tensor data extension has it.",
        },
    }
    return {**closed(members, required=list(members)), "description": description}


def _flags(name: str, *, open_to_others: bool = False) -> Schema:
    described = {"type": "boolean", "description": "Whether outputs come as bytes behind the JSON."}
    return {**closed({name: described}), "additionalProperties": open_to_others}


def _or_none(element: Schema) -> Schema:
    return {"anyOf": [element, _NO_TEXT, NO_VALUE]}
