"""From the specs to Prometheus's files."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from monitoring.alerts.disk import disk_rules
from monitoring.alerts.events import event_rules
from monitoring.alerts.features import feature_rules
from monitoring.alerts.judgement import judgement_rules
from monitoring.alerts.lifecycle import lifecycle_rules
from monitoring.alerts.pace import Pace, duration
from monitoring.alerts.rates import rate_rules
from monitoring.alerts.rule import (
    CONSUMER_JOB,
    FORWARDER_JOB,
    LIFECYCLE_JOB,
    MODEL,
    MONITOR_JOB,
    Alert,
    Group,
    Recording,
    Rule,
)
from monitoring.alerts.serving import serving_rules, worker_rules
from monitoring.alerts.shared import shared
from monitoring.alerts.watch import watch_rules
from services.core.spec import ModelSpec

HEADER: Final = "# Written by `bellwether rules` from the models' specs; edit monitoring/alerts/, not this file.\n"
RULES: Final = "rules"
CONFIG: Final = "prometheus.yml"
_ASKING: Final = frozenset({MONITOR_JOB, CONSUMER_JOB, FORWARDER_JOB, LIFECYCLE_JOB})
"""The jobs whose ports may ask for a token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What the rules watch, and where the one who is woken finds more.

    Args:
        targets: host:port of each scrape job's processes.
        alertmanagers: host:port of each.
        monitor, grafana: their addresses as a person's browser reaches them.
        batch: events that a consumer stores at once.
        scrape_token_file: of the token that the monitor and the ports of metrics ask for; "" where they ask for none.
    """

    specs: Sequence[ModelSpec]
    targets: Mapping[str, Sequence[str]]
    alertmanagers: Sequence[str]
    monitor: str
    grafana: str
    batch: int
    pace: Pace = field(default_factory=Pace)
    scrape_token_file: str = ""


def files(stack: Stack) -> dict[str, str]:
    """Every file by its path below Prometheus's directory."""
    rules = {f"{RULES}/{subject}.yml": _rule_file(groups, stack) for subject, groups in subjects(stack).items()}
    return rules | {CONFIG: _text(_config(stack))}


def subjects(stack: Stack) -> dict[str, list[Group]]:
    """The groups of each subject."""
    pace, specs = stack.pace, stack.specs

    def of_models(rules: Callable[[ModelSpec], Sequence[Rule]]) -> Group:
        return Group(shared({spec.name: rules(spec) for spec in specs}), of_models=True)

    return {
        "serving": [of_models(lambda spec: serving_rules(spec, pace)), worker_rules(pace)],
        "features": [of_models(lambda spec: feature_rules(spec, pace))],
        "rates": [of_models(lambda spec: rate_rules(spec, pace))],
        "disk": [disk_rules(pace)],
        "events": [event_rules(pace, batch=stack.batch)],
        "judgement": [of_models(judgement_rules)],
        "lifecycle": [of_models(lambda spec: lifecycle_rules(spec, pace))],
        "watch": [watch_rules(pace)],
    }


def alerts_of(groups: Iterable[Group]) -> Iterator[Alert]:
    for group in groups:
        yield from (rule for rule in group.rules if isinstance(rule, Alert))


def _rule_file(groups: Iterable[Group], stack: Stack) -> str:
    written = [
        {
            "name": "models" if group.of_models else "processes",
            "rules": [_written(rule, group, stack) for rule in group.rules],
        }
        for group in groups
    ]
    return _text({"groups": written})


def _written(rule: Rule, group: Group, stack: Stack) -> dict[str, Any]:
    if isinstance(rule, Recording):
        return {"record": rule.name, "expr": rule.expr}
    return {
        "alert": rule.name,
        "expr": rule.expr,
        "for": stack.pace.wait(rule.lasts, of_process=rule.of_process),
        "labels": dict(rule.labels) | {"severity": rule.severity.value},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "dashboard": _dashboard(rule, group, stack),
            "runbook_url": f"{stack.monitor}/runbooks/{rule.name}",
        },
    }


def _dashboard(rule: Alert, group: Group, stack: Stack) -> str:
    address = f"{stack.grafana}/d/{rule.dashboard}"
    return f"{address}?var-model={MODEL}" if group.of_models else address


def _config(stack: Stack) -> dict[str, Any]:
    every = duration(stack.pace.scrape)
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [f"{RULES}/*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(stack.alertmanagers)}]}]},
        "scrape_configs": [
            {"job_name": job} | _authorization(stack, job) | {"static_configs": [{"targets": list(targets)}]}
            for job, targets in stack.targets.items()
        ],
    }


def _authorization(stack: Stack, job: str) -> dict[str, Any]:
    """The service shows its metrics to everybody who reaches it, and the other servers are not ours."""
    if not stack.scrape_token_file or job not in _ASKING:
        return {}
    return {"authorization": {"type": "Bearer", "credentials_file": stack.scrape_token_file}}


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # the library leaves its types to others
    """Keeps the lines of an expression apart, as its author did."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _string)


def _text(content: dict[str, Any]) -> str:
    written: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
    return HEADER + written
