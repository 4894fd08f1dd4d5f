"""A service that answers over real HTTP, and a clock in memory, for tests of what drives the traffic."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.core.clock import Now
from services.core.predictions import Answer, Arm, ServedBy

Behaviour = Callable[[int], web.StreamResponse | None]
"""From the number of the attempt (1, 2, …) to what happens instead of an answer, or None for the answer."""


def always_answers(_: int) -> None:
    return None


@dataclass
class MovedClock:
    moment: datetime
    moves: list[datetime] = field(default_factory=list)

    def now(self) -> datetime:
        return self.moment

    def set(self, moment: datetime) -> None:
        self.moment = moment
        self.moves.append(moment)


@dataclass
class RecordingService:
    """Answers every prediction with the rule and `action`, and remembers what it was sent."""

    now: Now
    behaviour: Behaviour = always_answers
    action: str = "none"
    predictions: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    written: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    """What became of each feature that is written, where the service tells."""
    attempts: Counter[str] = field(default_factory=Counter)
    authorizations: list[str | None] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application()
        app.on_response_prepare.append(self._note_authorization)
        app.router.add_post("/v1/models/{model}/predict", self._predict)
        app.router.add_post("/v1/models/{model}/outcomes", self._take_outcomes)
        app.router.add_put("/v1/models/{model}/entities/{entity}/features", self._write)
        return app

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.predictions.append(body)
        return self._instead("predict") or _json(self._answer(body, request.match_info["model"]))

    async def _take_outcomes(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        return self._instead("outcomes") or web.json_response({"rows": [self._receipt(row) for row in body]})

    def _receipt(self, row: dict[str, Any]) -> dict[str, Any]:
        self.outcomes.append(row)
        return {"result": "accepted", "prediction_id": row["prediction_id"]}

    async def _write(self, request: web.Request) -> web.StreamResponse:
        self.written[request.match_info["entity"]] = (await request.json())["features"]
        return self._instead("features") or web.json_response({"features": self.results} if self.results else {})

    async def _note_authorization(self, request: web.Request, _response: web.StreamResponse) -> None:
        self.authorizations.append(request.headers.get("Authorization"))

    def _instead(self, route: str) -> web.StreamResponse | None:
        self.attempts[route] += 1
        return self.behaviour(self.attempts[route])

    def _answer(self, body: dict[str, Any], model: str) -> Answer:
        return Answer(
            prediction_id=str(uuid.uuid5(uuid.NAMESPACE_URL, body["request_id"])),
            model=model,
            version="",
            served_by=ServedBy.RULE,
            arm=Arm.TREATMENT,
            score=None,
            label="",
            action=self.action,
            features={},
            reasons=[],
            made_at=self.now(),
        )


@asynccontextmanager
async def running(service: RecordingService) -> AsyncIterator[str]:
    """The base URL of the service while it runs on a free port of this machine."""
    async with TestServer(service.app(), host="127.0.0.1") as server:
        yield str(server.make_url("")).rstrip("/")


def _json(answer: Answer) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")
