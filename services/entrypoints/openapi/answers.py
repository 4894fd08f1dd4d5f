"""JSON Schemas of what the routes answer: the structs that they encode, and the objects that they put together."""

from typing import Any, Final

import msgspec

from services.core.features import FeatureVerdict
from services.core.predictions import Answer
from services.entrypoints.http_problems import CODES
from services.entrypoints.openapi.requests import Schema, reference
from services.serving.outcomes import Receipt

_TEXT: Final[Schema] = {"type": "string"}
_TEXTS: Final[Schema] = {"type": "array", "items": _TEXT}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}


def answer_schemas() -> dict[str, Schema]:
    """Components by name. Members may be added to an answer; none is taken away."""
    _, structs = msgspec.json.schema_components(
        (Answer, Receipt, FeatureVerdict), ref_template="#/components/schemas/{name}"
    )
    return {
        **structs,
        "Answers": _answers(),
        "Receipts": _receipts(),
        "Written": _open({"model": _TEXT, "entity_id": _TEXT, "written": _TEXTS}),
        "Availability": _availability(),
        "ModelLine": _model_line(),
        "Models": _open({"models": {"type": "array", "items": reference("ModelLine")}}),
        "ModelCard": _model_card(),
        "Problem": _problem(),
    }


def _answers() -> Schema:
    refused = _open({"problem": reference("Problem")})
    return {"type": "array", "items": {"oneOf": [_open({"answer": reference("Answer")}), refused]}}


def _receipts() -> Schema:
    rows = {"type": "array", "items": reference("Receipt")}
    return _open({"accepted": _COUNT, "duplicates": _COUNT, "refused": _COUNT, "rows": rows})


def _availability() -> Schema:
    return _open(
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
    return _open(dict.fromkeys(("name", "meaning", "owner", "version"), _TEXT))


def _model_card() -> Schema:
    features = {"type": "array", "items": _open(dict.fromkeys(("name", "kind", "source", "meaning"), _TEXT))}
    return {"allOf": [reference("ModelLine"), _open({"versions": _TEXTS, "entity": _TEXT, "features": features})]}


def _problem() -> Schema:
    fault = _open({"field": _TEXT, "problem": _TEXT})
    members: dict[str, Any] = {
        "type": {"type": "string", "format": "uri"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "error": {"enum": sorted(CODES), "description": "The code to branch on; it stays the same."},
    }
    problem = _open(members)
    problem["properties"]["faults"] = {
        "type": "array",
        "items": fault,
        "description": "Of `invalid_request`: every bad field of the request.",
    }
    return problem


def _open(properties: dict[str, Any]) -> Schema:
    """An object with at least these members."""
    return {"type": "object", "properties": properties, "required": list(properties)}
