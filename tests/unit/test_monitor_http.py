"""The monitor's routes, without a server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitoring.evaluation.alert import drift_alert
from services.core.errors import StoreUnavailable
from services.core.records import ResultKind
from services.entrypoints.access import OPEN, Access, access_of_monitor
from services.settings import Settings
from tests.monitoring import SESAME, SPEC, ToyMonitor
from tests.toy import NOON
from tests.toy_traffic import toy_rows

DAY = timedelta(days=1)
OWN, SERVICE = "the-monitors-token-0123456789", "the-services-token-0123456789"
WRONG = "a-token-that-nobody-knows"
BEARER = {"Authorization": f"Bearer {SESAME}"}


@pytest.fixture
def toy(tmp_path: Path) -> ToyMonitor:
    toy = ToyMonitor(tmp_path, now=NOON)
    toy.promote("v1")
    toy.store.rows = toy_rows(1500, begin=NOON - 10 * DAY)
    return toy


@pytest.fixture
async def http(toy: ToyMonitor) -> AsyncIterator[httpx.AsyncClient]:
    async with _client(toy) as client:
        yield client
    toy.monitor.close()


async def test_the_monitor_is_alive_before_it_has_judged_anything(http: httpx.AsyncClient) -> None:
    for path in ("/livez", "/status", "/metrics", "/"):
        assert (await http.get(path)).status_code == 200


async def test_status_and_metrics_tell_the_newest_judgement(toy: ToyMonitor, http: httpx.AsyncClient) -> None:
    toy.monitor.round()
    status = (await http.get("/status")).json()["models"]["toy"]
    assert status["champion"] == "v1"
    assert status["drift"]["status"] == "ok"
    assert status["records"]["predictions"] == 1500
    text = (await http.get("/metrics")).text
    assert 'bellwether_drift_score{feature="amount",method="wasserstein",model="toy"}' in text
    assert 'bellwether_performance{metric="auc",model="toy",version="v1"}' in text


async def test_whoever_is_woken_reads_the_runbook_here(http: httpx.AsyncClient) -> None:
    shown = await http.get("/runbooks/ModelInputDrift")
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert "<h1>ModelInputDrift</h1>" in shown.text
    assert "<code>bellwether status</code>" in shown.text


@pytest.mark.parametrize("name", ["Unheard", "..%2Frunbook", "%3Cscript%3E"])
async def test_no_other_file_is_served_as_a_runbook(http: httpx.AsyncClient, name: str) -> None:
    refused = await http.get(f"/runbooks/{name}")
    assert refused.status_code == 404
    assert refused.headers["content-type"] == "application/problem+json"


async def test_the_page_cannot_load_or_run_anything(toy: ToyMonitor, http: httpx.AsyncClient) -> None:
    toy.monitor.round()
    shown = await http.get("/")
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert "v1 serves" in shown.text


async def test_reports_are_sandboxed_listed_and_drawn_when_asked_for(http: httpx.AsyncClient) -> None:
    missing = await http.get("/reports/toy/latest")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    assert missing.json()["error"] == "no_report"
    drawn = await http.post("/reports/toy")
    assert drawn.status_code == 303
    for path in (drawn.headers["location"], "/reports/toy/latest"):
        report = await http.get(path)
        assert report.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
        assert "amount" in report.text
    assert drawn.headers["location"] in (await http.get("/reports/toy")).text


async def test_looking_draws_nothing_and_a_button_asks_for_it(toy: ToyMonitor, http: httpx.AsyncClient) -> None:
    shown = await http.get("/reports/toy?refresh")

    assert '<form method=post action="/reports/toy">' in shown.text
    assert "form-action 'self'" in shown.headers["content-security-policy"]
    assert toy.monitor.files.names("toy") == []


async def test_those_who_ask_for_a_report_together_or_shortly_after_get_the_same_one(
    toy: ToyMonitor, http: httpx.AsyncClient
) -> None:
    toy.monitor.timer = lambda: toy.now.timestamp()  # noqa: PLW0108 - of the time that it is then
    drawn = await asyncio.gather(*(http.post("/reports/toy") for _ in range(5)))
    drawn.append(await http.post("/reports/toy"))

    assert {each.headers["location"] for each in drawn} == {drawn[0].headers["location"]}
    toy.now += DAY
    assert (await http.post("/reports/toy")).headers["location"] != drawn[0].headers["location"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://test"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://test:8080"},
    ],
    ids=str,
)
async def test_a_page_of_another_site_draws_nothing(
    toy: ToyMonitor, http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for path in ("/reports/toy", "/alerts"):
        refused = await http.post(path, headers=headers | BEARER, json={})
        assert (refused.status_code, refused.json()["error"]) == (403, "cross_site")
        assert refused.headers["content-type"] == "application/problem+json"
    assert toy.monitor.files.names("toy") == []


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://test"}], ids=str
)
async def test_a_page_of_its_own_may_ask_for_a_report(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert (await http.post("/reports/toy", headers=headers)).status_code == 303


async def test_a_name_that_was_made_to_lead_here_is_shown_nothing(toy: ToyMonitor) -> None:
    access = access_of_monitor(Settings(allowed_hosts="monitor.example.com"), "monitor_host")
    async with _client(toy, access=access) as http:
        for host in ("evil.example", "evil.example:3001", "127.0.0.1.evil.example", "monitor.example.com.evil.example"):
            for path in ("/", "/status", "/metrics", "/reports/toy", "/nowhere"):
                refused = await http.get(path, headers={"Host": host})
                assert (refused.status_code, refused.json()["error"]) == (421, "unknown_host"), (host, path)
            assert (await http.post("/reports/toy", headers={"Host": host})).status_code == 421
            assert (await http.get("/livez", headers={"Host": host})).status_code == 200
        for host in ("localhost:3001", "127.0.0.1", "[::1]:3001", "monitor.example.com"):
            assert (await http.get("/status", headers={"Host": host})).status_code == 200, host


async def test_with_a_token_of_its_own_the_monitor_shows_nothing_without_it_but_that_it_is_alive(
    toy: ToyMonitor,
) -> None:
    settings = Settings(monitor_token=OWN, token=SERVICE, monitor_host="0.0.0.0")  # noqa: S104 - nothing listens
    async with _client(toy, access=access_of_monitor(settings, "monitor_host")) as http:
        for path in ("/", "/status", "/metrics", "/reports/toy", "/reports/toy/latest", "/runbooks/ModelInputDrift"):
            closed = await http.get(path)
            assert (closed.status_code, closed.json()["error"]) == (401, "unauthorized"), path
            assert closed.headers["www-authenticate"].startswith('Bearer, Basic realm="')
            assert (await http.get(path, auth=("anybody", OWN))).status_code in {200, 404}
        assert (await http.post("/reports/toy")).status_code == 401
        assert (await http.post("/reports/toy", auth=("", WRONG))).status_code == 401
        assert (await http.get("/status", headers={"Authorization": "Basic no!base64"})).status_code == 401
        for token in (OWN, SERVICE):
            assert (await http.get("/status", headers={"Authorization": f"Bearer {token}"})).status_code == 200
        assert (await http.get("/livez")).status_code == 200
        assert (await http.post("/alerts", json=_alert(toy), headers=BEARER)).status_code == 202


async def test_with_the_services_token_on_this_machine_reading_is_open_and_writing_is_not(toy: ToyMonitor) -> None:
    access = access_of_monitor(Settings(token=SERVICE, allowed_hosts="test"), "monitor_host")
    async with _client(toy, access=access) as http:
        assert (await http.get("/status")).status_code == 200
        assert (await http.post("/reports/toy")).status_code == 401
        assert (await http.post("/reports/toy", auth=("me", SERVICE))).status_code == 303


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/reports/other", "unknown_model"),
        ("/reports/other/latest", "unknown_model"),
        ("/reports/toy/..%2f..%2fsecret", "no_report"),
        ("/reports/toy/x.html", "no_report"),
        ("/nowhere", "unknown_path"),
    ],
)
async def test_what_is_not_there_is_a_problem_with_a_name(http: httpx.AsyncClient, path: str, error: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 404
    if "%2f" not in path:
        assert answer.json()["error"] == error


async def test_an_alert_becomes_a_job_and_a_repeated_one_does_not(toy: ToyMonitor, http: httpx.AsyncClient) -> None:
    alert = _alert(toy)
    first = await http.post("/alerts", json=alert, headers=BEARER)
    assert first.status_code == 202
    assert first.json()["receipts"][0]["result"] == "accepted"
    assert (await http.post("/alerts", json=alert, headers=BEARER)).json()["receipts"][0]["result"] == "ignored"
    assert len(toy.store.opened) == 1
    counted = toy.metrics.registry.get_sample_value
    assert counted("bellwether_alerts_received_total", {"result": "accepted", "reason": "job_opened"}) == 1


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": SESAME}], ids=str)
async def test_an_alert_without_the_token_is_not_read(
    toy: ToyMonitor, http: httpx.AsyncClient, header: dict[str, str]
) -> None:
    answer = await http.post("/alerts", json=_alert(toy), headers=header)
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert toy.store.opened == []


async def test_without_a_configured_token_the_door_is_closed_even_to_an_empty_one(toy: ToyMonitor) -> None:
    async with _client(toy, token="") as http:
        answer = await http.post("/alerts", json=_alert(toy), headers={"Authorization": "Bearer "})
    assert (answer.status_code, answer.json()["error"]) == (403, "alerts_closed")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"version": "3", "alerts": []}', 400),
        (b'{"version": "4"}', 400),
        (b'{"version": "4", "alerts": [{"status": 1}]}', 400),
        (b" " * 20_000, 413),
        (b'{"version": "4", "alerts": [{"labels":' + b"[" * 2000 + b"]" * 2000 + b"}]}", 400),
    ],
    ids=["no json", "a list", "another version", "no alerts", "a wrong type", "too large", "too deep"],
)
async def test_a_malformed_alert_is_refused_whole(
    toy: ToyMonitor, http: httpx.AsyncClient, content: bytes, status: int
) -> None:
    headers = BEARER | {"Content-Type": "application/json"}
    answer = await http.post("/alerts", content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert toy.store.opened == []


@pytest.mark.parametrize("path", ["/runbooks/%FC", "/reports/%FC", "/reports/toy/%FC", "/reports/%FC/latest"])
async def test_a_path_that_is_no_utf_8_is_refused(http: httpx.AsyncClient, path: str) -> None:
    refused = await http.get(path)
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_request")
    assert "found '%FC" in refused.json()["detail"]


async def test_an_alert_that_is_compressed_is_refused_with_the_name_of_its_encoding(http: httpx.AsyncClient) -> None:
    refused = await http.post("/alerts", json={}, headers=BEARER | {"content-encoding": "gzip"})
    assert (refused.status_code, refused.json()["error"]) == (415, "unsupported_media_type")
    assert "Content-Encoding 'gzip'" in refused.json()["detail"]


async def test_a_store_that_is_down_is_said_so_and_worth_another_try(toy: ToyMonitor, http: httpx.AsyncClient) -> None:
    toy.store.failure = StoreUnavailable("the disk is gone")
    answer = await http.get("/status")
    assert (answer.status_code, answer.json()["error"]) == (503, "store_unavailable")


def _client(toy: ToyMonitor, *, token: str = SESAME, access: Access = OPEN) -> httpx.AsyncClient:
    app = replace(toy.http(token=token), access=access).app()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60)


def _alert(toy: ToyMonitor) -> dict[str, Any]:
    """What the monitor hands over itself: the same payload has to pass through the door."""
    toy.store.rows = toy_rows(1500, begin=NOON - 5 * DAY, every=DAY / 150, richer=1.0)
    for _ in range(3):
        toy.monitor.judge(SPEC, toy.now, toy.store.port)
        toy.now += DAY
    (drift,) = [result for result in toy.monitor.newest("toy") if result.kind is ResultKind.DRIFT]
    payload = drift_alert(SPEC, drift)
    assert payload is not None
    return payload
