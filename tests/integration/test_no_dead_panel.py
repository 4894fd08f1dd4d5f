"""Every panel, variable, annotation and rule finds its series when the loop really runs.

`bellwether up` plays its world over a real broker until a retrained version was promoted, and rolled back by hand; a
real Prometheus scrapes all of its processes and evaluates the rules. Set PANEL_TABLE to a file to get the queries with
their answers.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from monitoring.alerts.build import Stack
from monitoring.entrypoints.dashboards import DIRECTORY
from monitoring.entrypoints.rules import stack_of, write
from services.settings import KAFKA, Settings
from tests.integration.panels import Question, answered, as_table, dead, of_dashboard, of_rules
from tests.ports import stack_ports
from tests.servers.kafka import Broker
from tests.servers.missing import provided, skip_without
from tests.servers.process import Unavailable
from tests.servers.prometheus import PrometheusClient, client_of, running_prometheus
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(900)

MODEL: Final = "churn"
DAYS_PER_SECOND: Final = 3.0
TABLE: Final = "PANEL_TABLE"
OURS: Final = '{__name__=~"bellwether_.*"}'

RIGHTLY_EMPTY: Final = {
    ("bellwether-pipeline", "Dead letters by reason"): "no event of the run was unreadable",
    ("bellwether-serving", "Models and rules that failed"): "no model and no rule failed",
    ("features.yml", "FeatureSourceDown"): "the features' source answered all the time",
}
"""What has no answer although nothing is wrong with it, and why. It fails the test when it has one after all."""

BY_CHANCE: Final = {
    ("bellwether-business", "Beyond the rule: effect on revenue_kept"),
    ("judgement.yml", "BusinessBelowRule"),
}
"""Needs thirty entities in the control arm on whom the model alone would act. They are few in this world, and how many
come together depends on how fast the machine is. That the monitor shows the gauge is proved by its unit tests."""


@dataclass(frozen=True)
class Run:
    """What a Prometheus saw of the loop, from the first request to the rollback."""

    prometheus: PrometheusClient
    began: float
    ended: float
    rules: list[Path]

    def series(self, expression: str) -> int:
        return self.prometheus.series(expression, began=self.began, ended=self.ended)


@pytest.fixture(scope="module")
def run(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    directory = tmp_path_factory.mktemp("run")
    own = Settings(
        home=directory / "home", event_log=KAFKA, kafka=broker.servers, kafka_prefix="panels", kafka_group="panels"
    )
    settings = own.with_flags(**stack_ports())
    files = write(_stack(settings), directory / "prometheus")
    config = next(path for path in files if path.name == "prometheus.yml")
    try:
        with running_prometheus(config) as server:
            provided("Prometheus")
            client = client_of(server)
            began = time.time()
            with _loop(settings, directory / "up.txt") as process:
                _live_through(process, settings, client)
            yield Run(client, began, time.time(), [path for path in files if path.parent.name == "rules"])
    except Unavailable as error:
        skip_without("Prometheus", str(error))


@pytest.fixture(scope="module")
def answers(run: Run) -> dict[Question, int]:
    """Of every dashboard and rule; the dashboards are those that are committed."""
    found = answered(_questions(run), run.series)
    if path := os.environ.get(TABLE):
        Path(path).write_text(as_table(found))
    return found


def test_every_query_of_every_panel_variable_annotation_and_rule_has_an_answer(answers: dict[Question, int]) -> None:
    sure = {question: series for question, series in answers.items() if question.key not in BY_CHANCE}
    assert len(sure) == len(answers) - 4
    assert dead(sure, RIGHTLY_EMPTY) == []


def test_an_empty_answer_is_dead_unless_a_reason_is_given_and_still_holds() -> None:
    empty, full = Question("d", "empty", "a"), Question("d", "full", "b")
    answers = {empty: 0, full: 2}

    assert dead(answers, {}) == ["d, empty: nothing for a"]
    assert dead(answers, {empty.key: "nobody asked"}) == []
    assert dead(answers, {empty.key: "nobody asked", full.key: "it is night"}) == [
        "d, full: is not empty, though it is night"
    ]


def test_every_rule_can_be_evaluated(run: Run) -> None:
    assert [(rule.name, rule.last_error) for rule in run.prometheus.rules() if rule.health == "err"] == []


def test_every_metric_that_the_processes_show_is_asked_for_by_a_panel_or_a_rule(
    run: Run, answers: dict[Question, int]
) -> None:
    shown = {sample.metric["__name__"] for sample in run.prometheus.query(f"last_over_time({OURS}[5m])")}
    asked = " ".join(question.expr for question in answers)

    assert sorted(name for name in shown if name.removesuffix("_created") == name and not _asked(name, asked)) == []


def _asked(name: str, expressions: str) -> bool:
    """Sum, count and buckets of a histogram are one metric."""
    for suffix in ("_sum", "_count", "_bucket"):
        name = name.removesuffix(suffix)
    return name in expressions


def _questions(run: Run) -> Iterator[Question]:
    values = {"model": MODEL, "measure": "revenue_kept", "__rate_interval": "4s", "__range": "60s"}
    for path in sorted(DIRECTORY.glob("*.json")):
        yield from of_dashboard(json.loads(path.read_text()), values)
    for path in run.rules:
        yield from of_rules(path, model=MODEL)


def _stack(settings: Settings) -> Stack:
    """In a world that is so much faster than ours, what takes hours takes seconds."""
    return stack_of(
        settings,
        monitor_url=f"http://127.0.0.1:{settings.monitor_port}",
        grafana_url="http://127.0.0.1:3010",
        prometheus="127.0.0.1:9090",
        alertmanager="127.0.0.1:9093",
        speed=DAYS_PER_SECOND * 86_400,
        scrape_seconds=1.0,
    )


@contextmanager
def _loop(settings: Settings, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "monitoring.entrypoints.cli", "up", "--days-per-second", str(DAYS_PER_SECOND)]
    with out.open("w") as log:
        process = subprocess.Popen(command, env=os.environ | settings.as_environment(), stdout=log, stderr=log)
        try:
            yield process
        except AssertionError as error:
            raise AssertionError(f"{error}\n{out.read_text()[-3000:]}") from error
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _live_through(process: subprocess.Popen[bytes], settings: Settings, prometheus: PrometheusClient) -> None:
    """Until a promotion, with requests that are refused and repeated on the way, and a rollback at the end."""

    def seen(expression: str) -> Callable[[], object]:
        return lambda: process.poll() is None and prometheus.query(expression)

    eventually(seen("bellwether_predictions_total > 100"), what="traffic", seconds=240)
    _ask_oddly(f"http://127.0.0.1:{settings.port}/v1/models/{MODEL}/predict")
    eventually(seen('bellwether_retraining_runs_total{result="promoted"} > 0'), what="a promotion", seconds=300)
    served = f'bellwether_model_info{{job="bellwether-serving", model="{MODEL}", version="v2"}} == 1'
    eventually(seen(served), what="workers that follow", seconds=60)
    # A promotion differs from the first version by the champion of a minute before; a fast machine is there sooner.
    champion = f'bellwether_model_info{{job="bellwether-monitor", model="{MODEL}", alias="champion"}}'
    eventually(seen(f"{champion} offset 63s"), what="a minute of a champion", seconds=120)
    command = [sys.executable, "-m", "monitoring.entrypoints.cli", "rollback", MODEL, "--home", str(settings.home)]
    subprocess.run(command, env=os.environ | settings.as_environment(), check=True, capture_output=True)
    eventually(seen("increase(bellwether_rollbacks_total[1m]) > 0"), what="the rollback", seconds=60)


def _ask_oddly(address: str) -> None:
    """Requests that are repeated, and requests that are refused."""
    for number in range(3):
        request = {"entity_id": f"odd-{number}", "features": {}, "request_id": f"odd-{number}"}
        assert httpx.post(address, json=request).is_success
        assert httpx.post(address, json=request).is_success
        assert httpx.post(address, json={"entity_id": 1}).is_client_error
