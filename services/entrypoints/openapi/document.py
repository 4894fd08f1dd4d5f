"""The document: every route, with what each model's own spec says about it."""

from collections.abc import Iterable
from typing import Any, Final

from services.core.spec import ModelSpec
from services.entrypoints.openapi.answers import answer_schemas
from services.entrypoints.openapi.operations import model_paths, shared_paths
from services.entrypoints.openapi.requests import request_schemas

_DESCRIPTION: Final = """\
Predictions with a verdict on every feature. Each model has its own paths, because each takes its own features.

A value of the wrong JSON type refuses the request, and all faults are named at once. A value of the right type that is
out of range, or a category that was never seen, does not: its feature is answered as `invalid`, and the spec says
whether the model may answer without it. Errors are problem details (RFC 9457) with a code in `error`.
"""


def document(specs: Iterable[ModelSpec]) -> dict[str, Any]:
    """OpenAPI 3.1 of a service that hosts these models."""
    hosted = tuple(specs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bellwether", "version": "1", "description": _DESCRIPTION},
        "paths": {**shared_paths(), **{path: item for spec in hosted for path, item in model_paths(spec).items()}},
        "components": {"schemas": _schemas(hosted)},
        "tags": [{"name": spec.name, "description": f"{spec.meaning} Owner: {spec.owner}."} for spec in hosted],
    }


def _schemas(specs: tuple[ModelSpec, ...]) -> dict[str, Any]:
    return {**answer_schemas(), **{name: each for spec in specs for name, each in request_schemas(spec).items()}}
