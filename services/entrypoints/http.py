"""The routes of the prediction service. Each decodes, calls one use case, and encodes; `http_problems` maps errors."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.core.errors import BellwetherError, Fault, InvalidRequest
from services.core.features import WriteResult
from services.core.predictions import Answer, answer_of
from services.entrypoints.access import OPEN, Access
from services.entrypoints.http_json import (
    JSON,
    ROWS_AT_MOST,
    ROWS_AT_ONCE,
    SECURITY_HEADERS,
    answer,
    body_of,
    checked_body,
    decoded,
)
from services.entrypoints.http_problems import exception_handlers, problem_of
from services.entrypoints.http_views import index_page, model_card, model_line
from services.entrypoints.oip import InferenceRoutes
from services.entrypoints.openapi import document
from services.entrypoints.urls import require_readable
from services.entrypoints.worker import HostedModel, Worker
from services.metrics import CONTENT_TYPE, exposition
from services.serving.availability import CLOCK_SKEW, blocking, without_values
from services.serving.decision import NO_MODEL
from services.serving.outcomes import COUNTERS
from services.serving.requests import Faults, Listing, entity_id, feature_readings, prediction_request

MODELS: Final = "/v1/models/"
PREDICT: Final = "/predict"

ENTITY: Final = "entity"
"""How a route reads an entity's id."""

QUERY: Final = ("features", "started_at")
"""What stands in for a request's own members where availability is asked for."""

SERVER_READS: Final = ("/livez", "/healthz", "/readyz", "/schema.json")
SERVER_API: Final = "/predict"
"""Of the server around it: its health, and what its own clients read and post to."""

Predict = Callable[[Request], Awaitable[Response]]
Handlers = Mapping[Any, Callable[[Request, Any], Awaitable[Response]]]


def build_app(
    worker: Callable[[], Worker], *, body_limit: int, access: Access = OPEN, server: ASGIApp | None = None
) -> ASGIApp:
    """The application; `worker` is asked at each request, since it opens after the application was built.

    `server` answers what is asked of itself: its health, and the API and schema of its own clients.
    """
    routes = Routes(worker, body_limit, access)
    handlers = exception_handlers(routes.count_refused)
    model = "/v1/models/{model}"
    features = f"{model}/entities/{{entity_id:{ENTITY}}}/features"
    app = Starlette(
        routes=[
            Route(f"{model}/predict", routes.predict, methods=["POST"], middleware=access.to_predict),
            Route(f"{model}/predict:batch", routes.predict_batch, methods=["POST"], middleware=access.to_write),
            Route(f"{model}/outcomes", routes.outcomes, methods=["POST"], middleware=access.to_write),
            Route(features, routes.write_features, methods=["PUT"], middleware=access.to_write),
            Route(f"{model}/entities/{{entity_id:{ENTITY}}}/availability", routes.availability, methods=["GET"]),
            Route("/v1/models", routes.models, methods=["GET"]),
            Route(model, routes.model, methods=["GET"]),
            Route("/metrics", routes.metrics, methods=["GET"]),
            Route("/openapi.json", routes.openapi, methods=["GET"]),
            Route("/", routes.index, methods=["GET"]),
            *InferenceRoutes(worker, body_limit=body_limit, access=access).routes(),
            *([] if server is None else _routes_of(server, body_limit, access)),
        ],
        exception_handlers=handlers,
    )
    # A redirect would be built from the Host header, which the caller chooses.
    app.router.redirect_slashes = False
    return Whole(app, access.before_predict(routes.predict), handlers, access)


def _routes_of(server: ASGIApp, body_limit: int, access: Access) -> list[Route]:
    read = [Route(path, server, methods=["GET"]) for path in SERVER_READS]
    strictly = StrictlyRead(server, limit=body_limit)
    return [*read, Route(SERVER_API, strictly, methods=["POST"], middleware=access.to_predict)]


class EntityConvertor(PathConvertor):
    """Ids are the callers' own: they may have slashes, and line breaks, which Starlette's paths may not."""

    regex = r"[\s\S]*"


register_url_convertor(ENTITY, EntityConvertor())


class Whole:
    """The application behind what is asked of every request, with a short cut.

    A question for one prediction goes straight to its route. The router and the layers that turn errors into answers
    would cost such a request a fifth of its time; all others pass through them.
    """

    def __init__(self, app: Starlette, predict: Predict, handlers: Handlers, access: Access) -> None:
        self._app = app
        self._predict = predict
        self._handlers = handlers
        self._problem = access.problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (error := self._refusal(scope)) is not None:
            await (await self._answered(Request(scope, receive, send), error))(scope, receive, send)
            return
        model = _predicting(scope)
        if model is None:
            await self._app(scope, receive, send)
            return
        scope["path_params"] = {"model": model}
        request = Request(scope, receive, send)
        try:
            response = await self._predict(request)
        except Exception as error:
            await (await self._answered(request, error))(scope, receive, send)
            if not isinstance(error, BellwetherError | ClientDisconnect):
                raise
        else:
            await response(scope, receive, send)

    def _refusal(self, scope: Scope) -> BellwetherError | None:
        """Why nobody is asked: the caller may not, or nobody could tell what it names."""
        try:
            require_readable(scope)
        except InvalidRequest as error:
            return error
        return self._problem(scope["method"], scope["path"], scope["headers"])

    async def _answered(self, request: Request, error: Exception) -> Response:
        """As Starlette chooses among the handlers: that of the nearest class."""
        handler = next(self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers)
        response: Response = await handler(request, error)
        return response


class OursFirst:
    """Middleware of the server around it: every request is routed by us, so that all refusals look alike.

    `build(server=…)` makes the application, which hands the few paths of the server itself back to it.
    """

    def __init__(self, app: ASGIApp, build: Callable[..., ASGIApp]) -> None:
        self._server = app
        self._ours = build(server=app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._ours if scope["type"] == "http" else self._server)(scope, receive, send)


class StrictlyRead:
    """Before an API of the server, whose own reading takes any content type, any length and NaN for a number."""

    def __init__(self, server: ASGIApp, *, limit: int) -> None:
        self._server = server
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        unread = [{"type": "http.request", "body": await checked_body(Request(scope, receive), limit=self._limit)}]

        async def again() -> Message:
            return unread.pop() if unread else await receive()

        await self._server(scope, again, send)


def _predicting(scope: Scope) -> str | None:
    """The model of a POST to /v1/models/{model}/predict, else None."""
    if scope["method"] != "POST":
        return None
    path: str = scope["path"]
    if not (path.startswith(MODELS) and path.endswith(PREDICT)):
        return None
    model = path[len(MODELS) : -len(PREDICT)]
    return model if model and "/" not in model else None


class Routes:
    def __init__(self, worker: Callable[[], Worker], body_limit: int, access: Access) -> None:
        self._worker = worker
        self._limit = body_limit
        self._access = access

    async def predict(self, request: Request) -> Response:
        hosted = self._hosted(request)
        return answer(await predicted(hosted, await self._body(request)))

    async def predict_batch(self, request: Request) -> Response:
        """`[{"answer": …} or {"problem": …}, …]`, one per row in order."""
        hosted = self._hosted(request)
        rows = _rows(await self._body(request))
        results: list[dict[str, Any]] = []
        listing = Listing()
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            results += await asyncio.gather(*(self._row(hosted, row, listing) for row in some))
        return answer(results)

    async def outcomes(self, request: Request) -> Response:
        """One object: its receipt, or the problem. A list: `{"rows": […]}`, and how many came to each of `COUNTERS`."""
        recorder = self._hosted(request).outcomes
        body = await self._body(request)
        if not isinstance(body, list):
            return answer(await recorder.observe(body))
        receipts = await recorder.observe_many(_rows(body))
        results = Counter(each.result for each in receipts)
        counts = {name: results[result] for result, name in COUNTERS.items()}
        return answer({**counts, "rows": receipts})

    async def write_features(self, request: Request) -> Response:
        hosted, worker = self._hosted(request), self._worker()
        with _counted_write(worker, hosted.spec.name):
            entity = entity_id(request.path_params["entity_id"])
            now = worker.now()
            readings = feature_readings(hosted.spec, await self._body(request), now=now)
            results = await worker.features.write(hosted.spec.name, entity, readings, not_after=now + CLOCK_SKEW)
        stored = [name for name, result in results.items() if result is not WriteResult.KEPT_NEWER]
        return answer({"model": hosted.spec.name, "entity_id": entity, "written": stored, "features": results})

    async def availability(self, request: Request) -> Response:
        """`?features={…}&started_at=…` stand in for a request's own; without them its features are missing.

        Whoever could not write the values is not told them either.
        """
        hosted = self._hosted(request)
        may_see_values = self._access.may_write(request.headers)
        asked = prediction_request(hosted.spec, _asked(request))
        verdicts, at = await hosted.predictor.verdicts(asked)
        serving = hosted.watch.champion()
        reasons = (NO_MODEL, *blocking(hosted.spec, verdicts)) if serving is None else blocking(serving.spec, verdicts)
        return answer(
            {
                "model": hosted.spec.name,
                "version": hosted.version,
                "entity_id": asked.entity_id,
                "model_may_answer": not reasons,
                "reasons": reasons,
                "features": verdicts if may_see_values else without_values(verdicts),
                "at": at,
            }
        )

    async def models(self, _request: Request) -> Response:
        return answer({"models": [model_line(hosted) for hosted in self._worker().models.values()]})

    async def model(self, request: Request) -> Response:
        hosted = self._hosted(request)
        versions = await asyncio.to_thread(self._worker().store.versions, hosted.spec.name)
        return answer(model_card(hosted, versions=versions))

    async def metrics(self, _request: Request) -> Response:
        self._worker().metrics.publish()
        # Reads every worker's files, which takes longer than a prediction may wait.
        worker = self._worker()
        text = await asyncio.to_thread(exposition, worker.metrics.registry, home=worker.home)
        return Response(text, headers={**SECURITY_HEADERS, "Content-Type": CONTENT_TYPE})

    async def openapi(self, _request: Request) -> Response:
        return Response(self._openapi, headers=SECURITY_HEADERS, media_type=JSON)

    async def index(self, _request: Request) -> Response:
        page = index_page(list(self._worker().models.values()))
        return Response(page, headers=SECURITY_HEADERS, media_type="text/html")

    def count_refused(self, code: str) -> None:
        self._worker().metrics.refused(code)

    @cached_property
    def _openapi(self) -> bytes:
        specs = [hosted.spec for hosted in self._worker().models.values()]
        return msgspec.json.encode(document(specs, self._access))

    def _hosted(self, request: Request) -> HostedModel:
        return self._worker().model(request.path_params["model"])

    async def _body(self, request: Request) -> Any:
        return await body_of(request, limit=self._limit)

    async def _row(self, hosted: HostedModel, row: object, listing: Listing) -> dict[str, Any]:
        try:
            return {"answer": await predicted(hosted, row)}
        except BellwetherError as error:
            self.count_refused(error.code)
            return {"problem": problem_of(listing.shortened(error) if isinstance(error, InvalidRequest) else error)}


async def predicted(hosted: HostedModel, body: object) -> Answer:
    """From one decoded body to the caller's answer."""
    return answer_of(await hosted.predictor.predict(prediction_request(hosted.spec, body)))


@contextmanager
def _counted_write(worker: Worker, model: str) -> Iterator[None]:
    try:
        yield
    except BellwetherError as error:
        worker.metrics.feature_write(model, "failed" if error.retriable else "refused")
        raise
    worker.metrics.feature_write(model, "written")


def _rows(body: object) -> list[object]:
    if not isinstance(body, list):
        raise InvalidRequest((Fault("body", "expected an array of rows"),))
    if len(body) > ROWS_AT_MOST:
        raise InvalidRequest((Fault("body", f"found {len(body)} rows, expected at most {ROWS_AT_MOST}"),))
    return body


def _asked(request: Request) -> dict[str, object]:
    """The query as a request to predict. A parameter that nobody reads would be taken for one that was."""
    faults, given = Faults(), request.query_params
    faults.unknown([name for name in given if name not in QUERY], QUERY, prefix="query.")
    for name in QUERY:
        if len(given.getlist(name)) > 1:
            faults.add(f"query.{name}", "stands twice, expected once")
    faults.refuse()
    features = decoded(given.get("features", "{}").encode(), what="features in the query")
    asked: dict[str, object] = {"entity_id": request.path_params["entity_id"], "features": features}
    if "started_at" in given:
        asked["started_at"] = given["started_at"]
    return asked
