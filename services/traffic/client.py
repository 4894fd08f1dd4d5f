"""An asynchronous client of the prediction service's HTTP API, for traffic on this machine."""

import asyncio
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

from services.core.errors import UNDECODABLE, BellwetherError, SettingsError
from services.core.features import Reading, Value, WriteResult
from services.core.loopback import is_loopback
from services.core.predictions import Answer
from services.traffic.latencies import Latencies

# Between attempts: 50 ms, doubling to 1 s. A worker comes back within seconds, and a herd of retries must not slow it.
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
# Longer than the service's own time-out of a request, so that it is the service that gives up first.
ATTEMPT_SECONDS: Final = 20.0
OUTCOMES_PER_REQUEST: Final = 500
PROBLEM_LENGTH: Final = 500
REFUSED: Final = "refused"
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


class _Question(msgspec.Struct, frozen=True, omit_defaults=True):
    entity_id: str
    features: Mapping[str, Value]
    request_id: str
    started_at: datetime | None = None


class _Written(msgspec.Struct, frozen=True):
    features: dict[str, dict[str, object]]


class _Results(msgspec.Struct, frozen=True):
    """What became of each feature; a service of an earlier version does not say."""

    features: dict[str, str] = {}


class _Receipt(msgspec.Struct, frozen=True):
    """What became of one outcome of a list."""

    result: str
    retriable: bool = False
    faults: list[str] = []


class _Receipts(msgspec.Struct, frozen=True):
    rows: list[_Receipt]


class _Patience:
    """When to try again, and when to give up. Begins with the first attempt."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._give_up = self._loop.time() + seconds
        self._pause = FIRST_PAUSE

    async def allows_another(self) -> bool:
        """Pause before the next attempt; False, at once, when patience would end before it."""
        if self._loop.time() + self._pause > self._give_up:
            return False
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return True


@dataclass(slots=True)
class TrafficCounts:
    """What became of the requests. Every request counts once in `sent`, however many attempts it took.

    `failed` never got an answer; `refused` got one, and it was no. `last_problem` is the newest of either.
    `kept_newer` are values that were not written, because the store has one that was observed later: what is asked
    then is asked about that one.
    """

    sent: int = 0
    failed: int = 0
    refused: int = 0
    retried: int = 0
    kept_newer: int = 0
    last_problem: str = ""
    latencies: Latencies = field(default_factory=Latencies)


class PredictionClient:
    """Sends to one model. Use as an async context manager.

    Args:
        base_url: of the service, such as `http://127.0.0.1:3000`.
        concurrency: requests in flight at most; further ones wait their turn.
        patience_seconds: how long a request is tried again before it counts as failed.
        token: the bearer token that the service asks for; "" for none.

    Raises:
        SettingsError: the URL leads elsewhere than to this machine. Simulated traffic aimed at a real service would
            look like its customers.
    """

    def __init__(
        self, base_url: str, *, model: str, concurrency: int = 16, patience_seconds: float = 30.0, token: str = ""
    ) -> None:
        _require_loopback(base_url)
        self.counts = TrafficCounts()
        self._model = URL(f"{base_url.rstrip('/')}/v1/models/{quote(model, safe='')}", encoded=True)
        self._concurrency = concurrency
        self._turn = asyncio.Semaphore(concurrency)
        self._patience = patience_seconds
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._encode = msgspec.json.Encoder().encode
        self._answer = msgspec.json.Decoder(Answer)
        self._results = msgspec.json.Decoder(_Results)
        self._receipt = msgspec.json.Decoder(_Receipts)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrency),
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_SECONDS),
            headers=self._headers,
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
        body = await self._send("PUT", f"/entities/{quote(entity_id, safe='')}/features", written)
        try:
            results = self._results.decode(body).features.values()
        except UNDECODABLE as error:
            raise self._refused(f"the answer to features of {entity_id} cannot be read: {error}") from error
        self.counts.kept_newer += sum(result == WriteResult.KEPT_NEWER for result in results)

    async def predict(
        self,
        entity_id: str,
        features: Mapping[str, Value],
        *,
        request_id: str,
        started_at: datetime | None = None,
    ) -> Answer:
        """Ask once, however many attempts it takes: they share `request_id`. Raises `Refused`, `Unanswered`."""
        body = await self._send("POST", "/predict", _Question(entity_id, features, request_id, started_at))
        try:
            return self._answer.decode(body)
        except UNDECODABLE as error:
            raise self._refused(f"the answer to {request_id} cannot be read: {error}") from error

    async def send_outcomes(self, outcomes: Sequence[Outcome]) -> int:
        """Send outcomes in bounded batches; returns how many are recorded now. Sending one again is harmless.

        The service judges each on its own: those that it could not record for the moment are sent again, those that
        are wrong count as refused.

        Raises:
            Refused: the service does not take outcomes like these at all.
            Unanswered: some may not be recorded; send them all again later.
        """
        recorded = 0
        for start in range(0, len(outcomes), OUTCOMES_PER_REQUEST):
            recorded += await self._record(outcomes[start : start + OUTCOMES_PER_REQUEST])
        return recorded

    async def _record(self, batch: Sequence[Outcome]) -> int:
        recorded, patience = 0, _Patience(self._patience)
        while True:
            receipts = await self._receipts(batch)
            recorded += sum(receipt.result != REFUSED for receipt in receipts)
            for receipt in receipts:
                if receipt.result == REFUSED and not receipt.retriable:
                    self._refused("; ".join(receipt.faults))
            again = [outcome for outcome, receipt in zip(batch, receipts, strict=True) if receipt.retriable]
            if not again:
                return recorded
            if not await patience.allows_another():
                raise self._unanswered(f"{len(again)} outcomes could not be recorded: {receipts[-1].faults}")
            self.counts.retried += 1
            batch = again

    async def _receipts(self, batch: Sequence[Outcome]) -> list[_Receipt]:
        body = await self._send("POST", "/outcomes", batch)
        try:
            receipts = self._receipt.decode(body).rows
        except UNDECODABLE as error:
            raise self._refused(f"the answer to {len(batch)} outcomes cannot be read: {error}") from error
        if len(receipts) != len(batch):
            raise self._refused(f"{len(batch)} outcomes got {len(receipts)} receipts")
        return receipts

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
        patience = _Patience(self._patience)
        while True:
            status, body = await self._attempt(method, url, data)
            if status < HTTPStatus.INTERNAL_SERVER_ERROR:
                return status, body
            if status not in WORTH_ANOTHER_ATTEMPT or not await patience.allows_another():
                raise self._unanswered(f"{method} {url.path}: {body[:PROBLEM_LENGTH].decode(errors='replace')}")
            self.counts.retried += 1

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
    if not is_loopback(host):
        raise SettingsError(
            f"traffic would go to {host or base_url!r}; simulated and replayed traffic goes to this machine only:"
            " expected 127.0.0.1, ::1 or localhost"
        )
