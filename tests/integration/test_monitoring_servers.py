"""The servers of deploy/local that watch the others, and what the tests ask of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.servers.alertmanager import AlertmanagerClient, Amtool
from tests.servers.prometheus import PrometheusClient, Promtool
from tests.waiting import eventually


def test_prometheus_answers_what_it_watches(prometheus: PrometheusClient) -> None:
    eventually(lambda: [target.health for target in prometheus.targets()] == ["up"], what="its target is up")
    assert [(sample.metric["job"], sample.number) for sample in prometheus.query("up")] == [("prometheus", 1.0)]
    assert prometheus.query("1 + 1")[0].number == 2.0
    assert (prometheus.rules(), prometheus.alerts()) == ([], [])


def test_prometheus_says_why_it_refuses_a_query(prometheus: PrometheusClient) -> None:
    with pytest.raises(ValueError, match="parse error"):
        prometheus.query("rate(")


def test_an_alert_that_was_sent_is_held(alertmanager: AlertmanagerClient) -> None:
    ends = datetime.now(UTC) + timedelta(minutes=1)
    alertmanager.send([{"labels": {"alertname": "Sent", "model": "toy"}, "endsAt": ends.isoformat()}])
    eventually(lambda: [alert.name for alert in alertmanager.alerts()] == ["Sent"], what="the alert is there")
    (alert,) = alertmanager.alerts()
    assert (alert.labels["model"], alert.status.state, alert.receivers[0].name) == ("toy", "active", "nobody")
    assert [[each.name for each in group.alerts] for group in alertmanager.groups()] == [["Sent"]]


def test_their_tools_check_what_is_written_for_them(tmp_path: Path, promtool: Promtool, amtool: Amtool) -> None:
    (broken := tmp_path / "broken.yml").write_text("surprise: 1\n")
    assert promtool.run("check", "config", broken).returncode
    assert amtool.run("check-config", broken).returncode
