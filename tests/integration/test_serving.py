"""The whole online path in real processes: two workers, a real log, real versions."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services import bootstrap
from services.core.events import requested_prediction_id
from services.core.features import Value
from services.core.predictions import Answer
from services.entrypoints.worker import PUBLISH_SECONDS
from services.serving.runtime import ServingModel, load
from tests.integration.serving_process import ServingProcess, toy_serving
from tests.toy import toy_spec
from tests.waiting import until

GIVEN: dict[str, Value] = {"amount": 90.0, "plan": "monthly"}
WRITTEN: dict[str, Value] = {"visits": 4.0, "mood": 0.5}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    with toy_serving(tmp_path_factory.mktemp("home"), versions={"v1": 1, "v2": 2}) as process:
        yield process


@pytest.fixture
async def http(serving: ServingProcess) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        await write_features(session, serving)
        yield session


async def write_features(session: aiohttp.ClientSession, serving: ServingProcess) -> None:
    now = datetime.now(UTC).isoformat()
    features = {name: {"value": value, "observed_at": now} for name, value in WRITTEN.items()}
    url = f"{serving.model_url}/entities/u/features"
    async with session.put(url, json={"features": features}) as response:
        assert response.status == 200, await response.text()


async def predict(session: aiohttp.ClientSession, serving: ServingProcess, **more: Any) -> dict[str, Any]:
    body = {"entity_id": "u", "features": GIVEN} | more
    async with session.post(f"{serving.model_url}/predict", json=body) as response:
        answer: dict[str, Any] = await response.json(content_type=None)
        assert response.status == 200, answer
        return answer


async def test_a_promotion_under_load_fails_no_request_and_every_score_is_of_the_version_it_names(
    serving: ServingProcess, http: aiohttp.ClientSession
) -> None:
    async with load_of(http, serving) as answers:
        await until(lambda: count(answers, "v1") >= 50, what="answers of v1")
        serving.promote("v2")
        await until(lambda: serving.serving_everywhere("v2"), what="v2 everywhere")
        seen = count(answers, "v2")
        await until(lambda: count(answers, "v2") >= seen + 50, what="more answers of v2")
        serving.promote("v1")
        await until(lambda: serving.serving_everywhere("v1"), what="v1 everywhere")
    expected = {name: loaded(serving, name).score({**GIVEN, **WRITTEN}) for name in ("v1", "v2")}
    assert expected["v1"] != pytest.approx(expected["v2"], abs=0.01)
    assert {answer["served_by"] for answer in answers} == {"model"}
    assert [answer["score"] for answer in answers] == [pytest.approx(expected[each["version"]]) for each in answers]


async def test_the_metrics_of_both_workers_add_up_to_the_recorded_events(
    serving: ServingProcess, http: aiohttp.ClientSession
) -> None:
    # A connection each, so that the kernel gives both workers some.
    await asyncio.gather(*(fresh_predict(serving) for _ in range(40)))
    recorded = len(bootstrap.event_log(serving.settings).read(after=0, limit=100_000))
    # The worker that answers has counted everything; the other does so ten times a second.
    async with asyncio.timeout(30):
        # Nothing in this process is told when a worker publishes.
        while total(text := await metrics(http, serving), "bellwether_predictions_total") < recorded:  # noqa: ASYNC110
            await asyncio.sleep(PUBLISH_SECONDS)
    assert total(text, "bellwether_predictions_total") == recorded
    assert total(text, "bellwether_events_appended_total") == recorded
    assert total(text, "bellwether_prediction_seconds_count") == recorded
    assert total(text, "bellwether_feature_status_total", feature="visits") == recorded
    assert total(text, "bellwether_model_info", version="v1") == 1
    assert "python_gc" not in text


async def test_a_killed_worker_comes_back_and_a_client_that_retries_gets_one_event_per_request(
    serving: ServingProcess, http: aiohttp.ClientSession
) -> None:
    victim = serving.fleet.workers("toy")[0].pid
    asked = [f"request-{number}" for number in range(200)]
    answering = asyncio.gather(*(stubborn_predict(serving, request_id) for request_id in asked))
    await asyncio.sleep(0)
    os.kill(victim, signal.SIGKILL)
    answers = await answering
    await until(
        lambda: len(pids := {report.pid for report in serving.fleet.workers("toy")}) == 2 and victim not in pids,
        what="a new worker",
    )
    ids = [logged.event.id for logged in bootstrap.event_log(serving.settings).read(after=0, limit=100_000)]
    assert [answer["prediction_id"] for answer in answers] == [requested_prediction_id("toy", each) for each in asked]
    assert {ids.count(answer["prediction_id"]) for answer in answers} == {1}


async def test_a_corrupt_version_never_replaces_the_one_that_serves(
    serving: ServingProcess, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    directory = bootstrap.model_store(serving.settings).directory("toy", "v2")
    onnx = directory / "model.onnx"
    sound = onnx.read_bytes()
    onnx.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    serving.promote("v2")
    await until(lambda: all("SHA-256" in report.problem for report in serving.fleet.workers("toy")), what="refusals")
    assert (await predict(http, serving))["version"] == "v1"
    onnx.write_bytes(sound)
    serving.promote("v1")


async def test_bentoml_clients_call_the_same_use_case(serving: ServingProcess) -> None:
    import bentoml

    async with bentoml.AsyncHTTPClient(serving.url) as client:
        given = {"entity_id": "u", "features": GIVEN, "request_id": "by-bentoml"}
        answer = await client.predict(**given)
    async with aiohttp.ClientSession() as session:
        repeated = await predict(session, serving, request_id="by-bentoml")
    assert Answer(**answer).prediction_id == repeated["prediction_id"]


async def test_an_unknown_path_is_a_problem_and_not_bentomls_page(
    serving: ServingProcess, http: aiohttp.ClientSession
) -> None:
    for path in ("/docs.json", "/static_content/index.css", "/nope"):
        async with http.get(f"{serving.url}{path}") as response:
            assert (response.status, response.content_type) == (404, "application/problem+json")
    async with http.get(serving.url) as page:
        assert "://" not in await page.text()


async def test_workers_leave_with_a_killed_server_and_free_its_port(tmp_path: Path) -> None:
    with toy_serving(tmp_path, versions={"v1": 1}, workers=1) as serving:
        serving.process.kill()
        serving.process.wait()
        await until(lambda: not serving.fleet.workers("toy"), what="no worker left")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((serving.settings.host, serving.settings.port))


async def metrics(session: aiohttp.ClientSession, serving: ServingProcess) -> str:
    async with session.get(f"{serving.url}/metrics") as response:
        return await response.text()


def loaded(serving: ServingProcess, version: str) -> ServingModel:
    return load(bootstrap.model_store(serving.settings).directory("toy", version), toy_spec())


async def fresh_predict(serving: ServingProcess, **more: Any) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session:
        return await predict(session, serving, **more)


async def stubborn_predict(serving: ServingProcess, request_id: str) -> dict[str, Any]:
    """Ask again until there is an answer, as a good client does."""
    while True:
        try:
            return await fresh_predict(serving, request_id=request_id)
        except (aiohttp.ClientError, ConnectionError):
            await asyncio.sleep(0.05)


@asynccontextmanager
async def load_of(session: aiohttp.ClientSession, serving: ServingProcess) -> AsyncIterator[list[dict[str, Any]]]:
    """Four callers that ask one request after the other; a refused or failed one fails the test."""
    answers: list[dict[str, Any]] = []
    stop = asyncio.Event()

    async def ask() -> None:
        while not stop.is_set():
            answers.append(await predict(session, serving))

    async with asyncio.TaskGroup() as callers:
        for _ in range(4):
            callers.create_task(ask())
        yield answers
        stop.set()


def count(answers: list[dict[str, Any]], version: str) -> int:
    return sum(answer["version"] == version for answer in answers)


def total(text: str, sample: str, **labels: str) -> float:
    found = [
        each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == sample and labels.items() <= each.labels.items()
    ]
    assert found, f"no sample {sample} {labels}"
    return sum(found)
