"""Every alert, proved by promtool to fire when it should and not to when it should not."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from monitoring.alerts.build import HEADER, Stack, files
from monitoring.alerts.rule import MODEL
from services.settings import Settings
from tests.rules import (
    about_disk,
    about_events,
    about_features,
    about_judgement,
    about_lifecycle,
    about_rates,
    about_serving,
    about_watch,
)
from tests.rules.case import Case, is_of_model
from tests.servers.prometheus import Promtool
from tests.toy import toy_spec

CASES: Final = (
    *about_serving.CASES,
    *about_features.CASES,
    *about_events.CASES,
    *about_judgement.CASES,
    *about_lifecycle.CASES,
    *about_watch.CASES,
    *about_rates.CASES,
    *about_disk.CASES,
)
TOY: Final = Stack(
    specs=[toy_spec()],
    targets={},
    alertmanagers=[],
    monitor="http://monitor",
    grafana="http://grafana",
    batch=Settings().consume_batch,
)
ALWAYS: Final = frozenset({"Watchdog"})
SEVERITIES: Final = frozenset({"page", "ticket", "none"})


def written(stack: Stack) -> dict[str, dict[str, Any]]:
    """Every alerting rule by its name, with the file that it stands in."""
    return {
        rule["alert"]: rule | {"file": name}
        for name, text in files(stack).items()
        for group in yaml.safe_load(text).get("groups", [])
        for rule in group["rules"]
        if "alert" in rule
    }


RULES: Final = written(TOY)


@pytest.fixture(scope="session")
def rule_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("prometheus")
    (directory / "rules").mkdir()
    for name, text in files(TOY).items():
        (directory / name).write_text(text)
    return directory


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.sentence)
def test_the_alert(case: Case, rule_files: Path, promtool: Promtool, tmp_path: Path) -> None:
    rule = RULES[case.alert]
    (proof := tmp_path / "case.yml").write_text(yaml.safe_dump(case.as_test(rule, str(rule_files / rule["file"]))))
    found = promtool.run("test", "rules", proof)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("name", RULES)
def test_it_is_proved_when_the_alert_fires_and_when_it_does_not(name: str) -> None:
    proved = {bool(case.fired) for case in CASES if case.alert == name}
    assert proved == ({True} if name in ALWAYS else {True, False})


@pytest.mark.parametrize("name", RULES)
def test_whoever_is_woken_reads_what_is_wrong_and_where_to_look(name: str) -> None:
    rule = RULES[name]
    assert rule["for"]
    assert rule["labels"]["severity"] in SEVERITIES
    notes = rule["annotations"]
    assert notes["summary"]
    assert notes["description"]
    assert notes["dashboard"].startswith("http://grafana/d/bellwether-")
    assert notes["runbook_url"] == f"http://monitor/runbooks/{name}"


def test_what_belongs_to_a_model_names_it() -> None:
    of_model = [rule for rule in RULES.values() if is_of_model(rule)]
    assert len(of_model) >= 20
    assert all(MODEL in rule["annotations"]["summary"] for rule in of_model)
    assert all(rule["annotations"]["dashboard"].endswith(f"?var-model={MODEL}") for rule in of_model)


def test_sentences_are_told_apart() -> None:
    assert len({case.sentence for case in CASES}) == len(CASES)


def test_the_files_say_who_wrote_them() -> None:
    assert all(text.startswith(HEADER) for text in files(TOY).values())
