"""What Prometheus itself makes of the files, at the pace of the machine and of a fast world."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.alerts.build import CONFIG, Stack, files
from monitoring.alerts.pace import Pace, duration
from monitoring.entrypoints.rules import OutOfDate, require_current, stack_of, write
from monitoring.metrics.table import LIFECYCLE, MONITOR
from services.core.errors import BellwetherError
from services.core.spec import ModelSpec
from services.metrics.table import CONSUMER, FORWARDER, SERVING
from services.settings import KAFKA, Settings
from tests.servers.prometheus import Promtool
from tests.toy import toy_spec

MINUTE = timedelta(minutes=1)
COUNTED = {**MONITOR, **LIFECYCLE, **SERVING, **CONSUMER, **FORWARDER}
METRIC = re.compile(r"(?<![:\w])bellwether_\w+")
"""A metric's name; one with a colon before it is a recorded series."""


def stack(settings: Settings | None = None, *, speed: float = 1.0, scrape_seconds: float = 15.0) -> Stack:
    return stack_of(
        settings or Settings(),
        monitor_url="http://127.0.0.1:3001/",
        grafana_url="http://127.0.0.1:3010",
        prometheus="127.0.0.1:9090",
        alertmanager="127.0.0.1:9093",
        targets=["bellwether-consumer=one:3002", "bellwether-consumer=two:3002"],
        speed=speed,
        scrape_seconds=scrape_seconds,
    )


@pytest.mark.parametrize("speed", [1.0, 60.0, 260_000.0])
def test_prometheus_takes_the_files(speed: float, promtool: Promtool, tmp_path: Path) -> None:
    write(stack(speed=speed, scrape_seconds=1.0), tmp_path)
    for what, paths in (("config", [tmp_path / CONFIG]), ("rules", sorted(tmp_path.glob("rules/*.yml")))):
        checked = promtool.run("check", what, *paths)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def many(*specs: ModelSpec) -> Stack:
    return replace(stack(), specs=specs)


def rules(stack: Stack) -> list[dict[str, Any]]:
    return [
        rule
        for name, text in files(stack).items()
        if name != CONFIG
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
    ]


def test_models_alike_share_their_rules() -> None:
    """But for those about what is absent: nothing that is absent has a label."""
    one, fifty = (many(*(replace(toy_spec(), name=f"toy_{n}") for n in range(count))) for count in (1, 50))
    assert len(rules(fifty)) == len(rules(one)) + 49 * 2
    asked = {rule["alert"] for rule in rules(fifty) if 'model="toy_49"' in rule["expr"]}
    assert asked == {"NeverEvaluated", "LifecycleSilent"}


def test_where_models_differ_each_has_a_rule_of_its_own() -> None:
    strict = replace(toy_spec(), name="strict", objectives=replace(toy_spec().objectives, outcome_coverage=0.99))
    coverage = [rule["expr"] for rule in rules(many(toy_spec(), strict)) if rule.get("alert") == "OutcomeCoverageLow"]
    assert [('model="toy"' in each, 'model="strict"' in each) for each in coverage] == [(True, False), (False, True)]


def test_models_may_declare_the_same_measures_in_another_order() -> None:
    good, bad = toy_spec().measures
    other = replace(good, name="other")
    one = replace(toy_spec(), measures=(good, other, bad))
    turned = replace(toy_spec(), name="turned", measures=(other, good, bad))
    found = [rule["expr"] for rule in rules(many(one, turned)) if rule.get("alert") == "BusinessEffectNegative"]
    assert ['model=~"toy|turned"' in each for each in found] == [True, True]


def test_a_series_is_recorded_before_it_is_asked_for() -> None:
    """Whatever the models have in common: what is recorded in a round counts in that round."""
    quick = replace(toy_spec(), name="quick", objectives=replace(toy_spec().objectives, p99=timedelta(milliseconds=5)))
    found = rules(many(toy_spec(), quick, replace(toy_spec(), name="another")))
    recorded = {rule["record"]: place for place, rule in enumerate(found) if "record" in rule}
    for place, rule in enumerate(found):
        asked = set(re.findall(r"\bmodel:\w+:\w+", rule["expr"])) - {rule.get("record")}
        assert all(recorded[name] < place for name in asked), rule


def test_no_rule_asks_for_a_metric_that_nothing_shows() -> None:
    asked = {name for text in files(stack()).values() for name in METRIC.findall(text)}
    shown = {name + part for name in COUNTED for part in ("", "_bucket", "_count")}
    assert asked - shown == set()


def test_a_fast_world_has_short_windows_and_never_too_few_scrapes() -> None:
    pace = Pace(speed=60.0, scrape=timedelta(seconds=1))
    assert (pace.window(60 * MINUTE), pace.wait(10 * MINUTE), pace.age(60 * MINUTE)) == ("1m", "10s", "60")
    assert (pace.window(MINUTE), pace.wait(MINUTE), pace.age(MINUTE)) == ("4s", "2s", "30")
    assert pace.wait(timedelta(0)) == "0s"


def test_processes_are_no_faster_in_a_fast_world() -> None:
    pace = Pace(speed=60.0, scrape=timedelta(seconds=1))
    assert (pace.wait(MINUTE, of_process=True), pace.wait(60 * MINUTE, of_process=True)) == ("15s", "1m")
    assert (pace.window(MINUTE, least=MINUTE), pace.window(120 * MINUTE, least=MINUTE)) == ("1m", "2m")


def test_what_is_compared_never_overlaps() -> None:
    day, half_an_hour = timedelta(days=1), timedelta(minutes=30)
    assert Pace().offset(day, window=half_an_hour) == "1d"
    fast = Pace(speed=260_000.0, scrape=timedelta(seconds=0.5))
    assert fast.offset(day, window=half_an_hour) == "4s"
    assert fast.offset(day, window=half_an_hour, least=MINUTE) == "2m"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.25, "250ms"), (90, "90s"), (3600, "1h"), (5400, "90m"), (259_200, "3d")]
)
def test_durations_are_exact(seconds: float, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


def test_what_runs_elsewhere_is_watched_there() -> None:
    targets = stack(Settings(event_log=KAFKA)).targets
    assert targets["bellwether-consumer"] == ["one:3002", "two:3002"]
    assert targets["bellwether-forwarder"] == ["127.0.0.1:3003"]
    assert "bellwether-forwarder" not in stack().targets


def test_a_target_without_an_address_is_refused() -> None:
    with pytest.raises(BellwetherError, match="JOB=HOST:PORT"):
        stack_of(
            Settings(), monitor_url="", grafana_url="", prometheus="", alertmanager="", targets=["bellwether-consumer"]
        )


def test_a_file_that_differs_is_missing_or_left_over_is_named(tmp_path: Path) -> None:
    write(stack(), tmp_path)
    require_current(stack(), tmp_path)
    (tmp_path / "rules" / "events.yml").write_text("groups: []\n")
    (tmp_path / "rules" / "watch.yml").unlink()
    (tmp_path / "rules" / "old.yml").write_text("groups: []\n")
    with pytest.raises(OutOfDate, match=r"events\.yml.*watch\.yml.*old\.yml"):
        require_current(stack(), tmp_path)
    write(stack(), tmp_path)
    require_current(stack(), tmp_path)
