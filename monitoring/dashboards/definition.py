"""What a panel's YAML may say. Every member is known and typed, so a slip of the pen is an error and no empty panel."""

from enum import StrEnum
from typing import Annotated, Any, TypeVar

import msgspec

from services.core.errors import BellwetherError


class DashboardError(BellwetherError):
    code = "dashboard"


class Objective(StrEnum):
    """What a panel's thresholds are read from: a member of the spec's `Objectives`, for each model its own."""

    P99 = "p99"
    ANSWERED = "answered"
    ANSWERED_BY_MODEL = "answered_by_model"
    OUTCOME_COVERAGE = "outcome_coverage"


class Strict(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """No member is left out in silence."""


class Query(Strict):
    """PromQL; `legend` names a series by its labels, as {{model}}. `now` asks for the present value alone."""

    expr: str
    legend: str = ""
    now: bool = False


class Threshold(Strict):
    """The colour from `at` upwards; the first threshold has none and is the colour below the others."""

    color: str
    at: float | None = None


class State(Strict):
    """What stands for a value."""

    text: str
    color: str


class Link(Strict):
    """Where a click on a value leads. A dashboard is named by its uid; its variables follow behind `?`."""

    title: str
    url: str


class Column(Strict):
    """A label of the table's series, or `Value` of its query (`Value #A`, `Value #B` of several)."""

    field: str
    heading: str
    unit: str = ""
    decimals: int | None = None
    thresholds: list[Threshold] = []
    states: dict[str, State] = {}
    links: list[Link] = []
    measures: bool = False
    """Whether the values are names of measures, which then tell their unit and which way is good."""


class Matrix(Strict):
    """The labels whose values are a bar chart's groups and, in each, its bars."""

    groups: str
    bars: str


class Panel(Strict):
    """`description` says what the panel shows and what to do about it. Sizes are in units of Grafana's grid of 24."""

    title: str
    description: str
    queries: Annotated[list[Query], msgspec.Meta(min_length=1)]
    unit: str = "short"
    width: Annotated[int, msgspec.Meta(ge=2, le=24)] = 8
    height: Annotated[int, msgspec.Meta(ge=3)] = 8
    decimals: int | None = None
    low: float | None = None
    high: float | None = None
    thresholds: list[Threshold] = []
    objective: Objective | None = None
    states: dict[str, State] = {}
    links: list[Link] = []
    runbooks: list[str] = []
    no_value: str = ""

    @property
    def colored(self) -> bool:
        return bool(self.thresholds or self.objective)


class TimeSeriesPanel(Panel):
    """`dashed` is a pattern for the names of series that the others are held against."""

    stacked: bool = False
    steps: bool = False
    dashed: str = ""


class TablePanel(Panel, kw_only=True):
    columns: Annotated[list[Column], msgspec.Meta(min_length=1)]


class BarChartPanel(Panel, kw_only=True):
    matrix: Matrix


P = TypeVar("P")


def read(kind: type[P], data: Any) -> P:
    """Raises `DashboardError`, which names the component by its title or name."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        named = data.get("title") or data.get("name") if isinstance(data, dict) else data
        raise DashboardError(f"dashboards: {kind.__name__} {named!r}: {error}") from error
