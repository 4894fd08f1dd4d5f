"""What dashboards and rules ask Prometheus, and what it answered over the time of a run."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

Json = dict[str, Any]

_MODELS: Final = re.compile(r'\bmodel=~?"([^"]+)"')
_SELECTOR: Final = re.compile(r"\b(?:bellwether|model)[_:][a-z0-9_:]+(?:\{[^}]*\})?|\bup(?:\{[^}]*\})?")
_LABEL_VALUES: Final = re.compile(r"label_values\((?P<metric>.+), (?P<label>\w+)\)")


@dataclass(frozen=True)
class Question:
    """PromQL with its variables in place. `where` and `what` are a dashboard and its panel, or a file and its rule."""

    where: str
    what: str
    expr: str

    @property
    def key(self) -> tuple[str, str]:
        return self.where, self.what


def of_dashboard(dashboard: Json, values: Mapping[str, str]) -> Iterator[Question]:
    """Every query of every panel, annotation and variable. `values` are what the variables stand for."""
    uid = dashboard["uid"]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield Question(uid, _resolved(panel["title"], values), _resolved(target["expr"], values))
    for event in dashboard["annotations"]["list"]:
        yield Question(uid, f"annotation {event['name']}", _resolved(event["expr"], values))
    for variable in dashboard["templating"]["list"]:
        if found := _LABEL_VALUES.fullmatch(variable["query"]):
            expr = f"count by ({found['label']}) ({_resolved(found['metric'], values)})"
            yield Question(uid, f"variable {variable['name']}", expr)


def of_rules(file: Path, *, model: str) -> Iterator[Question]:
    """The expression of every recording rule, and every series that an alert looks at.

    An alert that does not fire has no answer of its own. Rules of other models are the same with another name in them.
    """
    for group in yaml.safe_load(file.read_text())["groups"]:
        for rule in group["rules"]:
            if (models := _MODELS.search(rule["expr"])) and model not in models[1].split("|"):
                continue
            if "record" in rule:
                yield Question(file.name, rule["record"], rule["expr"])
            else:
                for selector in sorted(set(_SELECTOR.findall(rule["expr"]))):
                    yield Question(file.name, rule["alert"], selector)


def as_table(answers: Mapping[Question, int]) -> str:
    """Markdown, a line for each question with the number of series that answered it."""
    lines = [f"| {each.where} | {each.what} | `{_in_cell(each.expr)}` | {series} |" for each, series in answers.items()]
    return "\n".join(["| where | panel or rule | query | series |", "|---|---|---|---|", *lines]) + "\n"


def dead(answers: Mapping[Question, int], rightly_empty: Mapping[tuple[str, str], str]) -> list[str]:
    """Questions without an answer that nobody has given a reason for, and reasons that have become wrong."""
    empty = [each for each, series in answers.items() if series == 0]
    unexplained = [
        f"{each.where}, {each.what}: nothing for {each.expr}" for each in empty if each.key not in rightly_empty
    ]
    explained = {each.key for each in empty}
    wrong = [
        f"{where}, {what}: is not empty, though {why}"
        for (where, what), why in rightly_empty.items()
        if (where, what) not in explained
    ]
    return unexplained + wrong


def answered(questions: Iterator[Question], ask: Callable[[str], int]) -> dict[Question, int]:
    return {question: ask(question.expr) for question in questions}


def _resolved(text: str, values: Mapping[str, str]) -> str:
    """Longer names first: one may begin like another."""
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(f"${{{name}}}", values[name]).replace(f"${name}", values[name])
    return text


def _in_cell(expr: str) -> str:
    return " ".join(expr.split()).replace("|", "\\|")
