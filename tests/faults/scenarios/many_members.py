"""Bodies of tens of thousands of members, six at once, at every route that reads one, while others ask as always."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from http import HTTPStatus
from itertools import product
from pathlib import Path
from typing import Any, Final

import aiohttp

from monitoring.entrypoints.reports import event_account
from services import bootstrap
from services.traffic.client import PredictionClient
from tests.faults.scenarios.log_lost import consumer
from tests.faults.trial import Trial
from tests.faults.under_load import CALLERS, await_stored, load
from tests.integration.serving_process import toy_serving
from tests.ports import free_port

NAME: Final = "many members"
MEMBERS: Final = (90_000, 45_000)
"""More than are read at all, and as many as nearly are."""
AT_ONCE: Final = 6
REFUSED_SECONDS: Final = 2.0
"""Within which each of them is refused."""
ALIVE_SECONDS: Final = 0.5
"""Within which a worker says that it lives, whatever it is reading: orchestrators wait for a second."""
QUIET_SECONDS: Final = 1.0
"""Before the bodies are sent. What a look takes then, the machine is busy with others, and both limits leave for it."""
LOOK_SECONDS: Final = 0.02
REFUSALS: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)

TOY: Final = "/v1/models/toy"
ROUTES: Final = (
    ("POST", f"{TOY}/predict", '{"entity_id":"u","features":?}'),
    ("POST", f"{TOY}/predict:batch", "[?]"),
    ("POST", f"{TOY}/outcomes", "[?]"),
    ("PUT", f"{TOY}/entities/u/features", '{"features":?}'),
    ("POST", "/v2/models/toy/infer", '{"inputs":[{"name":"amount","parameters":?}]}'),
    ("POST", "/predict", '{"entity_id":"u","features":?}'),
)
"""Every route that reads a body, and one with an object in the place of the question mark."""

_Body = tuple[str, str, bytes]
"""With its verb and its path."""


def play(home: Path, seconds: float) -> Trial:
    """Every route once with each of the objects, and again until `seconds` are over."""
    answered: set[str] = set()
    with (
        toy_serving(home, versions={"v1": 1}, consumer_port=free_port()) as serving,
        consumer(serving.settings, home / "consumer.log"),
        closing(bootstrap.record_store(serving.settings)) as store,
    ):
        client = PredictionClient(serving.url, model="toy", concurrency=CALLERS)
        wrong = asyncio.run(_attacked(serving.url, client, answered, seconds=seconds))
        asyncio.run(await_stored(store, answered))
        stored = len(store.stored_event_ids(list(answered)))
        account = event_account(serving.settings)
    return Trial(
        fault=NAME,
        store="SQLite",
        sent=len(answered),
        stored=stored,
        lost=len(answered) - stored,
        duplicated=account["duplicates_stored"],
        unaccounted=account["unaccounted"],
        failed_requests=client.counts.failed + client.counts.refused,
        retried_requests=client.counts.retried,
        seconds=seconds,
        wrong=wrong,
    )


async def _attacked(url: str, client: PredictionClient, answered: set[str], *, seconds: float) -> list[str]:
    """What was wrong, in words."""
    bodies = list(_bodies())
    # A connection for each request: the workers share them, and each of the workers has to say that it lives.
    connector = aiohttp.TCPConnector(force_close=True)
    async with client, aiohttp.ClientSession(url, connector=connector) as http:
        quiet, attacked = _Looks(http), _Looks(http)
        async with load(client, answered):
            async with _going_on(quiet.look):
                await asyncio.sleep(QUIET_SECONDS)
            ends = time.monotonic() + seconds
            async with _going_on(attacked.look):
                wrong = await _sent(http, bodies, patience=REFUSED_SECONDS + quiet.slowest)
                while time.monotonic() < ends:
                    wrong += await _sent(http, bodies, patience=REFUSED_SECONDS + quiet.slowest)
    if attacked.slowest > (limit := ALIVE_SECONDS + quiet.slowest):
        wrong.append(f"/livez took {attacked.slowest:.2f} s; limit {limit:.2f} s")
    return wrong


def _bodies() -> Iterator[_Body]:
    """Each route with each object."""
    objects = [_object(members, twice) for members, twice in product(MEMBERS, (False, True))]
    for (method, path, body), members in product(ROUTES, objects):
        yield method, path, body.replace("?", members).encode()


def _object(members: int, twice: bool) -> str:
    """All of its names differ, or its last two are the same."""
    names = [f"{number:05d}" for number in range(members)]
    if twice:
        names[-1] = names[-2]
    return "{" + ",".join(f'"{name}":1' for name in names) + "}"


async def _sent(http: aiohttp.ClientSession, bodies: Sequence[_Body], *, patience: float) -> list[str]:
    """Each of them, six at once: what was wrong about the refusals."""
    wrong: list[str | None] = []
    for body in bodies:
        wrong += await asyncio.gather(*(_refused(http, *body, patience=patience) for _ in range(AT_ONCE)))
    return [problem for problem in wrong if problem]


async def _refused(http: aiohttp.ClientSession, method: str, path: str, body: bytes, *, patience: float) -> str | None:
    asked = time.monotonic()
    async with http.request(method, path, data=body, headers={"Content-Type": "application/json"}) as response:
        answer = await response.read()
    took = time.monotonic() - asked
    # A list is answered, and its row refused.
    if response.status not in REFUSALS and not (response.status == HTTPStatus.OK and b"is unknown" in answer):
        return f"{path} answered {response.status}: {answer[:200].decode()}"
    if len(answer) > len(body):
        return f"{path} answered {len(answer)} bytes to {len(body)}"
    return f"{path} took {took:.2f} s; limit {patience:.2f} s" if took > patience else None


@dataclass
class _Looks:
    """At whether the workers live; `slowest` is in seconds."""

    http: aiohttp.ClientSession
    slowest: float = 0.0

    async def look(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            asked = time.monotonic()
            async with self.http.get("/livez") as response:
                response.raise_for_status()
            self.slowest = max(self.slowest, time.monotonic() - asked)
            await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def _going_on(look: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(look(stop))
        try:
            yield
        finally:
            stop.set()
