"""What callers send never becomes a label, and `/metrics` stays right when a worker dies."""

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from http import HTTPMethod
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from yarl import URL

from services import bootstrap
from services.core.artifacts import ServedForm
from services.core.features import Status
from services.core.predictions import Arm, ServedBy
from services.core.records import CHAMPION
from services.entrypoints.http_problems import CODES
from services.entrypoints.worker import PUBLISH_SECONDS
from services.metrics import FEATURE_WRITE_RESULTS
from tests.integration.serving_process import ServingProcess, toy_serving
from tests.toy import toy_spec
from tests.waiting import until

REQUESTS = 400

CLOSED: dict[str, set[str]] = {
    "model": {"toy"},
    "version": {"", "v1"},
    "alias": {CHAMPION},
    "served_by": set(ServedBy),
    "arm": set(Arm),
    "feature": set(toy_spec().feature_names),
    "status": set(Status),
    "code": set(CODES),
    "type": {"prediction", "outcome"},
    "result": {"accepted", "corrected", "kept_newer", "duplicate", *FEATURE_WRITE_RESULTS},
    "form": set(ServedForm),
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    with toy_serving(tmp_path_factory.mktemp("home"), versions={"v1": 1}, workers=2) as process:
        yield process


async def test_random_paths_models_entities_categories_and_ids_leave_the_labels_a_closed_set(
    serving: ServingProcess,
) -> None:
    await storm(serving, seed=1)
    # The same once more: repeated request ids and outcomes have series of their own.
    await storm(serving, seed=1)
    families = await metrics(serving)
    opened = [
        (sample.name, name, value)
        for family in families
        for sample in family.samples
        for name, value in sample.labels.items()
        if name != "le" and value not in CLOSED[name]
    ]
    assert opened == []
    await storm(serving, seed=4)
    assert series(await metrics(serving)) == series(families)


async def test_the_metrics_add_up_to_the_recorded_events_after_a_worker_was_killed_and_replaced(
    serving: ServingProcess,
) -> None:
    await storm(serving, seed=2)
    await until_counted(serving)
    victim = serving.fleet.workers("toy")[0].pid
    os.kill(victim, signal.SIGKILL)
    await until(
        lambda: len(pids := {each.pid for each in serving.fleet.workers("toy")}) == 2 and victim not in pids,
        what="a new worker",
    )
    await until(lambda: serving.serving_everywhere("v1"), what="v1 everywhere")
    await storm(serving, seed=3)
    await until_counted(serving)
    families = await metrics(serving)
    assert total(families, "bellwether_model_info", version="v1") == 1
    for feature in CLOSED["feature"]:
        counted = total(families, "bellwether_feature_status_total", feature=feature)
        assert counted == total(families, "bellwether_predictions_total")


async def storm(serving: ServingProcess, *, seed: int) -> None:
    """Requests of every kind with everything in them made up, each over a connection that either worker may get."""
    chance = random.Random(seed)  # noqa: S311 - the same storm in every run
    asked = [made_up(chance) for _ in range(REQUESTS)]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8, force_close=True)) as session:
        await asyncio.gather(*(send(session, serving, *each) for each in asked))


async def send(session: aiohttp.ClientSession, serving: ServingProcess, method: str, path: str, body: Any) -> None:
    async with session.request(method, URL(serving.url + path, encoded=True), json=body) as response:
        await response.read()
        assert response.status < 500


def made_up(chance: random.Random) -> tuple[str, str, Any]:
    name = "".join(chance.choices('abc/é "\\{}=\n', k=chance.randint(1, 40)))
    part = quote(name, safe="")
    outcome = {"prediction_id": name, "value": chance.choice(["left", name]), "observed_at": "2026-01-05T08:00:00Z"}
    request = {"entity_id": name, "features": {"plan": chance.choice(["monthly", name])}}
    return chance.choice(
        [
            (chance.choice(list(HTTPMethod)[1:]), f"/{part}", None),
            ("GET", f"/v1/models/{part}", None),
            ("POST", f"/v1/models/{part}/predict", request),
            ("POST", "/v1/models/toy/predict", request),
            ("POST", "/v1/models/toy/predict", {**request, "request_id": f"{name}{chance.random()}"}),
            ("POST", "/v1/models/toy/predict", {**request, "features": {name: name}}),
            ("POST", "/v1/models/toy/outcomes", outcome),
            ("GET", f"/v1/models/toy/entities/{part}/availability", None),
            ("POST", "/predict", {**request, "model": name}),
        ]
    )


async def until_counted(serving: ServingProcess) -> None:
    """Until /metrics shows every recorded event, and not one more."""
    log = bootstrap.event_log(serving.settings)
    recorded = len(log.read(after=0, limit=100_000))
    log.close()
    # Nothing in this process is told when a worker publishes.
    async with asyncio.timeout(30):
        while total(await metrics(serving), "bellwether_events_appended_total") < recorded:  # noqa: ASYNC110
            await asyncio.sleep(PUBLISH_SECONDS)
    assert total(await metrics(serving), "bellwether_events_appended_total") == recorded


async def metrics(serving: ServingProcess) -> list[Metric]:
    async with aiohttp.ClientSession() as session, session.get(f"{serving.url}/metrics") as response:
        return list(text_string_to_metric_families(await response.text()))


def series(families: list[Metric]) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    return {(sample.name, frozenset(sample.labels.items())) for family in families for sample in family.samples}


def total(families: list[Metric], name: str, **labels: str) -> float:
    found = [
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert found, f"no sample {name} {labels}"
    return sum(found)
