"""What a rule is, before it is Prometheus's YAML."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final, TypeAlias

SERVING_JOB: Final = "bellwether-serving"
MONITOR_JOB: Final = "bellwether-monitor"
CONSUMER_JOB: Final = "bellwether-consumer"
FORWARDER_JOB: Final = "bellwether-forwarder"
LIFECYCLE_JOB: Final = "bellwether-lifecycle"
"""What Prometheus calls the processes that it scrapes."""


MODELS: Final = "MODELS"
OF_MODELS: Final = f'model=~"{MODELS}"'
"""In an expression: of whichever models the rule is for, see `shared`."""
MODEL: Final = "{{ $labels.model }}"
"""In a sentence: the model that it is about."""


class Severity(StrEnum):
    """Page: somebody is losing something now. Ticket: in the morning. None: for machines alone."""

    PAGE = "page"
    TICKET = "ticket"
    NONE = "none"


class Dashboard(StrEnum):
    """Where to look first, by its uid."""

    OVERVIEW = "bellwether-overview"
    MODEL = "bellwether-model"
    SERVING = "bellwether-serving"
    PIPELINE = "bellwether-pipeline"
    BUSINESS = "bellwether-business"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Fires once `expr` has had a result for as long as `lasts`.

    `summary` and `description` are Prometheus's templates: `{{ $value }}` is the number, `{{ $labels.feature }}` a
    label. `labels` are added to those of the result. `of_process` says that it waits for a process, which is no faster
    in a fast world.
    """

    name: str
    expr: str
    lasts: timedelta
    severity: Severity
    summary: str
    description: str
    dashboard: Dashboard
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    of_process: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A series that is computed once for several alerts and panels."""

    name: str
    expr: str


Rule: TypeAlias = Alert | Recording


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are computed one after the other at the same moment; `of_models` says that each is about a model."""

    rules: tuple[Rule, ...]
    of_models: bool = False
