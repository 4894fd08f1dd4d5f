"""Alertmanager's configuration: who is woken, who finds a ticket in the morning, and what starts a retraining."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from monitoring.alerts.pace import Pace
from monitoring.evaluation.alert import ALERT as DRIFT
from monitoring.evaluation.alert import RECEIVER as LIFECYCLE
from services.core.errors import SettingsError

HEADER: Final = "# Written by `bellwether rules`; edit monitoring/alerts/notify.py or --receivers, not this file.\n"
NAME: Final = "alertmanager.yml"

PAGE, TICKET, HEARTBEAT = "page", "ticket", "heartbeat"
YOURS: Final = (PAGE, TICKET, HEARTBEAT)
"""Receivers that notify nobody until somebody says how."""

FEEDS: Final = ("FeatureFeedStale", "FeatureSourceDown", "FeatureUnusable")
"""While one of these fires, drift of the model's inputs says nothing about the world."""

OF_THE_MONITOR: Final = ("EvaluationTooOld", "NeverEvaluated", "EvaluationFailing")
"""What follows from a monitor that is not there, or from one that cannot read what was recorded."""
OF_TRAFFIC: Final = ("TrafficVanished", "OutcomesVanished", "FeatureWritesVanished")
SOURCE_DOWN: Final = "FeatureSourceDown"


@dataclass(frozen=True, slots=True)
class Cause:
    """While one of `alerts` fires, those of `effects` with the same labels `equal` are about the same trouble."""

    alerts: Sequence[str]
    effects: Sequence[str]
    equal: Sequence[str] = ()


CAUSES: Final = (
    Cause(("ServingDown",), (*OF_TRAFFIC, "WorkersGone", "ChampionNotServed")),
    Cause(
        (SOURCE_DOWN,),
        ("FeatureFeedStale", "FeatureUnusable", "FeatureWritesFailing", "AnsweredByRuleTooOften", *OF_TRAFFIC),
        ("model",),
    ),
    Cause(FEEDS, (DRIFT,), ("model",)),
    # The rule answers because of the feature, and whoever mends that needs no second ticket.
    Cause(("FeatureFeedStale", "FeatureUnusable", "ModelLoadFailing"), ("AnsweredByRuleTooOften",), ("model",)),
    Cause(("ModelLoadFailing",), ("ChampionNotServed",), ("model",)),
    Cause(
        ("StoreAway",),
        ("ConsumerLagNotFalling", "ConsumerSilent", "LifecycleFailing", "LifecycleSilent", *OF_THE_MONITOR),
    ),
    Cause(("ConsumerSilent",), ("ConsumerLagNotFalling",)),
    Cause(("MonitorSilent",), OF_THE_MONITOR),
    Cause(("ServingDown", "MonitorSilent", "ForwarderDown"), ("TargetDown",), ("job",)),
    Cause(("ForwarderDown",), ("EventsUndelivered",), ("instance",)),
    Cause(("WorkerNotResponding",), ("WorkersGone",), ("instance",)),
    Cause(("DiskNearlyFull",), ("DiskFilling",), ("instance",)),
    # Who is woken by a budget that burns fast needs no ticket of the same budget.
    *(
        Cause((f"{budget}BurnsFast",), (f"{budget}BurnsSlowly",), ("model",))
        for budget in ("LatencyBudget", "AnswerBudget")
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifying:
    """How alerts leave.

    Args:
        monitor: the monitor's address as Alertmanager reaches it.
        token_file: file of the monitor's alert token; relative to Alertmanager's configuration.
        receivers: your own, as Alertmanager has them, each named as one of `YOURS`.
    """

    monitor: str
    token_file: str
    receivers: Sequence[dict[str, Any]] = ()
    pace: Pace = field(default_factory=Pace)


def text(notifying: Notifying) -> str:
    """The file's content. Raises `SettingsError`."""
    content = {
        "route": _route(notifying.pace),
        "inhibit_rules": _inhibitions(),
        "receivers": [_lifecycle(notifying), *_receivers(notifying.receivers)],
    }
    written: str = yaml.safe_dump(content, sort_keys=False, width=120, allow_unicode=True)
    return HEADER + written


def read_receivers(path: Path) -> list[dict[str, Any]]:
    """`receivers` of a YAML file. Raises `SettingsError`."""
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"--receivers {path}: {error}") from error
    receivers = found.get("receivers") if isinstance(found, dict) else None
    if not isinstance(receivers, list) or not all(isinstance(each, dict) for each in receivers):
        raise SettingsError(f"--receivers {path} has no list `receivers`; expected one as in Alertmanager's own file")
    return receivers


def _route(pace: Pace) -> dict[str, Any]:
    """What matches nothing is somebody's ticket too: an alert must not vanish."""
    return {
        "receiver": TICKET,
        "group_by": ["alertname", "model"],
        "group_wait": pace.wait(timedelta(seconds=30)),
        "group_interval": pace.wait(timedelta(minutes=5)),
        "repeat_interval": pace.wait(timedelta(days=1)),
        "routes": [
            {"matchers": ['alertname="Watchdog"'], "receiver": HEARTBEAT, "repeat_interval": pace.wait(_HEARTBEAT)},
            {
                "matchers": [f'alertname="{DRIFT}"'],
                "receiver": LIFECYCLE,
                # A job that was refused may be tried again while its alert lasts: outcomes come.
                "repeat_interval": pace.wait(timedelta(hours=1)),
                "continue": True,
            },
            # There is one online store for all models.
            {
                "matchers": [f'alertname="{SOURCE_DOWN}"'],
                "receiver": PAGE,
                "group_by": ["alertname"],
                "repeat_interval": pace.wait(timedelta(hours=1)),
            },
            {
                "matchers": ['severity="page"'],
                "receiver": PAGE,
                # One call for all that is wrong with a model.
                "group_by": ["model"],
                "repeat_interval": pace.wait(timedelta(hours=1)),
            },
            {"matchers": ['severity="ticket"'], "receiver": TICKET},
        ],
    }


_HEARTBEAT: Final = timedelta(minutes=5)


def _inhibitions() -> list[dict[str, Any]]:
    return [
        {"source_matchers": [_any_of(cause.alerts)], "target_matchers": [_any_of(cause.effects)]}
        | ({"equal": [*cause.equal]} if cause.equal else {})
        for cause in CAUSES
    ]


def _any_of(names: Sequence[str]) -> str:
    return f'alertname=~"{"|".join(names)}"'


def _lifecycle(notifying: Notifying) -> dict[str, Any]:
    return {
        "name": LIFECYCLE,
        "webhook_configs": [
            {
                "url": f"{notifying.monitor.rstrip('/')}/alerts",
                "send_resolved": False,
                # A delivery that was cut short would say nothing of the models that are missing.
                "max_alerts": 0,
                "http_config": {
                    "authorization": {"type": "Bearer", "credentials_file": notifying.token_file},
                    "follow_redirects": False,
                },
            }
        ],
    }


def _receivers(given: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    by_name = {str(each.get("name")): each for each in given}
    if unknown := sorted(set(by_name) - set(YOURS)):
        raise SettingsError(f"receivers {', '.join(unknown)} are no route's; expected some of {', '.join(YOURS)}")
    return [by_name.get(name, {"name": name}) for name in YOURS]
