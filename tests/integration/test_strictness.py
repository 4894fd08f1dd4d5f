"""What the real server refuses, and how: the same problem details on our paths and on BentoML's own."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from services import bootstrap
from services.core.errors import InvalidRequest
from services.entrypoints.http_json import BodyTooLarge, MalformedJson, UnsupportedMediaType
from services.entrypoints.http_problems import PROBLEM_JSON, ROUTING_CODES, STATUS
from tests.integration.serving_process import ServingProcess, toy_serving

TOY = "/v1/models/toy"
READ = (f"{TOY}/predict", f"{TOY}/predict:batch", f"{TOY}/outcomes", "/predict")
"""Every path that a body can be posted to; the last is the API of BentoML's clients."""
SOUND = b'{"entity_id":"u","features":{}}'

NO_STRICT_JSON = {
    "NaN": b'{"entity_id":"u","features":{"amount":NaN}}',
    "an infinity": b'{"entity_id":"u","features":{"amount":-Infinity}}',
    "a number beyond any float": b'{"entity_id":"u","features":{"amount":1e999}}',
    "a member twice": b'{"entity_id":"u","features":{},"entity_id":"v"}',
    "a feature twice": b'{"entity_id":"u","features":{"amount":1,"amount":2}}',
    "deep nesting": b"[" * 100_000,
    "deep nesting of objects": b'{"a":' * 50_000,
    "a document deeper than any route reads": b'{"entity_id":"u","features":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "two documents": SOUND * 2,
    "no document": b"",
    "no UTF-8": b'{"entity_id":"\xff","features":{}}',
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    with toy_serving(tmp_path_factory.mktemp("home"), versions={"v1": 1}, workers=1) as process:
        yield process


@pytest.fixture
async def http(serving: ServingProcess) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(serving.url) as session:
        yield session


async def problem(response: aiohttp.ClientResponse) -> tuple[int, str]:
    """The status and the code; anything but problem details fails the test."""
    assert response.content_type == PROBLEM_JSON, await response.text()
    members = await response.json(content_type=PROBLEM_JSON)
    assert members["status"] == response.status
    return response.status, members["error"]


async def posted(http: aiohttp.ClientSession, path: str, body: Any, media_type: str = "application/json") -> Any:
    async with http.post(path, data=body, headers={"Content-Type": media_type}) as response:
        return await problem(response)


def refusal(error: Any) -> tuple[int, str]:
    return STATUS[error].value, error.code


@pytest.mark.parametrize("path", READ)
async def test_a_body_that_is_no_strict_json_is_malformed_on_every_path(http: aiohttp.ClientSession, path: str) -> None:
    found = {name: await posted(http, path, body) for name, body in NO_STRICT_JSON.items()}
    assert found == dict.fromkeys(NO_STRICT_JSON, refusal(MalformedJson))


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_only_json_is_read_on_every_path(http: aiohttp.ClientSession, path: str, media_type: str) -> None:
    assert await posted(http, path, SOUND, media_type) == refusal(UnsupportedMediaType)


@pytest.mark.parametrize("path", READ)
async def test_a_body_without_a_content_type_is_not_read(http: aiohttp.ClientSession, path: str) -> None:
    async with http.post(path, data=SOUND, skip_auto_headers=["Content-Type"]) as response:
        assert await problem(response) == refusal(UnsupportedMediaType)


@pytest.mark.parametrize("path", READ)
async def test_too_much_is_refused_whether_it_was_announced_or_came_in_chunks(
    http: aiohttp.ClientSession, serving: ServingProcess, path: str
) -> None:
    too_much = b" " * (serving.settings.body_limit + 1)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(too_much), 100_000):
            yield too_much[start : start + 100_000]

    assert await posted(http, path, too_much) == refusal(BodyTooLarge)
    assert await posted(http, path, chunks()) == refusal(BodyTooLarge)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/livez", {"GET", "HEAD"}),
        ("DELETE", "/readyz", {"GET", "HEAD"}),
        ("PUT", "/schema.json", {"GET", "HEAD"}),
        ("GET", "/predict", {"POST"}),
        ("POST", "/metrics", {"GET", "HEAD"}),
        ("POST", "/openapi.json", {"GET", "HEAD"}),
        ("TRACE", "/", {"GET", "HEAD"}),
        ("GET", f"{TOY}/predict", {"POST"}),
        ("OPTIONS", f"{TOY}/outcomes", {"POST"}),
        ("POST", f"{TOY}/entities/u/features", {"PUT"}),
    ],
)
async def test_an_unknown_verb_is_told_which_there_are(
    http: aiohttp.ClientSession, method: str, path: str, allowed: set[str]
) -> None:
    async with http.request(method, path) as response:
        assert await problem(response) == (405, ROUTING_CODES[405])
        assert set(response.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/predict/", "/livez/", "/docs.json", "/static_content/x", "/v1", "/v1/models/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_path_is_a_problem(http: aiohttp.ClientSession, method: str, path: str) -> None:
    async with http.request(method, path) as response:
        assert await problem(response) == (404, ROUTING_CODES[404])


async def test_a_value_of_the_wrong_type_is_never_read_as_a_number(http: aiohttp.ClientSession) -> None:
    for value in ("1.5", True, [1], {"value": 1}):
        asked = {"entity_id": "u", "features": {"amount": value}}
        async with http.post(f"{TOY}/predict", json=asked) as response:
            assert await problem(response) == refusal(InvalidRequest), value


async def test_all_faults_of_a_request_are_in_one_problem(http: aiohttp.ClientSession) -> None:
    asked = {
        "entity_id": 7,
        "features": {"amount": "1.5", "plan": True, "visits": 3, "color": "red"},
        "request_id": "",
        "started_at": "2026-03-01T12:00:00",
        "more": 1,
    }
    async with http.post(f"{TOY}/predict", json=asked) as response:
        members = await response.json(content_type=PROBLEM_JSON)
    assert {fault["field"] for fault in members["faults"]} == {
        *("entity_id", "request_id", "started_at", "more"),
        *(f"features.{name}" for name in asked["features"]),  # type: ignore[attr-defined]  # a dict, as above
    }


async def test_the_api_of_bentomls_clients_refuses_values_of_the_wrong_type_too(http: aiohttp.ClientSession) -> None:
    for value in ("1.5", True, [1]):
        async with http.post("/predict", json={"entity_id": "u", "features": {"amount": value}}) as response:
            assert response.status == 400
            assert "expected a number" in await response.text()


async def test_nothing_that_was_refused_is_recorded(http: aiohttp.ClientSession, serving: ServingProcess) -> None:
    log = bootstrap.event_log(serving.settings)
    before = len(log.read(after=0, limit=100))
    for path in READ[:1] + READ[-1:]:
        for body in (*NO_STRICT_JSON.values(), json.dumps({"entity_id": "u", "features": {"amount": "1"}}).encode()):
            async with http.post(path, data=body, headers={"Content-Type": "application/json"}) as response:
                assert response.status in {400, 422}
    assert len(log.read(after=0, limit=100)) == before
    log.close()


CONTROLS = ["x\x00y", "a\nb", "a\n", "\x1b[31m", "\x7f", "\x9b"]


@pytest.mark.parametrize("text", CONTROLS)
async def test_control_characters_are_refused_wherever_callers_choose_a_text(
    http: aiohttp.ClientSession, text: str
) -> None:
    entity = f"{TOY}/entities/{quote(text, safe='')}"
    reading = {"value": 1, "observed_at": "2026-01-05T08:00:00Z"}
    told = {"prediction_id": text, "value": "left", "observed_at": "2026-01-05T08:00:00Z"}
    tensor = {"name": "entity_id", "shape": [1], "datatype": "BYTES", "data": [text]}
    for method, url, body in (
        ("POST", f"{TOY}/predict", {"entity_id": text, "features": {}}),
        ("POST", f"{TOY}/predict", {"entity_id": "u", "features": {}, "request_id": text}),
        ("POST", f"{TOY}/predict", {"entity_id": "u", "features": {"plan": text}}),
        ("POST", f"{TOY}/outcomes", told),
        ("PUT", f"{entity}/features", {"features": {"mood": reading}}),
        ("GET", f"{entity}/availability", None),
        ("POST", "/v2/models/toy/infer", {"inputs": [tensor]}),
    ):
        async with http.request(method, URL(url, encoded=True), json=body) as response:
            members = await response.json(content_type=PROBLEM_JSON)
        assert members["status"] == 422, url
        assert "control character U+" in members["faults"][0]["problem"]


async def test_a_body_of_many_members_is_refused_at_once_on_every_path(http: aiohttp.ClientSession) -> None:
    many = b"{%s}" % b",".join(b'"%05d":1' % number for number in range(90_000))
    assert [await posted(http, path, many) for path in READ] == [refusal(BodyTooLarge)] * len(READ)


async def test_the_api_of_bentomls_clients_lists_a_bounded_number_of_faults(http: aiohttp.ClientSession) -> None:
    features = {f"x{number}": 1 for number in range(20_000)}
    async with http.post("/predict", json={"entity_id": "u", "features": features}) as response:
        text = await response.text()
    assert (response.status, "and 19900 more faults" in text, len(text) < 10_000) == (400, True, True)


@pytest.mark.parametrize("entity", ["a/b", "a b", "Müller", "/a/features"])
async def test_an_entity_may_have_any_printable_id(http: aiohttp.ClientSession, entity: str) -> None:
    written = {"features": {"mood": {"value": 1, "observed_at": "2026-01-05T08:00:00Z"}}}
    path = f"{TOY}/entities/{quote(entity, safe='')}"
    async with http.put(URL(f"{path}/features", encoded=True), json=written) as response:
        assert (await response.json())["entity_id"] == entity
    async with http.get(URL(f"{path}/availability", encoded=True)) as response:
        assert (await response.json())["features"]["mood"]["value"] == 1
