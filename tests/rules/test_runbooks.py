"""A runbook is true where a machine can tell: its alert, its commands, its panels and its queries are there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest
import yaml

from monitoring.alerts.runbook import HEADINGS, as_html, pages
from monitoring.entrypoints.cli import main
from services.settings import Settings, variable_of
from tests.rules.test_rules import RULES
from tests.servers.prometheus import Promtool

DASHBOARDS: Final = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
PAGES: Final = {name: path.read_text() for name, path in pages().items()}
FLAG: Final = re.compile(r"--[a-z-]+")


def code(text: str) -> list[str]:
    return re.findall("`([^`]+)`", text)


def panels(uid: str) -> set[str]:
    return {panel["title"] for panel in json.loads((DASHBOARDS / f"{uid}.json").read_text())["panels"]}


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words begin with, and the others. Raises KeyError."""
    command: click.Command = main.commands[words[0]]
    if isinstance(command, click.Group):
        return command.commands[words[1]], words[2:]
    return command, words[1:]


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert set(PAGES) == set(RULES)


@pytest.mark.parametrize("name", PAGES)
def test_it_says_what_it_means_where_to_look_what_to_do_and_when_not_to(name: str) -> None:
    assert PAGES[name].startswith(f"# {name}\n")
    assert tuple(re.findall(r"^## (.+)$", PAGES[name], re.MULTILINE)) == HEADINGS
    first = PAGES[name].split("## Look first")[1].split("## ")[0]
    assert {"Panel", "Query"} <= {line.split(":")[0].removeprefix("- ") for line in first.strip().splitlines()}


@pytest.mark.parametrize("name", PAGES)
def test_its_commands_exist_with_their_flags(name: str) -> None:
    for line in code(PAGES[name]):
        words = line.split()
        if words[0] != "bellwether":
            continue
        command, rest = command_of(words[1:])
        known = {each for parameter in command.params for each in parameter.opts}
        assert set(FLAG.findall(" ".join(rest))) <= known, line


@pytest.mark.parametrize("name", PAGES)
def test_its_panels_are_on_their_dashboards(name: str) -> None:
    named = re.findall(r"^- Panel: (\w+) / (.+)$", PAGES[name], re.MULTILINE)
    assert named
    for dashboard, title in named:
        assert title in panels(f"bellwether-{dashboard.lower()}"), f"{dashboard} / {title}"


@pytest.mark.parametrize("name", PAGES)
def test_the_alerts_and_settings_that_it_names_exist(name: str) -> None:
    named = code(PAGES[name])
    variables = {variable_of(each) for each in Settings.__dataclass_fields__}
    assert {each.split("=")[0] for each in named if each.startswith("BELLWETHER_")} <= variables
    assert {each for each in named if re.fullmatch(r"(?:[A-Z][a-z]+){2,}", each)} <= set(RULES)


def test_prometheus_understands_their_queries(promtool: Promtool, tmp_path: Path) -> None:
    rules = [{"record": f"runbook:query:{number}", "expr": query} for number, query in enumerate(queries())]
    assert len(rules) >= len(PAGES)
    (path := tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = promtool.run("check", "rules", path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def queries() -> Iterator[str]:
    for text in PAGES.values():
        yield from re.findall(r"^- Query: `(.+)`$", text, re.MULTILINE)


def test_a_page_is_shown_as_text_and_never_as_markup() -> None:
    shown = as_html("# One <b>\n\n## Two\n\nA `code <i>` word.\n\n- first\n- second & last\n")
    assert "<h1>One &lt;b&gt;</h1>" in shown
    assert "<p>A <code>code &lt;i&gt;</code> word.</p>" in shown
    assert "<ul><li>first</li><li>second &amp; last</li></ul>" in shown
