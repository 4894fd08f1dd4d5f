"""An asynchronous client of the prediction service's HTTP API, for traffic on this machine."""

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec
from yarl import URL

from services.core.errors import BellwetherError, SettingsError
from services.core.features import Reading, Value
from services.core.predictions import Answer
from services.traffic.latencies import Latencies

# Between attempts: 50 ms, doubling to 1 s. A worker comes back within seconds, and a herd of retries must not slow it.
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
# Longer than the service's own time-out of a request, so that it is the service that gives up first.
ATTEMPT_SECONDS: Final = 20.0
OUTCOMES_PER_REQUEST: Final = 500
PROBLEM_LENGTH: Final = 500
WORTH_ANOTHER_ATTEMPT: Final = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)


class Refused(BellwetherError):
    """The service answered that the request is wrong; the same request would be refused again."""

    code = "refused"


class Unanswered(BellwetherError):
    """No attempt got an answer in time."""

    code = "unanswered"
    retriable = True


class Outcome(msgspec.Struct, frozen=True):
    """The truth about one prediction as the service takes it."""

    prediction_id: str
    value: str
    observed_at: datetime


class _Question(msgspec.Struct, frozen=True):
    entity_id: str
    features: Mapping[str, Value]
    request_id: str


class _Written(msgspec.Struct, frozen=True):
    features: dict[str, dict[str, object]]


@dataclass(slots=True)
class TrafficCounts:
    """What became of the requests. Every request counts once in `sent`, however many attempts it took.

    `failed` never got an answer; `refused` got one, and it was no. `last_problem` is the newest of either.
    """

    sent: int = 0
    failed: int = 0
    refused: int = 0
    retried: int = 0
    last_problem: str = ""
    latencies: Latencies = field(default_factory=Latencies)


class PredictionClient:
    """Sends to one model. Use as an async context manager.

    Args:
        base_url: of the service, such as `http://127.0.0.1:3000`.
        concurrency: requests in flight at most; further ones wait their turn.
        patience_seconds: how long a request is tried again before it counts as failed.

    Raises:
        SettingsError: the URL leads elsewhere than to this machine. Simulated traffic aimed at a real service would
            look like its customers.
    """

    def __init__(self, base_url: str, *, model: str, concurrency: int = 16, patience_seconds: float = 30.0) -> None:
        _require_loopback(base_url)
        self.counts = TrafficCounts()
        self._model = URL(f"{base_url.rstrip('/')}/v1/models/{quote(model, safe='')}", encoded=True)
        self._concurrency = concurrency
        self._turn = asyncio.Semaphore(concurrency)
        self._patience = patience_seconds
        self._encode = msgspec.json.Encoder().encode
        self._answer = msgspec.json.Decoder(Answer)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrency),
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_SECONDS),
            headers={"Content-Type": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def write_features(self, entity_id: str, readings: Mapping[str, Reading]) -> None:
        """Write values with their own times into the online store. Raises `Refused`, `Unanswered`."""
        written = _Written(
            {name: {"value": each.value, "observed_at": each.observed_at} for name, each in readings.items()}
        )
        await self._send("PUT", f"/entities/{quote(entity_id, safe='')}/features", written)

    async def predict(self, entity_id: str, features: Mapping[str, Value], *, request_id: str) -> Answer:
        """Ask once, however many attempts it takes: they share `request_id`. Raises `Refused`, `Unanswered`."""
        body = await self._send("POST", "/predict", _Question(entity_id, features, request_id))
        try:
            return self._answer.decode(body)
        except msgspec.DecodeError as error:
            raise self._refused(f"the answer to {request_id} cannot be read: {error}") from error

    async def send_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Send outcomes in bounded batches; sending one again is harmless. Raises `Refused`, `Unanswered`."""
        for start in range(0, len(outcomes), OUTCOMES_PER_REQUEST):
            await self._send("POST", "/outcomes", outcomes[start : start + OUTCOMES_PER_REQUEST])

    async def _send(self, method: str, path: str, content: object) -> bytes:
        self.counts.sent += 1
        url, data = self._model.joinpath(path.lstrip("/"), encoded=True), self._encode(content)
        async with self._turn:
            status, body = await self._answered(method, url, data)
        if status >= HTTPStatus.BAD_REQUEST:
            raise self._refused(
                f"{method} {url.path} answered {status}: {body[:PROBLEM_LENGTH].decode(errors='replace')}"
            )
        return body

    async def _answered(self, method: str, url: URL, data: bytes) -> tuple[int, bytes]:
        loop = asyncio.get_running_loop()
        give_up, pause = loop.time() + self._patience, FIRST_PAUSE
        while True:
            status, body = await self._attempt(method, url, data)
            if status < HTTPStatus.INTERNAL_SERVER_ERROR:
                return status, body
            if status not in WORTH_ANOTHER_ATTEMPT or loop.time() + pause > give_up:
                raise self._unanswered(f"{method} {url.path}: {body[:PROBLEM_LENGTH].decode(errors='replace')}")
            self.counts.retried += 1
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _attempt(self, method: str, url: URL, data: bytes) -> tuple[int, bytes]:
        """One attempt; a broken connection reads like the 503 that a proxy would have made of it."""
        if self._session is None:
            raise RuntimeError("the client is not open; use it as `async with PredictionClient(…) as client`")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            # Redirects stay unfollowed: they could lead away from this machine.
            async with self._session.request(method, url, data=data, allow_redirects=False) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            return HTTPStatus.SERVICE_UNAVAILABLE, f"{type(error).__name__}: {error}".encode()
        self.counts.latencies.observe(loop.time() - begun)
        return response.status, body

    def _refused(self, problem: str) -> Refused:
        self.counts.refused += 1
        self.counts.last_problem = problem
        return Refused(problem)

    def _unanswered(self, problem: str) -> Unanswered:
        self.counts.failed += 1
        self.counts.last_problem = problem
        return Unanswered(problem)


def _require_loopback(base_url: str) -> None:
    host = urlsplit(base_url).hostname or ""
    if not _is_loopback(host):
        raise SettingsError(
            f"traffic would go to {host or base_url!r}; simulated and replayed traffic goes to this machine only:"
            " expected 127.0.0.1, ::1 or localhost"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
