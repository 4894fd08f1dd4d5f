"""Plug-ins of grafana-dashboard-builder for today's panels, each named by its class: `TimeSeries` is `time-series`.

The builder's own are of Grafana's Angular time, which Grafana 12 no longer draws. A panel leaves here with its size;
its id and place depend on its neighbours, and come from layout.py.
"""

from string import ascii_uppercase
from typing import Any, ClassVar, Final

from grafana_dashboards.components.panels import PanelsItemBase

from monitoring.dashboards import looks
from monitoring.dashboards.definition import (
    BarChartPanel,
    Column,
    Link,
    Panel,
    Query,
    State,
    TablePanel,
    TimeSeriesPanel,
    read,
)
from monitoring.dashboards.from_specs import measure_states, objective_overrides, steps

DATA_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


class ModernPanel(PanelsItemBase):  # type: ignore[misc]  # the library is untyped
    """What all of ours share. A subclass says its Grafana type and look, and what its definition adds to them."""

    grafana_type: ClassVar[str]
    look: ClassVar[looks.Look]
    field_look: ClassVar[looks.Look] = {}
    definition: ClassVar[type[Panel]] = Panel
    query_format: ClassVar[str] = "time_series"

    def gen_json_from_data(self, data: Any, _context: Any) -> Json:
        panel = read(self.definition, data)
        return {
            "type": self.grafana_type,
            "title": panel.title,
            "description": panel.description,
            "datasource": DATA_SOURCE,
            "gridPos": {"h": panel.height, "w": panel.width},
            "targets": [self._target(*each) for each in zip(panel.queries, ascii_uppercase, strict=False)],
            "fieldConfig": {"defaults": self._defaults(panel), "overrides": self._overrides(panel)},
            "options": {**self.look, **self.options(panel)},
            "links": [_runbook_link(alert) for alert in panel.runbooks],
            "transformations": self.transformations(panel),
        }

    def options(self, _panel: Any) -> Json:
        return {}

    def custom(self, _panel: Any) -> Json:
        """The part of the field configuration that this type of panel alone knows."""
        return {}

    def overrides(self, _panel: Any) -> list[Json]:
        return []

    def transformations(self, _panel: Any) -> list[Json]:
        return []

    def _target(self, query: Query, letter: str) -> Json:
        return {
            "refId": letter,
            "datasource": DATA_SOURCE,
            "editorMode": "code",
            "expr": query.expr,
            "format": self.query_format,
            "instant": query.now,
            "range": not query.now,
            "legendFormat": query.legend or "__auto",
        }

    def _defaults(self, panel: Panel) -> Json:
        chosen = {"decimals": panel.decimals, "min": panel.low, "max": panel.high, "noValue": panel.no_value or None}
        return {
            "unit": panel.unit,
            "color": {"mode": "thresholds" if panel.colored else "palette-classic"},
            "thresholds": steps(panel.thresholds),
            "mappings": _mappings(panel.states),
            "links": _links(panel.links),
            "custom": {**self.field_look, **self.custom(panel)},
            **{name: value for name, value in chosen.items() if value is not None},
        }

    def _overrides(self, panel: Panel) -> list[Json]:
        promised = objective_overrides(panel.objective, self.registry.specs) if panel.objective else []
        return promised + self.overrides(panel)


class TimeSeries(ModernPanel):
    grafana_type, look, field_look = "timeseries", looks.LINES, looks.LINE
    definition = TimeSeriesPanel

    def custom(self, panel: TimeSeriesPanel) -> Json:
        return {
            "fillOpacity": 30 if panel.stacked else 0,
            "lineInterpolation": "stepAfter" if panel.steps else "linear",
            "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "dashed" if panel.colored else "off"},
        }

    def overrides(self, panel: TimeSeriesPanel) -> list[Json]:
        """Lines differ by their colour; a threshold is a line of its own."""
        told_apart = _for_pattern(".*", "color", {"mode": "palette-classic"})
        dashed = _for_pattern(panel.dashed, "custom.lineStyle", {"dash": [8, 8], "fill": "dash"})
        return [told_apart] * panel.colored + [dashed] * bool(panel.dashed)


class Stat(ModernPanel):
    grafana_type, look = "stat", looks.NUMBERS

    def options(self, panel: Panel) -> Json:
        return {
            "colorMode": "background" if panel.colored or panel.states else "value",
            "graphMode": "none" if panel.states else "area",
        }


class Gauge(ModernPanel):
    grafana_type, look = "gauge", looks.DIALS


class StateTimeline(ModernPanel):
    grafana_type, look, field_look = "state-timeline", looks.STATES, looks.STATE


class HeatMap(ModernPanel):
    """Of a Prometheus histogram: the queries give buckets by `le`."""

    grafana_type, look, field_look = "heatmap", looks.BUCKETS, looks.BUCKET
    query_format = "heatmap"

    def options(self, panel: Panel) -> Json:
        return {"yAxis": {"axisPlacement": "left", "reverse": False, "unit": panel.unit}}


class DataTable(ModernPanel):
    grafana_type, look, field_look = "table", looks.CELLS, looks.CELL
    definition = TablePanel
    query_format = "table"

    def overrides(self, panel: TablePanel) -> list[Json]:
        return [
            {"matcher": {"id": "byName", "options": each.heading}, "properties": self._of_column(each)}
            for each in panel.columns
        ]

    def transformations(self, panel: TablePanel) -> list[Json]:
        """Queries side by side, without the columns that nobody asked for, in the order of the definition."""
        fields = [each.field for each in panel.columns]
        order = {
            "excludeByName": {},
            "indexByName": {name: place for place, name in enumerate(fields)},
            "renameByName": {each.field: each.heading for each in panel.columns},
        }
        return [
            {"id": "merge", "options": {}},
            {"id": "filterFieldsByName", "options": {"include": {"names": fields}}},
            {"id": "organize", "options": order},
        ]

    def _of_column(self, column: Column) -> list[Json]:
        states = measure_states(self.registry.specs) if column.measures else column.states
        chosen = {
            "unit": column.unit,
            "decimals": column.decimals,
            "thresholds": steps(column.thresholds) if column.thresholds else None,
            "mappings": _mappings(states),
            "custom.cellOptions": {"type": "color-text"} if column.thresholds or column.states else None,
            "links": _links(column.links),
        }
        return [{"id": name, "value": value} for name, value in chosen.items() if value not in (None, "", [])]


class BarChart(ModernPanel):
    grafana_type, look, field_look = "barchart", looks.BARS, looks.BAR
    definition = BarChartPanel
    query_format = "table"

    def transformations(self, panel: BarChartPanel) -> list[Json]:
        matrix = {"columnField": panel.matrix.bars, "rowField": panel.matrix.groups, "valueField": "Value"}
        return [{"id": "groupingToMatrix", "options": matrix}]


def _mappings(states: dict[str, State]) -> list[Json]:
    shown = {
        value: {"color": state.color, "index": index, "text": state.text}
        for index, (value, state) in enumerate(states.items())
    }
    return [{"type": "value", "options": shown}] if shown else []


def _links(links: list[Link]) -> list[Json]:
    return [{"title": link.title, "url": link.url} for link in links]


def _runbook_link(alert: str) -> Json:
    return {"type": "link", "title": f"Runbook: {alert}", "url": f"${{monitor}}/runbooks/{alert}", "targetBlank": True}


def _for_pattern(pattern: str, name: str, value: Json) -> Json:
    """Grafana takes what stands between slashes for a pattern that need not fit the whole of a series' name."""
    return {"matcher": {"id": "byRegexp", "options": f"/{pattern}/"}, "properties": [{"id": name, "value": value}]}
