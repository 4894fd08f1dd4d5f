"""The doors of real processes: names, limits and errors of serving workers, and of a port that shows metrics."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from monitoring.entrypoints.up.children import module, tied
from services.entrypoints.bento import REQUEST_SECONDS
from services.entrypoints.listening import CONNECTIONS, HEAD_BYTES, HEAD_SECONDS
from services.settings import Settings
from tests.integration.serving_process import ServingProcess, toy_serving
from tests.ports import free_port
from tests.waiting import eventually

TOY = "/v1/models/toy"
ASKED = {"entity_id": "u", "features": {"amount": 90.0, "plan": "monthly"}}
PATIENCE = 60.0


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    with toy_serving(tmp_path_factory.mktemp("home"), versions={"v1": 1}, workers=1) as process:
        yield process


@pytest.fixture
def metrics_port(tmp_path: Path) -> Iterator[int]:
    """Of a consumer."""
    settings = Settings(home=tmp_path / "home", consumer_port=free_port())
    with (tmp_path / "consumer.log").open("wb") as log:
        process = subprocess.Popen(
            tied(module("services.entrypoints.consumer")),
            env=os.environ | settings.as_environment(),
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: answers(settings.consumer_port), what="the consumer answers", seconds=PATIENCE)
        yield settings.consumer_port
    finally:
        process.terminate()
        assert process.wait(30) == 0, (tmp_path / "consumer.log").read_text()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
    except httpx.HTTPError:
        return False


def asked(port: int, request: bytes) -> tuple[int, dict[str, object]]:
    """The status and the problem that a request gets, over a connection that is read until it ends."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)) as connection:
        connection.sendall(request)
        answered = b""
        while part := connection.recv(65_536):
            answered += part
    head, _, body = answered.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), answered[:500]
    return int(head.split()[1]), json.loads(body)


def test_no_worker_answers_to_a_name_that_was_made_to_lead_here(serving: ServingProcess) -> None:
    for host in ("evil.example", f"evil.example:{serving.settings.port}", "127.0.0.1.evil.example"):
        for path in ("/v1/models", "/metrics", "/", "/openapi.json", "/schema.json", f"{TOY}/entities/u/availability"):
            refused = httpx.get(f"{serving.url}{path}", headers={"Host": host})
            assert (refused.status_code, refused.json()["error"]) == (421, "unknown_host"), path
            assert refused.headers["content-type"] == "application/problem+json"
        for path in (f"{TOY}/predict", "/predict"):
            assert httpx.post(f"{serving.url}{path}", json=ASKED, headers={"Host": host}).status_code == 421
        for probe in ("/livez", "/readyz", "/healthz", "/v2/health/live", "/v2/health/ready"):
            assert httpx.get(f"{serving.url}{probe}", headers={"Host": host}).status_code == 200, probe
    local = {"Host": f"localhost:{serving.settings.port}"}
    assert httpx.post(f"{serving.url}{TOY}/predict", json=ASKED, headers=local).status_code == 200


def test_a_page_of_another_site_changes_nothing(serving: ServingProcess) -> None:
    refused = httpx.post(f"{serving.url}{TOY}/predict", json=ASKED, headers={"Origin": "http://evil.example"})
    assert (refused.status_code, refused.json()["error"]) == (403, "cross_site")


def test_a_head_that_is_too_large_is_refused_as_every_other_request_is(serving: ServingProcess) -> None:
    head = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * HEAD_BYTES + b"\r\n\r\n"
    status, problem = asked(serving.settings.port, head)
    assert (status, problem["status"], problem["error"]) == (431, 431, "headers_too_large")


def test_a_head_that_does_not_come_is_given_up(serving: ServingProcess) -> None:
    began = time.monotonic()
    status, problem = asked(serving.settings.port, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n")
    assert (status, problem["error"]) == (408, "request_timeout")
    assert HEAD_SECONDS - 1 < time.monotonic() - began < HEAD_SECONDS + 5


def test_what_is_no_http_is_a_problem(serving: ServingProcess) -> None:
    status, problem = asked(serving.settings.port, b"nothing of the kind\r\n\r\n")
    assert (status, problem["error"]) == (400, "malformed_http")


def test_what_takes_too_long_is_a_problem_as_every_other_error_and_is_counted(serving: ServingProcess) -> None:
    head = f"POST {TOY}/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    began = time.monotonic()
    status, problem = asked(serving.settings.port, f"{head}Content-Length: 99\r\nConnection: close\r\n\r\n{{".encode())
    assert (status, problem["status"], problem["error"]) == (504, 504, "timed_out")
    assert time.monotonic() - began < REQUEST_SECONDS + 5
    assert 'refused_total{code="timed_out"} 1.0' in httpx.get(f"{serving.url}/metrics").text


def test_many_connections_cost_a_port_of_metrics_no_threads_and_leave_it_when_they_ask_nothing(
    metrics_port: int,
) -> None:
    held = [socket.create_connection(("127.0.0.1", metrics_port), timeout=PATIENCE) for _ in range(2 * CONNECTIONS)]
    try:
        assert any(each.recv(100).startswith(b"HTTP/1.1 503 ") for each in held[CONNECTIONS:])
        eventually(lambda: answers(metrics_port), what="there is room again", seconds=HEAD_SECONDS + PATIENCE)
    finally:
        for each in held:
            each.close()
    shown = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics")
    assert "bellwether_consumer_last_round_timestamp_seconds" in shown.text
    assert httpx.get(f"http://127.0.0.1:{metrics_port}/metrics", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    ("command", "setting"),
    [("evaluate", "monitor_host"), ("consume", "metrics_host"), ("lifecycle", "metrics_host")],
)
def test_a_process_that_others_could_ask_without_a_token_does_not_start(
    command: str, setting: str, tmp_path: Path
) -> None:
    bellwether = Path(sys.executable).with_name("bellwether")
    ended = subprocess.run(
        [bellwether, command, "--home", tmp_path / "home", f"--{setting.replace('_', '-')}", "0.0.0.0"],  # noqa: S104
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 1
    assert f"BELLWETHER_{setting.upper()} is 0.0.0.0" in ended.stderr
    assert "set BELLWETHER_MONITOR_TOKEN" in ended.stderr
    assert not (tmp_path / "home").exists()
