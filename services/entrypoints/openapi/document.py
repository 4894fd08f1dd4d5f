"""The document: every route, with what each model's own spec says about it."""

from collections.abc import Iterable
from typing import Any, Final

from services.core.spec import ModelSpec
from services.entrypoints.access import OPEN, Access
from services.entrypoints.openapi.answers import answer_schemas
from services.entrypoints.openapi.inference import (
    inference_paths,
    inference_schemas,
    shared_inference_paths,
    shared_inference_schemas,
)
from services.entrypoints.openapi.operation import security_schemes
from services.entrypoints.openapi.operations import model_paths, shared_paths
from services.entrypoints.openapi.requests import request_schemas

_DESCRIPTION: Final = """\
Predictions with a verdict on every feature. Each model has its own paths, because each takes its own features.

A value of the wrong JSON type refuses the request, and all faults are named at once. A value of the right type that is
out of range, or a category that was never seen, does not: its feature is answered as `invalid`, and the spec says
whether the model may answer without it. Errors are problem details (RFC 9457) with a code in `error`.

Under /v2 the same models speak the Open Inference Protocol, whose errors have a message in `error`.
"""


def document(specs: Iterable[ModelSpec], access: Access = OPEN) -> dict[str, Any]:
    """OpenAPI 3.1 of a service that hosts these models and asks this of its callers."""
    hosted = tuple(specs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bellwether", "version": "1", "description": _DESCRIPTION},
        "paths": _paths(hosted, access),
        "components": {"schemas": _schemas(hosted), **security_schemes(access)},
        "tags": [{"name": spec.name, "description": f"{spec.meaning} Owner: {spec.owner}."} for spec in hosted],
    }


def _paths(specs: tuple[ModelSpec, ...], access: Access) -> dict[str, Any]:
    paths = {**shared_paths(), **shared_inference_paths()}
    for spec in specs:
        paths |= model_paths(spec, access) | inference_paths(spec, access)
    return paths


def _schemas(specs: tuple[ModelSpec, ...]) -> dict[str, Any]:
    schemas = {**answer_schemas(), **shared_inference_schemas()}
    for spec in specs:
        schemas |= request_schemas(spec) | inference_schemas(spec)
    return schemas
