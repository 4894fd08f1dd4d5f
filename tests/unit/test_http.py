"""The routes, on real adapters and without a server."""

import codecs
import gzip
import json
import shutil
import struct
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest

from services.core.artifacts import Manifest
from services.core.errors import EventLogUnavailable
from services.core.events import fact_of
from services.core.outcomes import OutcomeObserved
from services.core.records import CHAMPION
from services.entrypoints.http import build_app
from services.entrypoints.http_json import ROWS_AT_MOST
from services.entrypoints.worker import Worker, build_worker
from services.serving.requests import FAULTS_AT_MOST
from services.settings import Settings
from tests.artifacts import add_toy_version
from tests.toy import NOON, toy_spec

ASKED: dict[str, Any] = {"entity_id": "u", "features": {"amount": 90, "plan": "monthly"}}
TOY = "/v1/models/toy"
LIMIT = 100_000


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    (tmp_path / "clock").write_bytes(struct.pack("<d", NOON.timestamp()))
    worker = build_worker([toy_spec()], Settings(home=tmp_path, clock_file=str(tmp_path / "clock"), control_share=0.0))
    add_toy_version(worker.store, "v1")
    watch = worker.model("toy").watch
    watch.fleet.publish("toy", {CHAMPION: "v1"})
    await watch.look()
    yield worker
    await worker.close()


@pytest.fixture
async def http(worker: Worker) -> AsyncIterator[httpx.AsyncClient]:
    app = build_app(lambda: worker, body_limit=LIMIT)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def recorded(worker: Worker) -> int:
    return len(worker.log.read(after=0, limit=100))


async def write_features(http: httpx.AsyncClient, *, hours_ago: float = 0) -> httpx.Response:
    at = (NOON - timedelta(hours=hours_ago)).isoformat()
    features = {name: {"value": 1, "observed_at": at} for name in ("visits", "mood")}
    return await http.put(f"{TOY}/entities/u/features", json={"features": features})


async def test_writes_of_features_are_counted_by_what_became_of_them(http: httpx.AsyncClient, worker: Worker) -> None:
    await write_features(http)
    await http.put(f"{TOY}/entities/u/features", json={"features": {"unknown": {"value": 1}}})
    await http.put(f"{TOY}/entities/u/features", content=b"{", headers={"content-type": "application/json"})
    await worker.features.close()
    (Path(worker.home or "") / "features.sqlite").unlink()
    (Path(worker.home or "") / "features.sqlite").mkdir()
    await write_features(http)

    counted = {
        result: worker.metrics.registry.get_sample_value(
            "bellwether_feature_writes_total", {"model": "toy", "result": result}
        )
        for result in ("written", "refused", "failed")
    }
    assert (counted["written"], counted["refused"]) == (1, 2)


async def test_the_room_on_the_homes_disk_is_as_it_is_at_the_scrape(http: httpx.AsyncClient, worker: Worker) -> None:
    lines = (await http.get("/metrics")).text.splitlines()
    shown = {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("bellwether_home_")}
    disk = shutil.disk_usage(Path(worker.home or ""))
    assert shown["bellwether_home_size_bytes"] == disk.total
    assert shown["bellwether_home_free_bytes"] == pytest.approx(disk.free, rel=0.1)


async def test_a_prediction_over_http(http: httpx.AsyncClient) -> None:
    assert (await write_features(http, hours_ago=2)).json()["written"] == ["visits", "mood"]
    answer = (await http.post(f"{TOY}/predict", json=ASKED)).json()
    assert (answer["model"], answer["version"], answer["served_by"], answer["arm"]) == (
        "toy",
        "v1",
        "model",
        "treatment",
    )
    assert answer["features"]["visits"] == {"status": "ok", "age_seconds": 7200.0}
    assert answer["made_at"] == "2026-03-01T12:00:00Z"
    assert set(answer) == {
        "prediction_id",
        "model",
        "version",
        "served_by",
        "arm",
        "score",
        "label",
        "action",
        "features",
        "reasons",
        "made_at",
    }


async def test_a_refused_request_names_every_fault_as_a_problem(http: httpx.AsyncClient) -> None:
    body = {"entity_id": "", "features": {"amount": True}}
    response = await http.post(f"{TOY}/predict", json=body)
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    problem = response.json()
    assert problem["error"] == "invalid_request"
    assert [fault["field"] for fault in problem["faults"]] == ["entity_id", "features.amount"]
    assert {"type", "title", "status", "detail"} < set(problem)


@pytest.mark.parametrize(
    ("content", "status", "error"),
    [
        (b"{", 400, "malformed_json"),
        (b'{"entity_id":"u","features":{"amount":NaN}}', 400, "malformed_json"),
        (b'{"entity_id":"u","features":{"amount":1e999}}', 400, "malformed_json"),
        (b'{"entity_id":"u","entity_id":"v","features":{}}', 400, "malformed_json"),
        (b'{"entity_id":"\\ud800","features":{}}', 400, "malformed_json"),
        (b"\xff", 400, "malformed_json"),
        (b"[" * 50_000, 400, "malformed_json"),
        (b'{"entity_id":"u","features":{"amount":' + b"9" * 5000 + b"}}", 400, "malformed_json"),
        (b" " * (LIMIT + 1), 413, "body_too_large"),
    ],
)
async def test_what_is_no_strict_bounded_json_is_refused(
    http: httpx.AsyncClient, content: bytes, status: int, error: str
) -> None:
    response = await http.post(f"{TOY}/predict", content=content, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["error"]) == (status, error)


async def test_a_body_that_grows_beyond_the_limit_without_saying_so_is_refused(http: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 10_000

    response = await http.post(f"{TOY}/predict", content=endless(), headers={"content-type": "application/json"})
    assert response.status_code == 413


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
async def test_only_json_is_read_so_that_no_page_elsewhere_can_post_here(
    http: httpx.AsyncClient, media_type: str
) -> None:
    response = await http.post(f"{TOY}/predict", content=b"{}", headers={"content-type": media_type})
    assert (response.status_code, response.json()["error"]) == (415, "unsupported_media_type")


async def test_a_charset_beside_the_content_type_is_fine(http: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    response = await http.post(f"{TOY}/predict", content=b'{"entity_id":"u","features":{}}', headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("POST", "/v1/models/nope/predict", 404, "unknown_model"),
        ("GET", "/v1/models/nope", 404, "unknown_model"),
        ("GET", "/nope", 404, "unknown_path"),
        ("GET", "/v1/models/", 404, "unknown_path"),
        ("GET", f"{TOY}/predict", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_is_a_problem_too(
    http: httpx.AsyncClient, method: str, path: str, status: int, error: str
) -> None:
    response = await http.request(method, path, json=ASKED)
    assert (response.status_code, response.json()["error"]) == (status, error)
    assert response.headers["content-type"] == "application/problem+json"


async def test_every_answer_has_the_security_headers(http: httpx.AsyncClient) -> None:
    for path in ("/", "/metrics", "/v1/models", "/nope"):
        headers = (await http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")


async def test_each_row_of_a_batch_is_answered_or_refused_on_its_own(http: httpx.AsyncClient, worker: Worker) -> None:
    rows = [ASKED, {"entity_id": "u"}, ASKED | {"request_id": "r"}, ASKED | {"request_id": "r"}, 7]
    results = (await http.post(f"{TOY}/predict:batch", json=rows)).json()
    assert [next(iter(each)) for each in results] == ["answer", "problem", "answer", "answer", "problem"]
    assert results[2] == results[3]
    assert results[1]["problem"]["faults"] == [{"field": "features", "problem": "is missing"}]
    assert recorded(worker) == 2


@pytest.mark.parametrize("body", [{}, [0] * (ROWS_AT_MOST + 1)])
async def test_a_batch_is_a_list_of_bounded_length(http: httpx.AsyncClient, body: Any) -> None:
    assert (await http.post(f"{TOY}/predict:batch", json=body)).status_code == 422


def told(**changes: Any) -> dict[str, Any]:
    return {"prediction_id": "p", "value": "left", "observed_at": "2026-03-01T11:00:00Z"} | changes


async def test_an_outcome_is_recorded_once_and_may_come_before_its_prediction(
    http: httpx.AsyncClient, worker: Worker
) -> None:
    first, second = [(await http.post(f"{TOY}/outcomes", json=told())).json() for _ in range(2)]
    assert (first, second["result"]) == ({"result": "accepted", "prediction_id": "p"}, "duplicate")
    recorded = fact_of(worker.log.read(after=0, limit=10)[0].event)
    assert recorded == OutcomeObserved(
        prediction_id="p", model="toy", value="left", observed_at=NOON - timedelta(hours=1), recorded_at=NOON
    )


async def test_many_outcomes_each_get_their_receipt(http: httpx.AsyncClient, worker: Worker) -> None:
    older = told(observed_at="2026-03-01T10:00:00Z")
    rows = [told(), told(), told(value="stayed"), older, told(value="gone", prediction_id="q"), 7]
    answer = (await http.post(f"{TOY}/outcomes", json=rows)).json()
    counts = {name: count for name, count in answer.items() if name != "rows"}
    assert counts == {"accepted": 1, "corrected": 1, "kept_newer": 1, "duplicates": 1, "refused": 2}
    results = [each["result"] for each in answer["rows"]]
    assert results == ["accepted", "duplicate", "corrected", "kept_newer", "refused", "refused"]
    assert answer["rows"][4]["prediction_id"] == "q"
    assert answer["rows"][4]["faults"] == ["value: found 'gone', expected one of stayed, left"]
    assert recorded(worker) == 3


async def test_a_write_of_features_tells_of_each_what_became_of_it(http: httpx.AsyncClient) -> None:
    async def write(**values: tuple[float, int]) -> Any:
        features = {
            name: {"value": value, "observed_at": (NOON - timedelta(hours=hours)).isoformat()}
            for name, (value, hours) in values.items()
        }
        return (await http.put(f"{TOY}/entities/u/features", json={"features": features})).json()

    first = await write(visits=(10, 1), mood=(1, 1))
    assert first["features"] == {"visits": "written", "mood": "written"}
    second = await write(visits=(99, 1), mood=(2, 3))
    assert second["features"] == {"visits": "corrected", "mood": "kept_newer"}
    assert second["written"] == ["visits"]
    assert (await write(visits=(99, 1)))["features"] == {"visits": "duplicate"}
    assert (await write())["features"] == {}
    shown = (await http.get(f"{TOY}/entities/u/availability")).json()["features"]
    assert (shown["visits"]["value"], shown["mood"]["value"]) == (99, 1)


async def test_a_request_id_with_other_content_is_a_problem_that_names_what_differs(http: httpx.AsyncClient) -> None:
    asked = ASKED | {"request_id": "r"}
    other = asked | {"features": {"amount": 91, "plan": "monthly"}}
    first = (await http.post(f"{TOY}/predict", json=asked)).json()
    assert (await http.post(f"{TOY}/predict", json=asked)).json() == first
    refused = await http.post(f"{TOY}/predict", json=other)
    problem = "was used before with other content of features.amount; use a new one for a new request"
    assert (refused.status_code, refused.json()["faults"]) == (422, [{"field": "request_id", "problem": problem}])
    same, differs = (await http.post(f"{TOY}/predict:batch", json=[asked, other])).json()
    assert (same["answer"], differs["problem"]["faults"][0]["field"]) == (first, "request_id")
    tensors = {"entity_id": "u", "request_id": "r", "amount": 91.0, "plan": "monthly"}
    inputs = [
        {"name": name, "shape": [1], "datatype": "FP64" if name == "amount" else "BYTES", "data": [value]}
        for name, value in tensors.items()
    ]
    inferred = await http.post("/v2/models/toy/infer", json={"inputs": inputs})
    assert (inferred.status_code, inferred.json()["faults"][0]["field"]) == (422, "inputs.request_id[0]")


BAD_URLS = {
    "latin-1": ("M%F6ller", "%F6ller"),
    "another letter of latin-1": ("M%FCller", "%FCller"),
    "the beginning of a letter": ("M%C3", "%C3"),
    "a surrogate": ("%ED%A0%80", "%ED%A0%80"),
    "a letter spelt too long": ("%C0%AF", "%C0%AF"),
    "behind a good letter": ("%C3%BC%FF", "%FF"),
    "no escape": ("50%", "%"),
    "no hexadecimal digits": ("50%zz", "%zz"),
}


@pytest.mark.parametrize(("entity", "found"), BAD_URLS.values(), ids=BAD_URLS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"{TOY}/entities/ENTITY/features"),
        ("GET", f"{TOY}/entities/ENTITY/availability"),
        ("POST", "/v1/models/ENTITY/predict"),
        ("POST", "/v1/models/ENTITY/predict:batch"),
        ("POST", "/v1/models/ENTITY/outcomes"),
        ("GET", "/v1/models/ENTITY"),
        ("GET", "/v2/models/ENTITY/versions/ENTITY"),
        ("POST", "/v2/models/ENTITY/infer"),
        ("GET", "/ENTITY"),
    ],
)
async def test_a_path_that_is_no_utf_8_is_refused_wherever_it_leads(
    worker: Worker, method: str, path: str, entity: str, found: str
) -> None:
    raw = path.replace("ENTITY", entity).encode()
    status, body = await called(worker, method, raw)
    (fault,) = body["faults"]
    assert (status, fault["field"]) == (422, "path")
    assert fault["problem"].startswith(f"found {found!r}"[:-1])
    assert f"at place {raw.index(found.encode())}, which" in fault["problem"]


@pytest.mark.parametrize("query", ["features=%FC", "features={%22plan%22:%22%F6%22}", "started_at=%", "x=%ff"])
async def test_a_query_that_is_no_utf_8_is_refused_too(worker: Worker, query: str) -> None:
    status, body = await called(worker, "GET", f"{TOY}/entities/u/availability".encode(), query.encode())
    assert (status, body["faults"][0]["field"]) == (422, "query")


IDS = ["Müller", "a/b", "..", ".", "a.b", "50%", "100 %zz", "\N{REPLACEMENT CHARACTER}", "日本", "a b+c", "?", "a%2Fb"]


@pytest.mark.parametrize("entity", IDS)
async def test_every_id_in_a_path_means_itself(http: httpx.AsyncClient, worker: Worker, entity: str) -> None:
    at = NOON.isoformat()
    raw = f"{TOY}/entities/{quote(entity, safe='')}".encode()
    body = {"features": {"visits": {"value": 7, "observed_at": at}}}
    status, written = await called(worker, "PUT", raw + b"/features", body=json.dumps(body).encode())
    assert (status, written["entity_id"]) == (200, entity)
    answer = (await http.post(f"{TOY}/predict", json={"entity_id": entity, "features": {}})).json()
    assert answer["features"]["visits"]["status"] == "ok"


async def called(
    worker: Worker, method: str, raw: bytes, query: bytes = b"", body: bytes = b"{}"
) -> tuple[int, dict[str, Any]]:
    """Ask as uvicorn does: clients put right what they are given."""
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(raw.decode()),
        "raw_path": raw,
        "query_string": query,
        "headers": [(b"content-type", b"application/json")],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("test", 80),
        "client": None,
        "root_path": "",
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    await build_app(lambda: worker, body_limit=LIMIT)(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


async def test_an_answer_is_not_many_times_as_long_as_the_query_that_it_refuses(http: httpx.AsyncClient) -> None:
    for params in (unknown(3_000), {"features": json.dumps(unknown(3_000))}):
        response = await http.get(f"{TOY}/entities/u/availability", params=params)
        assert (response.status_code, len(response.json()["faults"])) == (422, FAULTS_AT_MOST + 1)
        assert len(response.content) < 5 * len(response.request.url.query)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("2016-12-31T23:59:60Z", "2017-01-01T00:00:00"), ("2016-12-31t23:59:60.5+00:00", "2017-01-01T00:00:00.5")],
)
async def test_a_leap_second_is_the_first_of_the_next_minute(
    http: httpx.AsyncClient, worker: Worker, written: str, meant: str
) -> None:
    assert (await http.post(f"{TOY}/outcomes", json=told(observed_at=written))).json()["result"] == "accepted"
    assert worker.log.read(after=0, limit=1)[0].event.time == datetime.fromisoformat(f"{meant}+00:00")


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("2026-03-01T11:00:00", "found '2026-03-01T11:00:00', which has no offset; expected"),
        ("2026-03-01", "found '2026-03-01', which has no offset; expected"),
        ("2026-03-01T11:00:00+01:75", "found '2026-03-01T11:00:00+01:75', expected"),
        ("2026-03-01T11:00:61Z", "found '2026-03-01T11:00:61Z', expected"),
        ("9999-12-31T23:59:60Z", "found '9999-12-31T23:59:60Z', expected"),
        ("soon", "found 'soon', expected"),
    ],
)
async def test_what_is_no_time_is_told_from_one_without_its_offset(
    http: httpx.AsyncClient, written: str, problem: str
) -> None:
    (fault,) = (await http.post(f"{TOY}/outcomes", json=told(observed_at=written))).json()["faults"]
    assert fault["field"] == "observed_at"
    assert fault["problem"].startswith(f"{problem} a time with its offset, such as 2026-03-01T12:00:00Z")


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("feature={}", "query.feature: is unknown; expected features, started_at"),
        ("features={}&features={}", "query.features: stands twice, expected once"),
    ],
)
async def test_a_parameter_that_would_not_be_read_is_refused(http: httpx.AsyncClient, query: str, problem: str) -> None:
    refused = await http.get(f"{TOY}/entities/u/availability?{query}")
    assert (refused.status_code, refused.json()["detail"]) == (422, problem)


WITH_BODIES = [
    ("POST", f"{TOY}/predict"),
    ("POST", f"{TOY}/predict:batch"),
    ("POST", f"{TOY}/outcomes"),
    ("PUT", f"{TOY}/entities/u/features"),
    ("POST", "/v2/models/toy/infer"),
]


@pytest.mark.parametrize(("method", "path"), WITH_BODIES)
@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "x-nobody-knows"])
async def test_a_body_that_is_encoded_is_refused_with_the_name_of_its_encoding(
    http: httpx.AsyncClient, worker: Worker, method: str, path: str, encoding: str
) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    response = await http.request(method, path, content=gzip.compress(b"{}"), headers=headers)
    assert (response.status_code, response.json()["type"]) == (415, "urn:bellwether:problem:unsupported_media_type")
    assert f"found Content-Encoding {encoding!r}, expected none" in response.json()["detail"]
    assert recorded(worker) == 0


async def test_of_two_headers_that_name_an_encoding_none_is_passed_over(http: httpx.AsyncClient) -> None:
    headers = [("content-type", "application/json"), ("content-encoding", "identity"), ("content-encoding", "br")]
    assert (await http.post(f"{TOY}/predict", json=ASKED, headers=headers)).status_code == 415


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
async def test_a_body_as_it_is_may_say_so(http: httpx.AsyncClient, encoding: str) -> None:
    response = await http.post(f"{TOY}/predict", json=ASKED, headers={"content-encoding": encoding})
    assert response.status_code == 200


async def test_a_byte_order_mark_is_passed_over(http: httpx.AsyncClient) -> None:
    body = codecs.BOM_UTF8 + json.dumps(ASKED).encode()
    for path in (f"{TOY}/predict", f"{TOY}/outcomes", "/v2/models/toy/infer"):
        response = await http.post(path, content=body, headers={"content-type": "application/json"})
        assert response.status_code == (200 if path.endswith("predict") else 422)


@pytest.mark.parametrize(("method", "path"), WITH_BODIES)
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("{}".encode("utf-16"), "the body is UTF-16, expected JSON in UTF-8"),
        ('{"a":1}'.encode("utf-16-le"), "the body is UTF-16, expected JSON in UTF-8"),
        ('{"a":1}'.encode("utf-16-be"), "the body is UTF-16, expected JSON in UTF-8"),
        ("[1]".encode("utf-32"), "the body is UTF-32, expected JSON in UTF-8"),
        ("[1]".encode("utf-32-be"), "the body is UTF-32, expected JSON in UTF-8"),
        (b'{"a":"M\xfcller"}', "the body is no UTF-8: found the byte 0xFC at place 7; expected JSON in UTF-8"),
        (gzip.compress(b"{}"), "the body is compressed (gzip), expected JSON as it is"),
        (b" \r\n", "the body is empty, expected JSON"),
        (b"{", "the body is no JSON: Input data was truncated"),
        (b"\x00", "the body is no JSON: "),
    ],
)
async def test_a_body_in_another_encoding_is_told_which_one_it_has(
    http: httpx.AsyncClient, method: str, path: str, body: bytes, problem: str
) -> None:
    response = await http.request(method, path, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["detail"].startswith(problem)


async def test_a_single_outcome_that_is_wrong_is_a_problem(http: httpx.AsyncClient) -> None:
    response = await http.post(f"{TOY}/outcomes", json=told(observed_at="2026-03-01T11:00:00"))
    assert (response.status_code, response.json()["faults"][0]["field"]) == (422, "observed_at")


async def test_availability_is_told_without_being_recorded(http: httpx.AsyncClient, worker: Worker) -> None:
    await write_features(http, hours_ago=50)
    url = f"{TOY}/entities/u/availability"
    bare = (await http.get(url)).json()
    assert {name: each["status"] for name, each in bare["features"].items()} == {
        "amount": "missing",
        "plan": "missing",
        "visits": "stale",
        "mood": "stale",
    }
    given = (await http.get(url, params={"features": '{"amount": 1, "plan": "yearly"}'})).json()
    assert (given["model_may_answer"], given["reasons"]) == (False, ["visits is stale: 50 h old, limit 6 h"])
    assert recorded(worker) == 0


async def test_a_model_that_is_not_loaded_may_not_answer(http: httpx.AsyncClient, worker: Worker) -> None:
    await write_features(http, hours_ago=50)
    worker.models["toy"].watch.serving = None
    told = (
        await http.get(f"{TOY}/entities/u/availability", params={"features": '{"amount": 1, "plan": "yearly"}'})
    ).json()
    assert (told["version"], told["model_may_answer"]) == ("", False)
    assert told["reasons"] == ["no model version is loaded", "visits is stale: 50 h old, limit 6 h"]


async def test_a_model_tells_its_spec_its_versions_and_what_its_features_mean(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/models")).json()["models"] == [
        {"name": "toy", "meaning": "Whether a user leaves.", "owner": "tests", "version": "v1"}
    ]
    card = (await http.get(TOY)).json()
    assert (card["version"], card["versions"], card["problem"]) == ("v1", ["v1"], "")
    features = {each["name"]: each for each in card["features"]}
    assert features["visits"]["max_age_seconds"] == 21_600
    assert features["mood"]["imputed"] == 0.0
    assert features["plan"]["categories"] == ["monthly", "yearly"]


async def test_a_log_that_cannot_be_written_is_503_and_worth_another_try(
    http: httpx.AsyncClient, worker: Worker
) -> None:
    worker.log.close()
    response = await http.post(f"{TOY}/predict", json=ASKED)
    assert (response.status_code, response.json()["error"]) == (503, EventLogUnavailable.code)
    assert response.headers["retry-after"] == "1"


async def test_errors_are_counted_by_their_code(http: httpx.AsyncClient) -> None:
    await http.post(f"{TOY}/predict", json={})
    await http.get("/nope")
    text = (await http.get("/metrics")).text
    assert 'bellwether_requests_refused_total{code="invalid_request"} 1.0' in text
    assert 'bellwether_requests_refused_total{code="unknown_path"} 1.0' in text


async def test_the_index_names_the_models_and_loads_nothing(http: httpx.AsyncClient) -> None:
    page = (await http.get("/")).text
    assert "/v1/models/toy" in page
    assert "src=" not in page


class ForgetfulStore:
    def versions(self, model: str) -> list[str]:
        raise RuntimeError("secret path /etc/x")

    def add(self, manifest: Manifest, files: object) -> Path:
        raise NotImplementedError


async def test_what_nobody_expected_is_500_and_tells_no_secrets(http: httpx.AsyncClient, worker: Worker) -> None:
    worker.store = ForgetfulStore()  # type: ignore[assignment]  # what it lacks, the route does not use
    response = await http.get(TOY)
    assert (response.status_code, response.json()["error"]) == (500, "internal")
    assert "secret" not in response.text


CONTROLS = {"a NUL": "%00", "a line break": "%0A", "an escape": "%1B", "a DEL": "%7F", "a CSI": "%C2%9B"}


@pytest.mark.parametrize("written", CONTROLS.values(), ids=CONTROLS)
@pytest.mark.parametrize(("method", "route"), [("PUT", "features"), ("GET", "availability")])
async def test_an_entity_in_a_path_has_no_control_characters(
    http: httpx.AsyncClient, method: str, route: str, written: str
) -> None:
    url = f"{TOY}/entities/a{written}b/{route}"
    response = await http.request(method, url, json={"features": {}} if method == "PUT" else None)
    assert (response.status_code, response.json()["faults"][0]["field"]) == (422, "entity_id")


@pytest.mark.parametrize("row", [told(prediction_id="x\x00y"), told(prediction_id="x" * 201)])
async def test_an_outcome_whose_id_no_store_takes_is_refused_and_not_recorded(
    http: httpx.AsyncClient, worker: Worker, row: dict[str, Any]
) -> None:
    alone = await http.post(f"{TOY}/outcomes", json=row)
    assert (alone.status_code, alone.json()["faults"][0]["field"]) == (422, "prediction_id")
    beside = (await http.post(f"{TOY}/outcomes", json=[row, told()])).json()
    assert [each["result"] for each in beside["rows"]] == ["refused", "accepted"]
    assert recorded(worker) == 1


@pytest.mark.parametrize("query", [{"started_at": "0001-01-01T00:00:00Z"}, {"features": '{"plan": "a\\u0000"}'}])
async def test_a_query_is_read_as_strictly_as_a_body(http: httpx.AsyncClient, query: dict[str, str]) -> None:
    assert (await http.get(f"{TOY}/entities/u/availability", params=query)).status_code == 422


@pytest.mark.parametrize("levels", [100, 1_000, 30_000])
async def test_no_depth_of_a_body_or_a_query_is_more_than_a_problem(http: httpx.AsyncClient, levels: int) -> None:
    deep = "[" * levels + "]" * levels
    headers = {"content-type": "application/json"}
    for method, path in (
        ("POST", f"{TOY}/predict"),
        ("POST", f"{TOY}/predict:batch"),
        ("POST", f"{TOY}/outcomes"),
        ("PUT", f"{TOY}/entities/u/features"),
        ("POST", "/v2/models/toy/infer"),
    ):
        response = await http.request(method, path, content=deep, headers=headers)
        assert (response.status_code, response.json()["error"].partition(":")[0]) == (400, "malformed_json")
    asked = await http.get(f"{TOY}/entities/u/availability", params={"features": deep[:10_000]})
    assert asked.status_code == 400


TENSOR = {"name": "entity_id", "shape": [1], "datatype": "BYTES", "data": ["u"]}


def unknown(count: int) -> dict[str, int]:
    return {f"x{number:04d}": 1 for number in range(count)}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{TOY}/predict", {"entity_id": "u", "features": unknown(8_000)}),
        ("POST", f"{TOY}/predict", unknown(8_000)),
        ("POST", f"{TOY}/predict:batch", [unknown(80) for _ in range(100)]),
        ("POST", f"{TOY}/predict:batch", [unknown(8)] * 900),
        ("POST", f"{TOY}/outcomes", [unknown(8)] * 900),
        ("POST", f"{TOY}/outcomes", unknown(8_000)),
        ("PUT", f"{TOY}/entities/u/features", {"features": unknown(8_000)}),
        ("POST", "/v2/models/toy/infer", {"inputs": [], "outputs": [{"name": "score", "parameters": unknown(8_000)}]}),
        ("POST", "/v2/models/toy/infer", {"inputs": []} | unknown(8_000)),
        ("POST", "/v2/models/toy/infer", {"inputs": [TENSOR | unknown(8_000)]}),
        ("POST", "/v2/models/toy/infer", {"inputs": [TENSOR | {"shape": [400], "data": ["x" * 201] * 400}]}),
    ],
)
async def test_an_answer_is_not_many_times_as_long_as_what_it_refuses(
    http: httpx.AsyncClient, method: str, path: str, body: Any
) -> None:
    response = await http.request(method, path, json=body)
    assert "more faults" in response.text
    assert len(response.content) < 5 * len(response.request.content)
    if isinstance(body, dict):
        assert len(response.json()["faults"]) == FAULTS_AT_MOST + 1
