"""The monitor's HTTP: gauges, status, the overview page, Evidently's reports, runbooks, and the door for alerts.

It only translates. Handlers that read the store or a file are plain functions, which Starlette runs on threads. Who may
ask for what is decided by the rules that the prediction service has, in `services.entrypoints.access`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from monitoring.alerts.runbook import as_html, pages
from monitoring.entrypoints.overview import Overview, as_json, overview
from monitoring.entrypoints.page import PAGE_POLICY, Drawn, page
from monitoring.evaluation.monitor import Monitor
from monitoring.evaluation.unknown import NotEnoughData
from monitoring.lifecycle.alerts import REFUSALS, MalformedAlert, Receipt, Result
from monitoring.metrics import MonitorMetrics
from services.core.clock import Now
from services.core.errors import BellwetherError, ContentRefused, InvalidRequest, StoreUnavailable, UnknownModel
from services.core.ports import Fleet, RecordStore
from services.core.spec import ModelSpec
from services.core.tokens import bearer_is_one_of
from services.entrypoints.access import OPEN, Access, CrossSite, Unauthorized, UnknownHost
from services.entrypoints.http_json import (
    SECURITY_HEADERS,
    BodyTooLarge,
    MalformedJson,
    UnsupportedMediaType,
    answer,
    body_of,
)
from services.entrypoints.http_problems import problem_response
from services.entrypoints.listening import LOGIN, Gate, alive, unrouted
from services.entrypoints.urls import ReadableUrl

REPORT_SECONDS: Final = 60.0
"""How long a caller may wait for a report to be drawn: one takes 2 to 4 s, and another may be under way."""

ALERTS: Final = "/alerts"

REPORTS_POLICY: Final = PAGE_POLICY.replace("form-action 'none'", "form-action 'self'")
"""The list of reports has a button."""

REPORT_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; frame-ancestors 'none'"
)
"""Evidently's page needs its own scripts. Sandboxed, they run in an origin of their own and can reach nothing."""


class NoToken(BellwetherError):
    code: ClassVar[str] = "alerts_closed"


class NoReport(BellwetherError):
    code: ClassVar[str] = "no_report"


class NoRunbook(BellwetherError):
    code: ClassVar[str] = "no_runbook"


class ReportIsLate(BellwetherError):
    code: ClassVar[str] = "report_is_late"
    retriable: ClassVar[bool] = True


STATUS: Final[Mapping[type[BellwetherError], HTTPStatus]] = {
    MalformedJson: HTTPStatus.BAD_REQUEST,
    MalformedAlert: HTTPStatus.BAD_REQUEST,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    CrossSite: HTTPStatus.FORBIDDEN,
    UnknownHost: HTTPStatus.MISDIRECTED_REQUEST,
    NoToken: HTTPStatus.FORBIDDEN,
    UnknownModel: HTTPStatus.NOT_FOUND,
    NoReport: HTTPStatus.NOT_FOUND,
    NoRunbook: HTTPStatus.NOT_FOUND,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    ContentRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ReportIsLate: HTTPStatus.SERVICE_UNAVAILABLE,
}

READABLE: Final = [Middleware(ReadableUrl)]
"""Before routes with a name in their path."""

Intake = Callable[[Mapping[str, Any], datetime], Sequence[Receipt]]


class Login:
    """Middleware of a route: what it shows needs the token where the rules of access say so."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._access.check_read(Headers(scope=scope))
        await self._app(scope, receive, send)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorHttp:
    """The handlers. `intake` takes an alert payload as of an event time; an empty `alert_token` closes that door.

    `access` is what is asked of everybody else.
    """

    specs: Mapping[str, ModelSpec]
    monitor: Monitor
    store: RecordStore
    fleet: Fleet
    metrics: MonitorMetrics
    intake: Intake
    now: Now
    wall_now: Now
    alert_token: str = field(repr=False)
    body_limit: int
    drawn: Drawn = field(default_factory=Drawn)
    access: Access = OPEN

    def app(self) -> ASGIApp:
        unread = (
            MalformedJson,
            MalformedAlert,
            Unauthorized,
            NoToken,
            BodyTooLarge,
            UnsupportedMediaType,
            ContentRefused,
        )
        self.metrics.expect_alerts(Result.REFUSED, [*REFUSALS, *(error.code for error in unread)])
        app = Starlette(
            routes=[
                Route("/livez", alive),
                Route(ALERTS, self.alerts, methods=["POST"]),
                Route("/reports/{model}", self.draw_report, methods=["POST"], middleware=READABLE),
                *(Route(path, shown, middleware=self._shown) for path, shown in self._pages().items()),
            ],
            exception_handlers={BellwetherError: _known, HTTPException: _unrouted, Exception: _unexpected},
        )
        # A redirect would be built from the Host header, which the caller chooses.
        app.router.redirect_slashes = False
        return Gate(app, self.access)

    def _pages(self) -> dict[str, Callable[[Request], Response]]:
        return {
            "/": self.overview_page,
            "/metrics": self.exposition,
            "/status": self.status,
            "/runbooks/{alert}": _runbook,
            "/reports/{model}": self.reports,
            "/reports/{model}/latest": self.latest_report,
            "/reports/{model}/{name}": self.report,
        }

    @property
    def _shown(self) -> list[Middleware]:
        login = [Middleware(Login, access=self.access)] if self.access.read_needs_token else []
        return [*login, *READABLE]

    def overview_page(self, _request: Request) -> Response:
        states = [self._overview(spec) for spec in self.specs.values()]
        return HTMLResponse(page(states, store=self.store, drawn=self.drawn), headers=_headers(PAGE_POLICY))

    def exposition(self, _request: Request) -> Response:
        return Response(generate_latest(self.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def status(self, _request: Request) -> Response:
        return answer({"models": {name: as_json(self._overview(spec)) for name, spec in self.specs.items()}})

    async def alerts(self, request: Request) -> Response:
        """202 once every alert has its receipt; what was refused says why. Alertmanager repeats only on 5xx."""
        try:
            receipts = await self._receipts(request)
        except BellwetherError as error:
            self.metrics.alert(Result.REFUSED, error.code)
            raise
        for receipt in receipts:
            self.metrics.alert(receipt.result, receipt.code)
        return answer({"receipts": receipts}, status=HTTPStatus.ACCEPTED)

    async def _receipts(self, request: Request) -> Sequence[Receipt]:
        self._authorise(request.headers.get("authorization", ""))
        payload = await body_of(request, limit=self.body_limit)
        return await run_in_threadpool(self.intake, payload, self.now())

    def reports(self, request: Request) -> Response:
        """What there is, newest first, and a button that asks for a new one."""
        spec = self._spec(request)
        names = self.monitor.files.names(spec.name)
        return HTMLResponse(_index(spec, names), headers=_headers(REPORTS_POLICY))

    async def draw_report(self, request: Request) -> Response:
        """Draw a report, and go there. All who ask while it is drawn, and shortly after, get the same one."""
        self.access.check_login(request.headers)
        spec = self._spec(request)
        return _redirect(spec, (await self._drawn(spec)).name)

    def latest_report(self, request: Request) -> Response:
        spec = self._spec(request)
        names = self.monitor.files.names(spec.name)
        if not names:
            raise NoReport(
                f"no report of {spec.name} yet: one is drawn when drift is found, "
                f"or at once by POST /reports/{spec.name}"
            )
        return self._file(spec, names[0])

    def report(self, request: Request) -> Response:
        return self._file(self._spec(request), request.path_params["name"])

    def _file(self, spec: ModelSpec, name: str) -> Response:
        path = self.monitor.files.path(spec.name, name)
        if path is None:
            raise NoReport(f"no report {name[:64]!r} of {spec.name}; GET /reports/{spec.name} lists what there is")
        return FileResponse(path, media_type="text/html; charset=utf-8", headers=_headers(REPORT_POLICY))

    async def _drawn(self, spec: ModelSpec) -> Path:
        """Waits on the event loop: those who ask for reports must not keep the threads from everybody else."""
        drawing = await run_in_threadpool(self.monitor.report_lately, spec)
        try:
            # Shielded, since others wait for the same one.
            drawn = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(drawing)), REPORT_SECONDS)
        except TimeoutError as error:
            raise ReportIsLate(f"the report of {spec.name} is not drawn yet; ask for the latest in a while") from error
        if isinstance(drawn, NotEnoughData):
            raise NoReport(f"no report of {spec.name} can be drawn: {drawn.as_body()['reason']}")
        return drawn

    def _authorise(self, header: str) -> None:
        if not self.alert_token:
            raise NoToken("this monitor takes no alerts; set BELLWETHER_ALERT_TOKEN and send it as a bearer token")
        if not bearer_is_one_of(header, (self.alert_token,)):
            raise Unauthorized("expected the header 'Authorization: Bearer …' with this monitor's alert token")

    def _spec(self, request: Request) -> ModelSpec:
        name = request.path_params["model"]
        if name not in self.specs:
            raise UnknownModel(f"found model {name[:64]!r}, expected one of {', '.join(self.specs)}")
        return self.specs[name]

    def _overview(self, spec: ModelSpec) -> Overview:
        return overview(
            spec,
            store=self.store,
            fleet=self.fleet,
            counts=self.store.counts(spec.name),
            results=self.monitor.newest(spec.name),
            now=self.now(),
            wall_now=self.wall_now(),
        )


def _runbook(request: Request) -> Response:
    """Whoever is woken reads it here, with nothing but the monitor running."""
    page = pages().get(request.path_params["alert"])
    if page is None:
        raise NoRunbook(f"no runbook of {request.path_params['alert'][:64]!r}; an alert's annotation has its address")
    return HTMLResponse(as_html(page.read_text(encoding="utf-8")), headers=_headers(PAGE_POLICY))


def _headers(policy: str) -> dict[str, str]:
    return dict(SECURITY_HEADERS) | {"Content-Security-Policy": policy}


def _redirect(spec: ModelSpec, name: str) -> Response:
    return RedirectResponse(f"/reports/{spec.name}/{name}", HTTPStatus.SEE_OTHER, headers=dict(SECURITY_HEADERS))


def _index(spec: ModelSpec, names: Sequence[str]) -> str:
    items = "".join(f'<li><a href="/reports/{spec.name}/{escape(name)}">{escape(name)}</a></li>' for name in names)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Reports of {spec.name}</title>"
        f"<h1>Reports of {spec.name}</h1><ul>{items or '<li>none yet</li>'}</ul>"
        f'<form method=post action="/reports/{spec.name}"><button>Draw a new one</button></form>'
        '<p><a href="/">Overview</a></p></html>'
    )


async def _known(request: Request, error: Exception) -> Response:
    if not isinstance(error, BellwetherError):
        raise error
    status = STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    response = problem_response(status, error.code, str(error))
    if status is HTTPStatus.UNAUTHORIZED:
        # Alertmanager sends a token of its own, which no person has.
        response.headers["WWW-Authenticate"] = "Bearer" if request.url.path == ALERTS else LOGIN
    return response


async def _unrouted(request: Request, error: Exception) -> Response:
    return unrouted(request, error)


async def _unexpected(_request: Request, _error: Exception) -> Response:
    # Starlette raises it again behind this answer, and the server logs it with its traceback.
    detail = "the monitor failed; its log says why"
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, BellwetherError.code, detail)
