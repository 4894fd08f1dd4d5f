"""Which watchers a run gets, and what is written for them."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from monitoring.entrypoints.up.watchers import WATCHERS, with_watchers
from services.core.errors import SettingsError
from services.settings import ALERTMANAGER, MONITOR, Settings

Which = Callable[[str], str | None]


def having(*programs: str) -> Which:
    """A machine with these programs alone."""
    return lambda name: f"/usr/bin/{name}" if name in programs else None


def test_alertmanager_hands_drift_over_in_the_monitors_place(tmp_path: Path) -> None:
    which = having("prometheus", "prometheus-alertmanager")
    settings, watchers = with_watchers(Settings(home=tmp_path), asked_for=WATCHERS, speed=1.0, which=which)

    assert (settings.drift_alerts, watchers.missing) == (ALERTMANAGER, [])
    assert [server.name for server in watchers.servers] == ["alertmanager", "prometheus"]
    secret = tmp_path / "alertmanager" / "configuration" / "alert_token"
    assert secret.read_text() == settings.alert_token
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_each_is_told_where_the_other_and_the_processes_are(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=4000, monitor_port=4001, consumer_port=4002, lifecycle_port=4004)
    _, watchers = with_watchers(settings, asked_for=(), speed=1.0, which=having("prometheus", "alertmanager"))

    alertmanager, prometheus = watchers.servers
    config = yaml.safe_load(Path(prometheus.arguments[0]).read_text())
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert targets == {
        "bellwether-serving": ["127.0.0.1:4000"],
        "bellwether-monitor": ["127.0.0.1:4001"],
        "bellwether-consumer": ["127.0.0.1:4002"],
        "bellwether-lifecycle": ["127.0.0.1:4004"],
        "prometheus": [prometheus.address],
        "alertmanager": [alertmanager.address],
    }
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == [alertmanager.address]
    assert "http://127.0.0.1:4001/alerts" in Path(alertmanager.arguments[0]).read_text()


def test_a_token_that_was_chosen_is_kept(tmp_path: Path) -> None:
    chosen = Settings(home=tmp_path, alert_token="chosen by the operator")  # noqa: S106 - of nobody
    settings, _ = with_watchers(chosen, asked_for=(), speed=1.0, which=having("prometheus", "alertmanager"))

    assert settings.alert_token == chosen.alert_token


@pytest.mark.parametrize(
    ("programs", "missing", "started"),
    [((), ["prometheus", "alertmanager"], 0), (("prometheus",), ["alertmanager"], 1), (("amtool",), [*WATCHERS], 0)],
)
def test_what_is_not_on_the_machine_is_named_and_the_monitor_alerts_by_itself(
    tmp_path: Path, programs: tuple[str, ...], missing: list[str], started: int
) -> None:
    settings, watchers = with_watchers(Settings(home=tmp_path), asked_for=(), speed=1.0, which=having(*programs))

    assert (settings.drift_alerts, list(watchers.missing), len(watchers.servers)) == (MONITOR, missing, started)


@pytest.mark.parametrize(
    ("asked_for", "problem"),
    [(("prometheus", "alertmanager"), "--with alertmanager: not on this machine"), (("grafana",), "--with grafana: ")],
)
def test_what_was_asked_for_and_is_not_there_is_an_error_before_the_run(
    tmp_path: Path, asked_for: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(SettingsError, match=problem):
        with_watchers(Settings(home=tmp_path), asked_for=asked_for, speed=1.0, which=having("prometheus"))
