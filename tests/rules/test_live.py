"""The rules in a real Prometheus that scrapes a real monitor's page: each is computed without an error."""

from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from monitoring.alerts.build import CONFIG, Stack
from monitoring.alerts.pace import Pace
from monitoring.entrypoints.rules import write
from monitoring.metrics import MonitorMetrics, Observed
from tests.fake_run import fake_run
from tests.ports import free_port
from tests.servers.missing import provided, skip_without
from tests.servers.process import Unavailable
from tests.servers.prometheus import PrometheusClient, client_of, running_prometheus
from tests.toy import toy_spec
from tests.waiting import eventually

SPEC = toy_spec()


def page_of(registry: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(generate_latest(registry))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Page


@pytest.fixture(scope="module")
def monitor() -> Iterator[int]:
    """The port of the page of a monitor that has confirmed drift of the toy, as it was months ago."""
    state, metrics = fake_run(days=30).state, MonitorMetrics()
    metrics.observe(
        "toy",
        Observed(list(state.results), state.aliases, list(state.jobs), state.counts, SPEC.objectives, rollbacks=0),
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), page_of(metrics.registry))
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture(scope="module")
def prometheus(monitor: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusClient]:
    """In a world in which an hour lasts a second; nobody serves, consumes or attends to retrainings."""
    directory = tmp_path_factory.mktemp("prometheus")
    stack = Stack(
        specs=[SPEC],
        targets={
            "bellwether-monitor": [f"127.0.0.1:{monitor}"],
            "bellwether-serving": [f"127.0.0.1:{free_port()}"],
        },
        alertmanagers=[],
        monitor="http://monitor",
        grafana="http://grafana",
        batch=2000,
        pace=Pace(speed=3600.0, scrape=timedelta(milliseconds=500)),
    )
    write(stack, directory)
    try:
        with running_prometheus(directory / CONFIG) as server:
            provided("Prometheus")
            yield client_of(server)
    except Unavailable as error:
        skip_without("Prometheus", str(error))


def test_every_rule_is_computed(prometheus: PrometheusClient) -> None:
    eventually(lambda: all(rule.health != "unknown" for rule in prometheus.rules()), what="each has been computed")
    assert [(rule.name, rule.last_error) for rule in prometheus.rules() if rule.health != "ok"] == []


def test_what_is_wrong_fires_and_nothing_else(prometheus: PrometheusClient) -> None:
    wanted = {
        "ConsumerSilent",
        "Watchdog",
        "ModelInputDrift",
        "EvaluationTooOld",
        "LifecycleSilent",
        "ServingDown",
        "TargetDown",
    }
    eventually(lambda: firing(prometheus) >= wanted, what=f"{wanted} fire", seconds=90)
    assert firing(prometheus) == wanted


def test_drift_says_in_which_features(prometheus: PrometheusClient) -> None:
    eventually(lambda: "ModelInputDrift" in firing(prometheus), what="drift fires")
    (drift,) = [alert for alert in prometheus.alerts() if alert.name == "ModelInputDrift"]
    assert drift.labels == {"alertname": "ModelInputDrift", "model": "toy", "severity": "ticket"}
    assert "amount by " in drift.annotations["summary"]


def firing(prometheus: PrometheusClient) -> set[str]:
    return {alert.name for alert in prometheus.alerts() if alert.state == "firing"}
