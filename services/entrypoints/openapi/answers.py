"""JSON Schemas of what the routes answer: the structs that they encode, and the objects that they put together."""

from typing import Any, Final

import msgspec

from services.core.artifacts import ServedForm
from services.core.features import FeatureVerdict, WriteResult
from services.core.predictions import Answer
from services.entrypoints.http_problems import CODES
from services.entrypoints.openapi.operation import PROBLEM
from services.entrypoints.openapi.requests import Schema, reference
from services.serving.outcomes import COUNTERS, Receipt

_TEXT: Final[Schema] = {"type": "string"}
_TEXTS: Final[Schema] = {"type": "array", "items": _TEXT}
_STORED: Final[Schema] = {**_TEXTS, "description": "Those of which the store has what was sent: all but `kept_newer`."}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_PROBLEM_OF_MODEL: Final[Schema] = {
    "type": "string",
    "description": "Why the champion that was asked for does not answer; empty when it does.",
}


def answer_schemas() -> dict[str, Schema]:
    """Components by name. Members may be added to an answer; none is taken away."""
    _, structs = msgspec.json.schema_components(
        (Answer, Receipt, FeatureVerdict), ref_template="#/components/schemas/{name}"
    )
    return {
        **structs,
        "Answers": _answers(),
        "Receipts": _receipts(),
        "Written": _written(),
        "Availability": _availability(),
        "ModelLine": _model_line(),
        "Models": opened({"models": {"type": "array", "items": reference("ModelLine")}}),
        "ModelCard": _model_card(),
        PROBLEM: problem_schema(),
    }


def _answers() -> Schema:
    refused = opened({"problem": reference(PROBLEM)})
    return {"type": "array", "items": {"oneOf": [opened({"answer": reference("Answer")}), refused]}}


def _receipts() -> Schema:
    rows = {"type": "array", "items": reference("Receipt")}
    return opened({**dict.fromkeys(COUNTERS.values(), _COUNT), "rows": rows})


def _written() -> Schema:
    results = {"type": "object", "additionalProperties": {"enum": [result.value for result in WriteResult]}}
    return opened({"model": _TEXT, "entity_id": _TEXT, "written": _STORED, "features": results})


def _availability() -> Schema:
    return opened(
        {
            "model": _TEXT,
            "version": {"type": "string", "description": "What would answer; empty while that is the rule."},
            "entity_id": _TEXT,
            "model_may_answer": {"type": "boolean"},
            "reasons": _TEXTS,
            "features": {"type": "object", "additionalProperties": reference("FeatureVerdict")},
            "at": {"type": "string", "format": "date-time"},
        }
    )


def _model_line() -> Schema:
    return opened(dict.fromkeys(("name", "meaning", "owner", "version"), _TEXT))


def _model_card() -> Schema:
    features = {"type": "array", "items": opened(dict.fromkeys(("name", "kind", "source", "meaning"), _TEXT))}
    members = {"versions": _TEXTS, **_served(), "problem": _PROBLEM_OF_MODEL, "entity": _TEXT, "features": features}
    return {"allOf": [reference("ModelLine"), opened(members)]}


def _served() -> dict[str, Schema]:
    """Of the version that answers; nulls while that is the rule."""
    forms = [form.value for form in ServedForm]
    return {
        "served_form": {"enum": [*forms, None], "description": "What scores."},
        "not_converted": {"type": ["string", "null"], "description": "Why it is not ONNX; null when it is."},
        "parity": {
            "type": ["number", "null"],
            "description": "Largest difference between its scores and the trained estimator's.",
        },
    }


def problem_schema() -> Schema:
    fault = opened({"field": _TEXT, "problem": _TEXT})
    members: dict[str, Any] = {
        "type": {"type": "string", "format": "uri"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "error": {"enum": sorted(CODES), "description": "The code to branch on; it stays the same."},
    }
    problem = opened(members)
    problem["properties"]["faults"] = {
        "type": "array",
        "items": fault,
        "description": "Of `invalid_request`: every bad field of the request.",
    }
    return problem


def opened(properties: dict[str, Any]) -> Schema:
    """An object with at least these members."""
    return {"type": "object", "properties": properties, "required": list(properties)}
