"""Tokens before two real workers: rotated, wrong, missing and malformed, on our routes and on BentoML's."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import bentoml
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services import bootstrap
from services.core.features import Reading
from services.entrypoints.access import token_to_send
from services.traffic.client import Outcome, PredictionClient, Refused
from tests.integration.serving_process import ServingProcess, toy_serving
from tests.toy import toy_spec

OLD, NEW, OWN = "the-old-token-0123456789", "the-new-token-0123456789", "the-own-token-0123456789"
WRONG = "a-token-that-nobody-knows"
ASKED: dict[str, Any] = {"entity_id": "u", "features": {"amount": 90.0, "plan": "monthly"}}
TOY = "/v1/models/toy"

GUARDED = [
    ("POST", f"{TOY}/predict"),
    ("POST", f"{TOY}/predict:batch"),
    ("POST", f"{TOY}/outcomes"),
    ("PUT", f"{TOY}/entities/u/features"),
    ("POST", "/predict"),
]
NOT_A_TOKEN_OF_OURS = {
    "missing": {},
    "wrong": {"Authorization": f"Bearer {WRONG}"},
    "empty": {"Authorization": "Bearer "},
    "no scheme": {"Authorization": OLD},
    "another scheme": {"Authorization": f"Basic {OLD}"},
    "two tokens": {"Authorization": f"Bearer {OLD} {NEW}"},
    "a part": {"Authorization": f"Bearer {OLD[:-1]}"},
}
EACH_WORKER_IS_ASKED = 8
"""Connections: the kernel gives each to either worker, so that one of them gets none once in 128 times."""


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    home = tmp_path_factory.mktemp("home")
    tokens = home / "tokens"
    tokens.write_text(f"# until every caller has the new one\n{OLD}\n{NEW}\n")
    settings: dict[str, Any] = {"token": OWN, "token_file": str(tokens), "predict_needs_token": True}
    with toy_serving(home, versions={"v1": 1}, **settings) as process:
        yield process


def connection(serving: ServingProcess) -> aiohttp.ClientSession:
    """Every request over a connection of its own."""
    return aiohttp.ClientSession(serving.url, connector=aiohttp.TCPConnector(force_close=True))


@pytest.mark.parametrize("header", NOT_A_TOKEN_OF_OURS.values(), ids=NOT_A_TOKEN_OF_OURS.keys())
async def test_without_a_token_of_ours_no_worker_takes_anything(
    serving: ServingProcess, header: dict[str, str]
) -> None:
    before = recorded(serving)
    async with connection(serving) as http:
        for method, path in GUARDED:
            async with http.request(method, path, json=ASKED, headers=header) as response:
                problem = await response.json(content_type="application/problem+json")
                assert (response.status, problem["error"]) == (401, "unauthorized"), path
                assert response.headers["WWW-Authenticate"] == "Bearer"
    assert recorded(serving) == before


@pytest.mark.parametrize("token", [OLD, NEW, OWN])
async def test_every_worker_takes_the_tokens_of_the_file_and_of_the_environment(
    serving: ServingProcess, token: str
) -> None:
    async with connection(serving) as http:
        for _ in range(EACH_WORKER_IS_ASKED):
            async with http.post(
                f"{TOY}/predict", json=ASKED, headers={"Authorization": f"Bearer {token}"}
            ) as response:
                assert response.status == 200, await response.text()


async def test_everybody_may_read(serving: ServingProcess) -> None:
    async with connection(serving) as http:
        for path in (
            "/livez",
            "/readyz",
            "/metrics",
            "/v1/models",
            TOY,
            f"{TOY}/entities/u/availability",
            "/schema.json",
        ):
            async with http.get(path) as response:
                assert response.status == 200, path


async def test_the_clients_of_the_stack_send_the_token_that_the_service_was_given(serving: ServingProcess) -> None:
    now = datetime.now(UTC)
    async with PredictionClient(serving.url, model="toy", token=token_to_send(serving.settings)) as client:
        await client.write_features("v", {"visits": Reading(4, now)})
        made = await client.predict("v", ASKED["features"], request_id="with a token")
        assert await client.send_outcomes([Outcome(made.prediction_id, toy_spec().task.positive, made.made_at)]) == 1
    async with PredictionClient(serving.url, model="toy") as client:
        with pytest.raises(Refused, match=r"answered 401: .*unauthorized"):
            await client.predict("v", ASKED["features"], request_id="without one")


def test_bentomls_own_client_gets_its_answer_with_a_token(serving: ServingProcess) -> None:
    with bentoml.SyncHTTPClient(serving.url, token=NEW) as client:
        assert client.predict(model="toy", **ASKED)["model"] == "toy"


async def test_refusals_are_counted_and_no_token_is_in_the_log_or_the_metrics(serving: ServingProcess) -> None:
    refusals = 3
    async with connection(serving) as http:
        before = await unauthorized(http)
        for _ in range(refusals):
            async with http.post(f"{TOY}/predict", json=ASKED, headers=NOT_A_TOKEN_OF_OURS["wrong"]):
                pass
        # A counter is written where every worker's scrape reads it, before the answer leaves.
        assert await unauthorized(http) == before + refusals
        async with http.get("/metrics") as response:
            told = await response.text()
    told += (serving.settings.home / "serving.log").read_text()
    assert not any(token in told for token in (OLD, NEW, OWN, WRONG))


async def unauthorized(http: aiohttp.ClientSession) -> float:
    async with http.get("/metrics") as response:
        families = text_string_to_metric_families(await response.text())
    samples = [sample for family in families for sample in family.samples]
    return sum(
        each.value
        for each in samples
        if each.name == "bellwether_requests_refused_total" and each.labels["code"] == "unauthorized"
    )


def recorded(serving: ServingProcess) -> int:
    log = bootstrap.event_log(serving.settings)
    found = len(log.read(after=0, limit=100_000))
    log.close()
    return found
