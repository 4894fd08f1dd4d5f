"""How one operation is described: what it takes, whom it answers, and what it refuses."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from services.core.errors import BellwetherError, InvalidRequest
from services.entrypoints.access import Access, Unauthorized
from services.entrypoints.http_json import JSON, BodyTooLarge, MalformedJson, UnsupportedMediaType
from services.entrypoints.http_problems import CLIENT_GONE, PROBLEM_JSON, STATUS
from services.entrypoints.openapi.requests import Schema, reference

Operation = dict[str, Any]
Errors = tuple[type[BellwetherError], ...]
Security = list[dict[str, list[str]]]

BODY: Final[Errors] = (MalformedJson, BodyTooLarge, UnsupportedMediaType, InvalidRequest)
"""What is wrong with a body."""

PROBLEM: Final = "Problem"
BEARER: Final = "bearer"

NOBODY: Final[Security] = []
"""Nobody is asked for a token."""
TOKEN: Final[Security] = [{BEARER: []}]
EITHER: Final[Security] = [{}, *TOKEN]
"""What is sent decides whether a token is needed."""


def to_write(access: Access) -> Security:
    return TOKEN if access.to_write else NOBODY


def to_predict(access: Access) -> Security:
    return TOKEN if access.to_predict else NOBODY


def security_schemes(access: Access) -> dict[str, Any]:
    """Components for what the operations ask, which is nothing where there is no token."""
    if not access.tokens:
        return {}
    described = "A token that the service was started with: BELLWETHER_TOKEN, or one of BELLWETHER_TOKEN_FILE."
    return {"securitySchemes": {BEARER: {"type": "http", "scheme": "bearer", "description": described}}}


def text(name: str, summary: str, media_type: str = "text/plain") -> Operation:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": "OK", "content": {media_type: {"schema": {"type": "string"}}}}},
    }


def operation(
    name: str,
    summary: str,
    answer: Schema,
    *,
    errors: Errors = (),
    security: Security = NOBODY,
    problem: str = PROBLEM,
    **more: Any,
) -> Operation:
    """`more` are members of the operation; a `body` becomes its request body. `problem` names the errors' schema."""
    asked = {"security": security} if security else {}
    body = {"requestBody": more.pop("body")} if "body" in more else {}
    answered = {"200": {"description": "OK", "content": {JSON: {"schema": answer}}}}
    errors = (*errors, Unauthorized) if security else errors
    return {
        "operationId": name,
        "summary": summary,
        **more,
        **asked,
        **body,
        "responses": {**answered, **_refusals(errors, reads_a_body=bool(body), problem=problem)},
    }


def json_body(schema: Schema, **examples: Any) -> dict[str, Any]:
    named = {name: {"value": value} for name, value in examples.items()}
    return {"required": True, "content": {JSON: {"schema": schema, "examples": named}}}


def _refusals(errors: Errors, *, reads_a_body: bool, problem: str) -> dict[str, Any]:
    """Responses by status, each with the codes that it can carry."""
    codes: dict[HTTPStatus, list[str]] = {}
    for error in errors:
        codes.setdefault(STATUS[error], []).append(error.code)
    if reads_a_body:
        codes[HTTPStatus.BAD_REQUEST].append(CLIENT_GONE)
    codes[HTTPStatus.INTERNAL_SERVER_ERROR] = [BellwetherError.code]
    return {str(status.value): _refusal(status, codes[status], problem) for status in sorted(codes)}


def _refusal(status: HTTPStatus, codes: Iterable[str], problem: str) -> dict[str, Any]:
    listed = sorted(codes)
    schema = reference(problem)
    if problem == PROBLEM:
        schema = {"allOf": [schema, {"properties": {"error": {"enum": listed}}}]}
    return {"description": f"{status.phrase}: {', '.join(listed)}", "content": {PROBLEM_JSON: {"schema": schema}}}
