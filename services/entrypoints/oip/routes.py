"""Routes of the Open Inference Protocol: health, what the models take and answer, and predictions."""

import asyncio
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.core.errors import Fault, InvalidRequest, UnknownVersion
from services.core.predictions import PredictionMade, PredictionRequest
from services.entrypoints.access import Access
from services.entrypoints.http_json import (
    JSON,
    OCTETS,
    ROWS_AT_ONCE,
    SECURITY_HEADERS,
    UnsupportedMediaType,
    answer,
    bounded,
    media_type_of,
)
from services.entrypoints.oip.inference import Inference, inference, of_row
from services.entrypoints.oip.tensors import OUTPUTS, inputs_of, to_bytes
from services.entrypoints.worker import HostedModel, Worker

PLATFORM: Final = "bellwether"
HEADER: Final = "Inference-Header-Content-Length"
"""How many bytes of a body are its JSON; binary tensors come behind them."""


class InferenceRoutes:
    def __init__(self, worker: Callable[[], Worker], *, body_limit: int, access: Access) -> None:
        self._worker = worker
        self._limit = body_limit
        self._access = access

    def routes(self) -> list[Route]:
        model = "/v2/models/{model}"
        return [
            Route("/v2", self.server, methods=["GET"]),
            Route("/v2/health/live", self.live, methods=["GET"]),
            Route("/v2/health/ready", self.ready, methods=["GET"]),
            *self._routes_of_model(model),
            *self._routes_of_model(f"{model}/versions/{{version}}"),
        ]

    def _routes_of_model(self, model: str) -> list[Route]:
        return [
            Route(model, self.model, methods=["GET"]),
            Route(f"{model}/ready", self.model_ready, methods=["GET"]),
            Route(f"{model}/infer", self.infer, methods=["POST"], middleware=self._access.to_predict),
        ]

    async def server(self, _request: Request) -> Response:
        return answer({"name": "bellwether", "version": version("bellwether"), "extensions": ["binary_tensor_data"]})

    async def live(self, _request: Request) -> Response:
        return answer({"live": True})

    async def ready(self, _request: Request) -> Response:
        ready = self._worker().started
        return answer({"ready": ready}, status=200 if ready else 503)

    async def model(self, request: Request) -> Response:
        hosted = self._hosted(request)
        inputs = {name: accepted[0] for name, accepted in inputs_of(hosted.spec).items()}
        return answer(
            {
                "name": hosted.spec.name,
                "versions": [hosted.version] if hosted.version else [],
                "platform": PLATFORM,
                "inputs": _announced(inputs),
                "outputs": _announced(OUTPUTS),
            }
        )

    async def model_ready(self, request: Request) -> Response:
        """A model is as ready as the worker: while it has no version the rule answers."""
        name, ready = self._hosted(request).spec.name, self._worker().started
        return answer({"name": name, "ready": ready}, status=200 if ready else 503)

    async def infer(self, request: Request) -> Response:
        hosted = self._hosted(request)
        serving = hosted.version
        body = await self._body(request)
        asked = inference(hosted.spec, body, header=_header(request, len(body)))
        if len(asked.rows) > 1:
            self._access.check_write(request.headers)
        return _response(asked, await _made(hosted, asked.rows), model=hosted.spec.name, serving=serving)

    def _hosted(self, request: Request) -> HostedModel:
        hosted = self._worker().model(request.path_params["model"])
        asked = request.path_params.get("version", hosted.version)
        if asked != hosted.version:
            now = f"{hosted.version!r}, which" if hosted.version else "none, since the rule"
            raise UnknownVersion(f"found version {asked[:64]!r}, expected {now} answers now; or ask without a version")
        return hosted

    async def _body(self, request: Request) -> bytes:
        found = media_type_of(request)
        # Triton's clients name no type. Neither can a page of another origin do, but its browser adds the origin.
        if found not in {JSON, OCTETS} and (found or "origin" in request.headers):
            raise UnsupportedMediaType(f"found Content-Type {found[:100]!r}, expected {JSON} or {OCTETS}")
        return await bounded(request, self._limit)


async def _made(hosted: HostedModel, rows: list[PredictionRequest]) -> list[PredictionMade]:
    """The answers, a few at a time. Raises the error of the first row that has one, when its neighbours are done."""
    made: list[PredictionMade] = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        results = await asyncio.gather(*map(hosted.predictor.predict, some), return_exceptions=True)
        made += [_answered(result, row) for row, result in enumerate(results, start)]
    return made


def _answered(result: PredictionMade | BaseException, row: int) -> PredictionMade:
    if isinstance(result, InvalidRequest):
        raise InvalidRequest(tuple(of_row(result, row)), beyond=result.beyond) from result
    if isinstance(result, BaseException):
        raise result
    return result


def _header(request: Request, length: int) -> int | None:
    found = request.headers.get(HEADER)
    if found is None:
        return None
    if re.fullmatch("[0-9]{1,12}", found) is None or int(found) > length:
        raise InvalidRequest((Fault(HEADER, f"found {found[:32]!r}, expected at most the {length} bytes of the body"),))
    return int(found)


def _announced(tensors: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in tensors.items()]


def _response(asked: Inference, made: list[PredictionMade], *, model: str, serving: str) -> Response:
    """`serving` is what answered when the request came; the output `version` says it of each row."""
    head: dict[str, Any] = {"model_name": model, "model_version": serving, "outputs": []}
    if asked.id is not None:
        head["id"] = asked.id
    tail = []
    for name, binary in asked.outputs.items():
        elements, datatype = [getattr(each, name) for each in made], OUTPUTS[name]
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": [len(made)]}
        if binary:
            tail.append(to_bytes(elements, datatype))
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            tensor["data"] = elements
        head["outputs"].append(tensor)
    return _with_tail(head, tail) if tail else answer(head)


def _with_tail(head: dict[str, Any], tail: list[bytes]) -> Response:
    encoded = msgspec.json.encode(head)
    headers = {**SECURITY_HEADERS, HEADER: str(len(encoded))}
    return Response(b"".join([encoded, *tail]), headers=headers, media_type=OCTETS)
