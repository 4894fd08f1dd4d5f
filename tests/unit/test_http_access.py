"""Which routes ask for a token, and what a caller without one is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from services.entrypoints.access import PROBES, Access, access_of
from services.entrypoints.http import build_app
from services.entrypoints.worker import Worker, build_worker
from services.serving.decision import NO_MODEL
from services.settings import Settings
from tests.toy import toy_spec

TOY = "/v1/models/toy"
OLD, NEW = "the-old-token-0123456789", "the-new-token-0123456789"
WRONG = "a-token-that-nobody-knows"
ASKED: dict[str, Any] = {"entity_id": "u", "features": {}}

WRITES = [("POST", f"{TOY}/outcomes"), ("PUT", f"{TOY}/entities/u/features"), ("POST", f"{TOY}/predict:batch")]
PREDICTS = [("POST", f"{TOY}/predict"), ("POST", "/predict")]
READS = [f"{TOY}/entities/u/availability", "/v1/models", TOY, "/metrics", "/openapi.json", "/", "/livez", "/readyz"]


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    worker = build_worker([toy_spec()], Settings(home=tmp_path))
    yield worker
    await worker.close()


class ServerAround:
    """Answers whatever the application hands back to it."""

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})


class UnreadBody:
    """Fails whoever begins to read it."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")


@asynccontextmanager
async def serving(worker: Worker, *, predict_needs_token: bool = False) -> AsyncIterator[httpx.AsyncClient]:
    access = Access(tokens=(OLD, NEW), predict_needs_token=predict_needs_token)
    app = build_app(lambda: worker, body_limit=10_000, access=access, server=ServerAround())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


def refused(worker: Worker) -> float:
    return worker.metrics.registry.get_sample_value("bellwether_requests_refused_total", {"code": "unauthorized"}) or 0


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "header", [{}, bearer(WRONG), bearer(""), {"Authorization": OLD}, {"Authorization": f"Basic {OLD}"}]
)
async def test_what_writes_is_refused_without_a_token_that_is_known(
    worker: Worker, method: str, path: str, header: dict[str, str]
) -> None:
    async with serving(worker) as http:
        response = await http.request(method, path, json={}, headers=header)
    problem = response.json()
    assert (response.status_code, problem["status"], problem["error"]) == (401, 401, "unauthorized")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == "Bearer"
    assert not any(token in response.text for token in (OLD, NEW, WRONG))
    assert refused(worker) == 1


@pytest.mark.parametrize("token", [OLD, NEW])
async def test_what_writes_is_read_with_either_token(worker: Worker, token: str) -> None:
    at = worker.now().isoformat()
    async with serving(worker) as http:
        batch = await http.post(f"{TOY}/predict:batch", json=[ASKED], headers=bearer(token))
        made = batch.json()[0]["answer"]
        outcome = {"prediction_id": made["prediction_id"], "value": toy_spec().task.positive, "observed_at": at}
        told = await http.post(f"{TOY}/outcomes", json=outcome, headers=bearer(token))
        features = {"features": {"visits": {"value": 1, "observed_at": at}}}
        written = await http.put(f"{TOY}/entities/u/features", json=features, headers=bearer(token))
    assert [response.status_code for response in (batch, told, written)] == [200, 200, 200]
    assert refused(worker) == 0


@pytest.mark.parametrize(("method", "path"), PREDICTS)
async def test_a_prediction_needs_a_token_only_where_the_settings_say_so(
    worker: Worker, method: str, path: str
) -> None:
    async with serving(worker) as http:
        assert (await http.request(method, path, json=ASKED)).status_code == 200
    async with serving(worker, predict_needs_token=True) as http:
        response = await http.request(method, path, json=ASKED, headers=bearer(WRONG))
        assert (response.status_code, response.json()["error"]) == (401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
        assert (await http.request(method, path, json=ASKED, headers=bearer(NEW))).status_code == 200
    assert refused(worker) == 1


@pytest.mark.parametrize(("method", "path"), WRITES + PREDICTS)
async def test_nothing_of_a_body_is_read_before_the_token(worker: Worker, method: str, path: str) -> None:
    async with serving(worker, predict_needs_token=True) as http:
        response = await http.request(method, path, content=UnreadBody(), headers={"Content-Type": "application/json"})
    assert response.status_code == 401


async def test_a_caller_without_a_token_is_not_told_which_models_and_entities_there_are(worker: Worker) -> None:
    async with serving(worker) as http:
        response = await http.post("/v1/models/nope/outcomes", json={})
    assert (response.status_code, response.json()["error"]) == (401, "unauthorized")


@pytest.mark.parametrize("path", READS)
async def test_everybody_may_read(worker: Worker, path: str) -> None:
    async with serving(worker, predict_needs_token=True) as http:
        assert (await http.get(path)).status_code == 200


async def test_values_of_an_entity_are_told_to_whoever_could_write_them_alone(worker: Worker) -> None:
    at = worker.now().isoformat()
    written = {"visits": {"value": -7.25, "observed_at": at}, "mood": {"value": 3.5, "observed_at": at}}
    url = f"{TOY}/entities/u/availability"
    async with serving(worker) as http:
        await http.put(f"{TOY}/entities/u/features", json={"features": written}, headers=bearer(NEW))
        bare, whole = await http.get(url), await http.get(url, headers=bearer(NEW))
        asked = await http.post(f"{TOY}/predict", json=ASKED)
        unknown = await http.get(url, headers=bearer(WRONG))

    assert {name: each["status"] for name, each in bare.json()["features"].items()} == {
        "amount": "missing",
        "plan": "missing",
        "visits": "invalid",
        "mood": "ok",
    }
    for each in bare.json()["features"].values():
        assert set(each) <= {"status", "age_seconds"}
    assert bare.json()["reasons"] == [NO_MODEL, "amount is missing", "plan is missing", "visits is invalid"]
    assert whole.json()["features"]["visits"]["problem"] == "found -7.25, expected at least 0"
    assert whole.json()["features"]["mood"]["value"] == 3.5
    for told in (bare, asked):
        assert not any(value in told.text for value in ("7.25", "3.5"))
    assert unknown.status_code == 401


async def test_ages_are_told_to_everybody(worker: Worker) -> None:
    at = worker.now()
    written = {"visits": {"value": 1, "observed_at": (at - timedelta(hours=50)).isoformat()}}
    async with serving(worker) as http:
        await http.put(f"{TOY}/entities/u/features", json={"features": written}, headers=bearer(NEW))
        visits = (await http.get(f"{TOY}/entities/u/availability")).json()["features"]["visits"]

    assert (visits["status"], visits["problem"]) == ("stale", "50 h old, limit 6 h")
    assert visits["age_seconds"] >= 50 * 3600


async def test_a_name_that_was_made_to_lead_here_is_answered_nothing(worker: Worker) -> None:
    app = build_app(lambda: worker, body_limit=10_000, access=access_of(Settings()), server=ServerAround())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://evil.example:3000") as http:
        for method, path in [*WRITES, *PREDICTS, *(("GET", read) for read in READS)]:
            response = await http.request(method, path, json=ASKED)
            if path in PROBES:
                assert response.status_code == 200
                continue
            assert (response.status_code, response.json()["error"]) == (421, "unknown_host"), path
            assert response.headers["content-type"] == "application/problem+json"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:3000") as http:
        assert (await http.post(f"{TOY}/predict", json=ASKED)).status_code == 200


async def test_a_page_of_another_site_changes_nothing(worker: Worker) -> None:
    async with serving(worker) as http:
        for method, path in WRITES + PREDICTS:
            response = await http.request(
                method, path, json=ASKED, headers=bearer(NEW) | {"Origin": "http://evil.example"}
            )
            assert (response.status_code, response.json()["error"]) == (403, "cross_site"), path
        assert (await http.get("/v1/models", headers={"Sec-Fetch-Site": "cross-site"})).status_code == 200


async def test_a_prediction_that_needs_no_token_is_called_without_anything_before_it() -> None:
    async def predict(_request: Any) -> Any:
        raise AssertionError("it is compared, not called")

    assert Access(tokens=(OLD,)).before_predict(predict) is predict
    assert Access(tokens=(OLD,), predict_needs_token=True).before_predict(predict) is not predict
