"""Plug-ins of grafana-dashboard-builder for what stands around the panels: variables and annotations."""

from typing import Any

from grafana_dashboards.components.annotations import AnnotationsItemBase
from grafana_dashboards.components.templates import TemplatesItemBase

from monitoring.dashboards.definition import Strict, read
from monitoring.dashboards.panels import DATA_SOURCE


class Variable(Strict):
    """A choice above the panels, filled by a query such as label_values(metric, label)."""

    name: str
    label: str
    description: str
    query: str


class Event(Strict):
    """Moments, or stretches of time, at which the query has a value."""

    name: str
    expr: str
    text: str
    color: str


class QueryVariable(TemplatesItemBase):  # type: ignore[misc]  # the library is untyped
    def gen_json_from_data(self, data: Any, _context: Any) -> dict[str, Any]:
        variable = read(Variable, data)
        return {
            "type": "query",
            "name": variable.name,
            "label": variable.label,
            "description": variable.description,
            "datasource": DATA_SOURCE,
            "query": variable.query,
            "refresh": 1,
            "sort": 1,
            "hide": 0,
            "includeAll": False,
            "multi": False,
        }


class PrometheusEvent(AnnotationsItemBase):  # type: ignore[misc]  # the library is untyped
    def gen_json_from_data(self, data: Any, _context: Any) -> dict[str, Any]:
        event = read(Event, data)
        return {
            "name": event.name,
            "datasource": DATA_SOURCE,
            "enable": True,
            "hide": False,
            "iconColor": event.color,
            "expr": event.expr,
            "step": "15s",
            "titleFormat": event.name,
            "textFormat": event.text,
        }
