"""Alertmanager's configuration: whom each alert reaches, by amtool, and a real Alertmanager in front of a monitor."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml

from monitoring.alerts.build import alerts_of, subjects
from monitoring.alerts.notify import FEEDS, OF_THE_MONITOR, YOURS, Notifying, read_receivers, text
from monitoring.alerts.pace import Pace
from monitoring.entrypoints.rules import stack_of, write_notifying
from services.core.errors import SettingsError
from services.settings import Settings
from tests.monitoring import SESAME, ToyMonitor
from tests.ports import free_port
from tests.servers.alertmanager import AlertmanagerClient, Amtool, client_of, running_alertmanager
from tests.servers.missing import provided, skip_without
from tests.servers.process import Unavailable
from tests.toy import NOON, confirmed_drift
from tests.waiting import eventually

DAY = timedelta(days=1)
FAST = Pace(speed=3600.0, scrape=timedelta(milliseconds=250))


def notifying(**changed: Any) -> Notifying:
    return Notifying(**{"monitor": "http://127.0.0.1:3001", "token_file": "alert_token"} | changed)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_notifying(notifying(), tmp_path)


def test_amtool_finds_nothing_wrong(amtool: Amtool, config: Path) -> None:
    checked = amtool.run("check-config", config)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["alertname=ModelInputDrift", "model=churn", "severity=ticket"], "lifecycle,ticket"),
        (["alertname=EventsUnaccounted", "severity=page"], "page"),
        (["alertname=PerformanceBelowRule", "model=churn", "severity=ticket"], "ticket"),
        (["alertname=Watchdog", "severity=none"], "heartbeat"),
        (["alertname=SomebodyElses"], "ticket"),
    ],
)
def test_each_alert_reaches_whom_it_is_for(amtool: Amtool, config: Path, labels: list[str], receivers: str) -> None:
    routed = amtool.run("config", "routes", "test", f"--config.file={config}", *labels)
    assert (routed.returncode, routed.stdout.strip()) == (0, receivers)


def test_every_alert_that_an_inhibition_names_is_an_alert() -> None:
    stack = stack_of(Settings(), monitor_url="", grafana_url="", prometheus="", alertmanager="")
    known = {alert.name for groups in subjects(stack).values() for alert in alerts_of(groups)}
    inhibitions = yaml.safe_load(text(notifying()))["inhibit_rules"]
    named = {name for each in inhibitions for side in ("source", "target") for name in _names(each[f"{side}_matchers"])}
    assert {*FEEDS, *OF_THE_MONITOR} < named
    assert named - known == set()


def _names(matchers: list[str]) -> list[str]:
    (matcher,) = matchers
    return matcher.partition('"')[2].rstrip('"').split("|")


def test_receivers_are_yours(amtool: Amtool, tmp_path: Path) -> None:
    mine = tmp_path / "receivers.yml"
    mine.write_text("receivers: [{name: page, webhook_configs: [{url: 'http://127.0.0.1:9/page'}]}]")
    config = write_notifying(notifying(receivers=read_receivers(mine)), tmp_path)
    assert amtool.run("check-config", config).returncode == 0
    receivers = {each["name"]: each for each in yaml.safe_load(config.read_text())["receivers"]}
    assert set(receivers) == {"lifecycle", *YOURS}
    assert receivers["page"]["webhook_configs"] == [{"url": "http://127.0.0.1:9/page"}]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("receivers: [{name: pager}]", "receivers pager are no route's; expected some of page, ticket, heartbeat"),
        ("page: me", "has no list `receivers`"),
        ("receivers: [page]", "has no list `receivers`"),
        ("receivers: [", "--receivers"),
    ],
)
def test_receivers_that_nothing_would_reach_are_refused(tmp_path: Path, content: str, problem: str) -> None:
    mine = tmp_path / "receivers.yml"
    mine.write_text(content)
    with pytest.raises(SettingsError, match=problem):
        text(notifying(receivers=read_receivers(mine)))


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[ToyMonitor]:
    """A monitor that has confirmed drift of its model."""
    toy = ToyMonitor(tmp_path)
    toy.store.save_results([confirmed_drift(NOON - 3 * DAY)])
    yield toy
    toy.monitor.close()


@contextmanager
def alertmanager_before(toy: ToyMonitor, directory: Path, *, token: str = SESAME) -> Iterator[AlertmanagerClient]:
    port = free_port()
    (directory / "alert_token").write_text(token)
    config = write_notifying(notifying(monitor=f"http://127.0.0.1:{port}", pace=FAST), directory)
    try:
        with serving(toy, port), running_alertmanager(config) as server:
            provided("Alertmanager")
            yield client_of(server)
    except Unavailable as error:
        skip_without("Alertmanager", str(error))


@contextmanager
def serving(toy: ToyMonitor, port: int) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(toy.http().app(), port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


def test_a_firing_rule_opens_one_job_however_often_it_is_repeated(toy: ToyMonitor, tmp_path: Path) -> None:
    with alertmanager_before(toy, tmp_path) as alertmanager:
        alertmanager.send([alert("ModelInputDrift")])
        await_received(toy, "accepted", "job_opened", times=1)
        await_received(toy, "ignored", "job_open", times=2)
    (job,) = toy.store.opened
    assert (job.since, job.evidence) == (NOON - 3 * DAY, {"features": ["amount"]})


def test_a_broken_feed_silences_the_drift_of_its_model_and_of_no_other(toy: ToyMonitor, tmp_path: Path) -> None:
    with alertmanager_before(toy, tmp_path) as alertmanager:
        alertmanager.send([alert("FeatureSourceDown"), alert("ModelInputDrift"), alert("ModelInputDrift", model="b")])
        await_received(toy, "refused", "unknown_model", times=2)
        states = {each.labels["model"]: each.status for each in alertmanager.alerts() if "Drift" in each.name}
    assert (states["toy"].state, states["b"].state) == ("suppressed", "active")
    assert toy.store.opened == []


def test_a_source_that_is_down_is_one_page_for_all_models_and_silences_what_follows(
    toy: ToyMonitor, tmp_path: Path
) -> None:
    effects = (
        "FeatureFeedStale",
        "FeatureUnusable",
        "AnsweredByRuleTooOften",
        "FeatureWritesFailing",
        "TrafficVanished",
    )
    down = [alert("FeatureSourceDown", severity="page"), alert("FeatureSourceDown", model="b", severity="page")]
    follows = [alert(name, model=model) for name in effects for model in ("toy", "b")]
    alone = alert("AnsweredByRuleTooOften", model="c")
    with alertmanager_before(toy, tmp_path) as alertmanager:
        alertmanager.send([*down, *follows, alone])
        eventually(lambda: len(suppressed(alertmanager)) == len(follows), what="the effects are suppressed")
        active = {(each.name, each.labels["model"]) for each in alertmanager.alerts() if each.status.state == "active"}
        pages = [group for group in alertmanager.groups() if group.receiver.name == "page"]
    assert active == {("FeatureSourceDown", "toy"), ("FeatureSourceDown", "b"), ("AnsweredByRuleTooOften", "c")}
    assert [(group.labels, len(group.alerts)) for group in pages] == [({"alertname": "FeatureSourceDown"}, 2)]


def test_a_store_that_is_away_silences_the_lag_and_the_old_judgements(toy: ToyMonitor, tmp_path: Path) -> None:
    effects = ("ConsumerLagNotFalling", "EvaluationTooOld", "LifecycleFailing")
    with alertmanager_before(toy, tmp_path) as alertmanager:
        alertmanager.send([alert("StoreAway"), *map(alert, effects), alert("ModelLoadFailing")])
        eventually(lambda: suppressed(alertmanager) == sorted(effects), what="the effects are suppressed")


def suppressed(alertmanager: AlertmanagerClient) -> list[str]:
    return sorted(each.name for each in alertmanager.alerts() if each.status.state == "suppressed")


def test_a_wrong_token_opens_nothing_and_is_counted(toy: ToyMonitor, tmp_path: Path) -> None:
    with alertmanager_before(toy, tmp_path, token="not this one") as alertmanager:  # noqa: S106 - of nobody
        alertmanager.send([alert("ModelInputDrift")])
        await_received(toy, "refused", "unauthorized", times=1)
    assert toy.store.opened == []


def alert(name: str, *, model: str = "toy", severity: str = "ticket") -> dict[str, object]:
    return {"labels": {"alertname": name, "model": model, "severity": severity}, "annotations": {"summary": "a test"}}


def await_received(toy: ToyMonitor, result: str, reason: str, *, times: int) -> None:
    eventually(lambda: received(toy, result, reason) >= times, what=f"{times} alerts {result} as {reason}")


def received(toy: ToyMonitor, result: str, reason: str) -> float:
    labels = {"result": result, "reason": reason}
    return toy.metrics.registry.get_sample_value("bellwether_alerts_received_total", labels) or 0.0
