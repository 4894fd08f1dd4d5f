"""One sentence about one alert, and what promtool needs to prove it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from monitoring.alerts.rule import MODEL

TOY: Final = "toy"
"""The model that the cases are about."""


@dataclass(frozen=True, slots=True)
class Fired:
    """What is sent: the whole summary, and the labels beside `model` and `severity`."""

    summary: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`series` are samples in promtool's notation, one `every` so often; the alert is looked for `at` a time.

    Without anything `fired` the alert must not fire then.
    """

    alert: str
    when: str
    series: Mapping[str, str]
    at: str
    every: str = "1m"
    fired: tuple[Fired, ...] = ()

    @property
    def sentence(self) -> str:
        return f"{self.alert} {'fires' if self.fired else 'does not fire'} when {self.when}"

    def as_test(self, rule: Mapping[str, Any], rule_file: str) -> dict[str, Any]:
        """A file of promtool's with this case alone. `rule` is the alert as it was written."""
        return {
            "rule_files": [rule_file],
            "evaluation_interval": self.every,
            "tests": [
                {
                    "name": self.sentence,
                    "interval": self.every,
                    "input_series": [{"series": name, "values": values} for name, values in self.series.items()],
                    "alert_rule_test": [
                        {
                            "eval_time": self.at,
                            "alertname": self.alert,
                            "exp_alerts": [_expected(fired, rule) for fired in self.fired],
                        }
                    ],
                }
            ],
        }


def _expected(fired: Fired, rule: Mapping[str, Any]) -> dict[str, Any]:
    notes = {name: note.replace(MODEL, TOY) for name, note in rule["annotations"].items()}
    of_model = {"model": TOY} if is_of_model(rule) else {}
    return {
        "exp_labels": rule["labels"] | of_model | dict(fired.labels),
        "exp_annotations": notes | {"summary": fired.summary},
    }


def is_of_model(rule: Mapping[str, Any]) -> bool:
    """Whether an alert as it was written is about a model each time."""
    return MODEL in rule["annotations"]["dashboard"]
