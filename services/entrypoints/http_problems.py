"""The one table from errors to HTTP, as problem details (RFC 9457)."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from services.core.errors import (
    BellwetherError,
    ContentRefused,
    EventLogUnavailable,
    FeatureSourceDown,
    InvalidRequest,
    StoreUnavailable,
    UnknownModel,
    UnknownVersion,
)
from services.entrypoints.access import CrossSite, Unauthorized, UnknownHost
from services.entrypoints.http_json import BodyTooLarge, MalformedJson, UnsupportedMediaType, answer

PROBLEM_JSON: Final = "application/problem+json"

STATUS: Final[dict[type[BellwetherError], HTTPStatus]] = {
    MalformedJson: HTTPStatus.BAD_REQUEST,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    CrossSite: HTTPStatus.FORBIDDEN,
    UnknownModel: HTTPStatus.NOT_FOUND,
    UnknownVersion: HTTPStatus.NOT_FOUND,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    UnknownHost: HTTPStatus.MISDIRECTED_REQUEST,
    InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    ContentRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    EventLogUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    FeatureSourceDown: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""An error that is not here is this program's fault: 500."""

RETRY_AFTER_SECONDS: Final = "1"

ROUTING_CODES: Final = {404: "unknown_path", 405: "method_not_allowed"}
INFERENCE: Final = "/v2"
"""Where the Open Inference Protocol begins. It has a message in `error`, of which its clients show nothing else."""

CLIENT_GONE: Final = "client_gone"

MALFORMED_HTTP: Final = "malformed_http"
REQUEST_TIMEOUT: Final = "request_timeout"
HEADERS_TOO_LARGE: Final = "headers_too_large"
OVERLOADED: Final = "overloaded"
TIMED_OUT: Final = "timed_out"
SERVER_CODES: Final = {
    MALFORMED_HTTP: HTTPStatus.BAD_REQUEST,
    REQUEST_TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
    HEADERS_TOO_LARGE: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
    TIMED_OUT: HTTPStatus.GATEWAY_TIMEOUT,
}
"""What the server refuses before, or gives up on while, the application has the request."""

CODES: Final = frozenset(
    {*(error.code for error in STATUS), *ROUTING_CODES.values(), *SERVER_CODES, CLIENT_GONE, BellwetherError.code}
)
"""Every `error` that a problem can have, and every code of `bellwether_requests_refused_total`."""

Refused = Callable[[str], None]
"""Told the code of every request that got an error."""

logger = logging.getLogger(__name__)


def status_of(error: BellwetherError) -> HTTPStatus:
    return STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)


def problem_of(error: BellwetherError) -> dict[str, Any]:
    """The members of the problem; `faults` names every bad field of a request, or the first and how many there are."""
    members = problem_members(status_of(error), error.code, str(error))
    if isinstance(error, InvalidRequest):
        members["faults"] = [{"field": fault.field, "problem": fault.problem} for fault in error.listed]
    return members


def exception_handlers(refused: Refused) -> dict[Any, Callable[[Request, Any], Any]]:
    """Starlette's handlers: for our own errors, its routing's, callers that went away, and what nobody expected."""

    async def known(request: Request, error: BellwetherError) -> Response:
        refused(error.code)
        return _response(request, problem_of(error), retriable=error.retriable)

    async def unrouted(request: Request, error: HTTPException) -> Response:
        code = ROUTING_CODES.get(error.status_code, BellwetherError.code)
        refused(code)
        detail = f"{request.method} {request.url.path[:200]}: {error.detail}; GET /v1/models lists what there is"
        response = _response(request, problem_members(HTTPStatus(error.status_code), code, detail))
        response.headers.update(error.headers or {})
        return response

    async def gone(request: Request, _error: ClientDisconnect) -> Response:
        refused(CLIENT_GONE)
        return _response(request, problem_members(HTTPStatus.BAD_REQUEST, CLIENT_GONE, "the body ended early"))

    async def unexpected(request: Request, _error: Exception) -> Response:
        refused(BellwetherError.code)
        # Starlette raises it again behind this answer, and the server logs it with its traceback.
        detail = "the service failed; its log says why"
        return _response(request, problem_members(HTTPStatus.INTERNAL_SERVER_ERROR, BellwetherError.code, detail))

    return {BellwetherError: known, HTTPException: unrouted, ClientDisconnect: gone, Exception: unexpected}


def problem_members(status: HTTPStatus, code: str, detail: str) -> dict[str, Any]:
    """The members of every problem (RFC 9457)."""
    return {
        "type": f"urn:bellwether:problem:{code}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "error": code,
    }


def problem_response(status: HTTPStatus, code: str, detail: str) -> Response:
    return answer(problem_members(status, code, detail), status=status, media_type=PROBLEM_JSON)


def _response(request: Request, members: dict[str, Any], *, retriable: bool = False) -> Response:
    if f"{request.scope['path']}/".startswith(f"{INFERENCE}/"):
        members["error"] += f": {members['detail']}"
    response = answer(members, status=members["status"], media_type=PROBLEM_JSON)
    if members["status"] == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if retriable:
        response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return response
