"""The BentoML service: our application in its server, beside a `predict` API for its clients.

BentoML brings the worker processes, their restart, `/livez`, `/readyz` and the client; every other path is ours.
`bentoml serve services.entrypoints.bento:service` hosts every model that is found. A worker is ready as soon as it
looked for its champions once: without one the rule answers, which is what callers were promised.
"""

import os
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import bentoml
import msgspec
from bentoml._internal.server.http import traffic
from bentoml.exceptions import InvalidArgument, NotFound, ServiceUnavailable
from starlette.responses import Response

from services.adapters.private_files import PRIVATE
from services.core.errors import BellwetherError, InvalidRequest, UnknownModel
from services.core.spec import ModelSpec
from services.entrypoints.access import access_of
from services.entrypoints.http import OursFirst, build_app, predicted
from services.entrypoints.http_problems import OVERLOADED, TIMED_OUT, problem_response
from services.entrypoints.listening import bound_workers
from services.entrypoints.log import repeat_seldom
from services.entrypoints.worker import Worker, build_worker
from services.models.discovery import discover
from services.settings import Settings

REQUEST_SECONDS: Final = 5
"""BentoML gives up on a request after this (504). Its timer outlives each request by as much, so thousands of them are
alive under load: a minute of them costs seconds of garbage collection, five seconds of them little."""


def build_service(specs: Iterable[ModelSpec], settings: Settings, *, name: str = "bellwether") -> Any:
    """A BentoML service of these models. Workers open their adapters when they start, not now.

    Raises:
        SettingsError: callers from elsewhere would need no token, or a token cannot be one.
    """
    hosting = _Hosting(tuple(specs), settings)
    bound_workers()
    # It answers a request that took too long by itself, outside of everything that an application can wrap.
    traffic.JSONResponse = hosting.given_up

    @bentoml.service(name=name, **configuration(settings))
    class Bellwether:
        @bentoml.on_startup  # type: ignore[untyped-decorator]
        async def start(self) -> None:
            await hosting.start()

        @bentoml.on_shutdown  # type: ignore[untyped-decorator]
        async def stop(self) -> None:
            await hosting.stop()

        async def __is_ready__(self) -> bool:
            return hosting.ready

        @bentoml.api  # type: ignore[untyped-decorator]
        async def predict(
            self,
            entity_id: str,
            features: dict[str, Any],
            model: str = hosting.only_model,
            request_id: str | None = None,
            started_at: str | None = None,
        ) -> dict[str, Any]:
            """As POST /v1/models/{model}/predict."""
            body = {
                "entity_id": entity_id,
                "features": features,
                "request_id": request_id,
                "started_at": started_at,
            }
            return await hosting.predict(model, body)

    build = partial(build_app, hosting.worker, body_limit=settings.body_limit, access=access_of(settings))
    Bellwether.add_asgi_middleware(OursFirst, build=build)  # type: ignore[attr-defined]  # the decorator made a service
    return Bellwether


def configuration(settings: Settings) -> dict[str, Any]:
    """What BentoML is told. It accepts misspelt keys in silence, so a test asks it what it made of these."""
    return {
        "workers": settings.workers,
        "traffic": {"timeout": REQUEST_SECONDS},
        "http": {"host": settings.host, "port": settings.port},
        # Its request metrics are labelled with raw paths, which callers choose; /metrics is ours.
        "metrics": {"enabled": False},
        # A line per request costs more than the prediction; events and metrics tell the same.
        "logging": {"access": {"enabled": False}},
        # Spans that no exporter takes are collected all the same, unless the URL is excluded.
        "tracing": {"excluded_urls": [".*"]},
    }


class _Hosting:
    """What the application and the BentoML class share: the worker, once it has started."""

    def __init__(self, specs: tuple[ModelSpec, ...], settings: Settings) -> None:
        self._specs = specs
        self._settings = settings
        self._worker: Worker | None = None

    @property
    def ready(self) -> bool:
        return self._worker is not None and self._worker.started

    @property
    def only_model(self) -> str:
        """The default of the API's `model`; with several models callers have to name one."""
        return self._specs[0].name if len(self._specs) == 1 else ""

    async def start(self) -> None:
        repeat_seldom()
        # Whoever starts BentoML's server by hand has another.
        os.umask(PRIVATE)
        self._worker = build_worker(self._specs, self._settings)
        await self._worker.start()

    async def stop(self) -> None:
        if self._worker is not None:
            await self._worker.close()

    def given_up(self, _content: object, *, status_code: int) -> Response:
        """In place of the answer that BentoML gives where it does not wait for ours."""
        code = TIMED_OUT if status_code == HTTPStatus.GATEWAY_TIMEOUT else OVERLOADED
        if self._worker is not None:
            self._worker.metrics.refused(code)
        detail = f"no answer within {REQUEST_SECONDS} s; send the request again with the same request_id"
        return problem_response(HTTPStatus(status_code), code, detail)

    def worker(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("a request came before the worker started; BentoML's start-up hook did not run")
        return self._worker

    async def predict(self, model: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            made = await predicted(self.worker().model(model), body)
        except BellwetherError as error:
            self.worker().metrics.refused(error.code)
            raise _translated(error) from error
        return msgspec.to_builtins(made)  # type: ignore[no-any-return]  # a struct becomes a dict


def _translated(error: BellwetherError) -> Exception:
    if isinstance(error, InvalidRequest):
        return InvalidArgument(str(error))  # type: ignore[no-any-return]
    if isinstance(error, UnknownModel):
        return NotFound(str(error))  # type: ignore[no-any-return]
    return ServiceUnavailable(str(error)) if error.retriable else error


service = build_service(discover().values(), Settings.from_environment())
