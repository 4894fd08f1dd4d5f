"""A thousand deliveries at once, of every kind that a webhook may get, on the real stores."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.adapters.record_store import RecordStoreSql
from services.core.ports import RecordStore
from tests.monitoring import SESAME, ToyMonitor
from tests.toy import NOON
from tests.workshop import drift_payload

DELIVERIES = 1000
AT_ONCE = 32
CHANGED = NOON - timedelta(days=1)
JSON = {"Content-Type": "application/json"}
BEARER = JSON | {"Authorization": f"Bearer {SESAME}"}
SOUND = json.dumps(drift_payload(CHANGED)).encode()


def altered(**members: Any) -> bytes:
    payload = drift_payload(CHANGED)
    payload["alerts"][0] |= members
    return json.dumps(payload).encode()


def relabelled(**labels: str) -> bytes:
    return json.dumps(drift_payload(CHANGED, **labels)).encode()


Delivery = Callable[[random.Random], tuple[bytes, dict[str, str]]]

KINDS: dict[str, tuple[Delivery, tuple[int, str, str]]] = {
    "repeated": (lambda _: (SOUND, BEARER), (202, "ignored", "job_open")),
    "of another fingerprint": (
        lambda chance: (altered(fingerprint=f"{chance.getrandbits(64):016x}"), BEARER),
        (202, "ignored", "job_open"),
    ),
    "resolved": (lambda _: (altered(status="resolved"), BEARER), (202, "ignored", "not_firing")),
    "of a rule that starts nothing": (
        lambda _: (relabelled(alertname="DiskFull"), BEARER),
        (202, "refused", "starts_nothing"),
    ),
    "of a model that there is not": (
        lambda chance: (relabelled(model=f"model-{chance.random()}"), BEARER),
        (202, "refused", "unknown_model"),
    ),
    "with a forged token": (
        lambda chance: (SOUND, JSON | {"Authorization": f"Bearer {chance.getrandbits(128):032x}"}),
        (401, "refused", "unauthorized"),
    ),
    "without a token": (lambda _: (SOUND, JSON), (401, "refused", "unauthorized")),
    "truncated": (
        lambda chance: (SOUND[: chance.randrange(len(SOUND))], BEARER),
        (400, "refused", "malformed_json"),
    ),
    "of another version": (
        lambda _: (json.dumps(drift_payload(CHANGED) | {"version": "3"}).encode(), BEARER),
        (400, "refused", "malformed_alert"),
    ),
    "with a forged alert": (lambda _: (altered(labels=["model"]), BEARER), (400, "refused", "malformed_alert")),
    "as a form": (
        lambda _: (SOUND, BEARER | {"Content-Type": "application/x-www-form-urlencoded"}),
        (415, "refused", "unsupported_media_type"),
    ),
    "too large": (lambda _: (SOUND + b" " * 10_000, BEARER), (413, "refused", "body_too_large")),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RecordStore]:
    sqlite = f"sqlite:///{tmp_path / 'records.sqlite'}"
    store = RecordStoreSql(sqlite if request.param == "sqlite" else request.getfixturevalue("postgresql_url"))
    store.migrate()
    yield store
    store.close()


async def test_of_a_storm_of_deliveries_one_starts_a_retraining_and_every_other_has_a_counted_reason(
    store: RecordStore, tmp_path: Path
) -> None:
    chance, toy = random.Random(20), ToyMonitor(tmp_path)  # noqa: S311 - a shuffle
    storm = [name for name in KINDS for _ in range(DELIVERIES // len(KINDS))]
    storm += ["repeated"] * (DELIVERIES - len(storm))
    chance.shuffle(storm)

    async with client(toy, store) as http:
        turn = asyncio.Semaphore(AT_ONCE)
        statuses = await asyncio.gather(*(deliver(http, turn, *KINDS[name][0](chance)) for name in storm))

    (job,) = store.jobs("toy", limit=DELIVERIES)
    assert job.since == CHANGED
    assert_each_was_answered_as_its_kind_is(storm, statuses)
    assert received(toy) == expected(storm)
    toy.monitor.close()


def assert_each_was_answered_as_its_kind_is(storm: list[str], statuses: list[int]) -> None:
    assert [(name, status) for name, status in zip(storm, statuses, strict=True) if KINDS[name][1][0] != status] == []


def expected(storm: list[str]) -> Counter[tuple[str, str]]:
    """Of those that would all have opened a job, whichever came first did."""
    counted = Counter(KINDS[name][1][1:] for name in storm)
    return counted + Counter({("accepted", "job_opened"): 1}) - Counter({("ignored", "job_open"): 1})


def received(toy: ToyMonitor) -> Counter[tuple[str, str]]:
    (family,) = [each for each in toy.metrics.collect() if each.name == "bellwether_alerts_received"]
    return Counter({(each.labels["result"], each.labels["reason"]): int(each.value) for each in family.samples})


def client(toy: ToyMonitor, store: RecordStore) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(toy.http(store=store).app(), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60)


async def deliver(http: httpx.AsyncClient, turn: asyncio.Semaphore, body: bytes, headers: dict[str, str]) -> int:
    async with turn:
        return (await http.post("/alerts", content=body, headers=headers)).status_code
