"""What the processes really show on /metrics is what docs/metrics.md says, and Prometheus finds no fault with it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitoring.metrics import MonitorMetrics, Observed
from monitoring.metrics.table import ALERTS_RECEIVED, BUSINESS_BEYOND_RULE, LIFECYCLE, MONITOR
from services import bootstrap
from services.core.events import prediction_event
from services.metrics.table import (
    ANSWER_FAILURES,
    CONSUMER,
    EVENTS_DEAD_LETTERED,
    FORWARDER,
    SERVING,
    Described,
    Kind,
)
from services.models.discovery import discover
from services.settings import Settings
from tests.fake_run import fake_run
from tests.integration.serving_process import ServingProcess, toy_serving
from tests.ports import free_port
from tests.servers.prometheus import Promtool
from tests.toy import prediction, toy_spec
from tests.waiting import eventually

ASKED = {"entity_id": "u1", "features": {"amount": 10.0, "plan": "monthly"}, "request_id": "again"}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    """After traffic: an answer, the same again, an outcome, and a request that is refused."""
    with toy_serving(tmp_path_factory.mktemp("shown"), versions={"v1": 1}, workers=1) as process:
        made = [httpx.post(f"{process.model_url}/predict", json=ASKED).json() for _ in range(2)]
        outcome = {"prediction_id": made[0]["prediction_id"], "value": "left", "observed_at": made[0]["made_at"]}
        httpx.post(f"{process.model_url}/outcomes", json=outcome).raise_for_status()
        assert httpx.post(f"{process.model_url}/predict", json={}).status_code == 422
        yield process


def test_the_prediction_service(serving: ServingProcess, promtool: Promtool) -> None:
    text = read(f"{serving.url}/metrics")
    require_as_described(text, SERVING, silent={ANSWER_FAILURES})
    require_clean(text, promtool)


def test_the_consumer(serving: ServingProcess, promtool: Promtool) -> None:
    settings = Settings(home=serving.settings.home, consumer_port=free_port(), poll_seconds=0.02)
    with process_of("services.entrypoints.consumer", settings):
        address = f"http://127.0.0.1:{settings.consumer_port}/metrics"
        eventually(lambda: "bellwether_events_stored_total 2.0" in read(address), what="both events are stored")
        text = read(address)
    require_as_described(text, CONSUMER, silent={EVENTS_DEAD_LETTERED})
    require_clean(text, promtool)


def test_the_forwarder_while_its_broker_is_away(tmp_path: Path, promtool: Promtool) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    settings = Settings(home=tmp_path, forwarder_port=free_port(), event_log="kafka", kafka=nowhere)
    with closing(bootstrap.event_log(settings)) as log:
        log.append(*(prediction_event(prediction(number)) for number in (1, 2))).result(10)
    with process_of("services.entrypoints.forwarder", settings):
        address = f"http://127.0.0.1:{settings.forwarder_port}/metrics"
        eventually(lambda: "bellwether_outbox_depth 2.0" in read(address), what="both events wait")
        text = read(address)
    require_as_described(text, FORWARDER, silent=set())
    require_clean(text, promtool)


def test_the_lifecycle_that_attends_to_every_model(tmp_path: Path, promtool: Promtool) -> None:
    settings = Settings(home=tmp_path, lifecycle_port=free_port(), lifecycle_seconds=0.02)
    with process_of("monitoring.entrypoints.lifecycle", settings):
        address = f"http://127.0.0.1:{settings.lifecycle_port}/metrics"
        last = 'bellwether_lifecycle_last_round_timestamp_seconds{model="%s"}'
        eventually(lambda: all(last % model in read(address) for model in discover()), what="each had its round")
        text = read(address)
    require_as_described(text, LIFECYCLE, silent=set())
    require_clean(text, promtool)


def test_the_monitor_of_a_world_of_thirty_days(promtool: Promtool) -> None:
    state, metrics = fake_run(days=30).state, MonitorMetrics()
    observed = Observed(
        list(state.results), state.aliases, list(state.jobs), state.counts, toy_spec().objectives, rollbacks=0
    )
    metrics.observe("toy", observed)
    text = generate_latest(metrics.registry).decode()
    # Of those whom the rule would leave in peace too few are in the control arm after thirty days.
    require_as_described(text, MONITOR, silent={ALERTS_RECEIVED, BUSINESS_BEYOND_RULE})
    require_clean(text, promtool)


def require_as_described(text: str, table: Mapping[str, Described], *, silent: set[str]) -> None:
    """Each has its type, meaning and labels, and a sample; of those that are `silent` nothing has happened."""
    found = {family.name: family for family in text_string_to_metric_families(text)}
    spoken = {name: each for name, each in table.items() if name not in silent}
    assert set(found) <= {name.removesuffix("_total") for name in table}
    for name, described in spoken.items():
        family = found[name.removesuffix("_total")]
        assert (name, family.type) == (name, described.kind.value)
        # Several workers' files carry no meanings of their own; their sum says so.
        assert family.documentation in {described.meaning, "Multiprocess metric"}
        bounds = {"le"} if described.kind is Kind.HISTOGRAM else set()
        assert family.samples, f"{name} has no sample"
        assert {label for sample in family.samples for label in sample.labels} == {*described.labels, *bounds}


def require_clean(text: str, promtool: Promtool) -> None:
    checked = promtool.run("check", "metrics", stdin=text)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@contextmanager
def process_of(module: str, settings: Settings) -> Iterator[None]:
    log = Path(settings.home) / f"{module}.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", module], env=os.environ | settings.as_environment(), stderr=stderr
        )
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


def read(address: str) -> str:
    """Empty while nothing answers."""
    try:
        return httpx.get(address, timeout=5).text
    except httpx.TransportError:
        return ""
