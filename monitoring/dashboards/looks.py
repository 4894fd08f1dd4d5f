"""How each type of panel looks where a definition does not say otherwise: Grafana's options and field settings."""

from collections.abc import Mapping
from typing import Any, Final

Look = Mapping[str, Any]

_LEGEND: Final = {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True}
_NO_LEGEND: Final = _LEGEND | {"showLegend": False}
_NEWEST: Final = {"calcs": ["lastNotNull"], "fields": "", "values": False}

LINES: Final[Look] = {"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}}
LINE: Final[Look] = {"drawStyle": "line", "lineWidth": 1, "showPoints": "auto", "spanNulls": False}

NUMBERS: Final[Look] = {
    "graphMode": "area",
    "justifyMode": "auto",
    "orientation": "auto",
    "reduceOptions": _NEWEST,
    "textMode": "auto",
    "wideLayout": True,
}

DIALS: Final[Look] = {
    "orientation": "auto",
    "reduceOptions": _NEWEST,
    "showThresholdLabels": False,
    "showThresholdMarkers": True,
}

STATES: Final[Look] = {
    "alignValue": "left",
    "legend": _NO_LEGEND,
    "mergeValues": True,
    "rowHeight": 0.9,
    "showValue": "auto",
    "tooltip": {"mode": "single", "sort": "none"},
}
STATE: Final[Look] = {"fillOpacity": 80, "lineWidth": 0}

BUCKETS: Final[Look] = {
    "calculate": False,
    "cellGap": 1,
    "color": {
        "exponent": 0.5,
        "fill": "dark-orange",
        "mode": "scheme",
        "reverse": False,
        "scale": "exponential",
        "scheme": "Oranges",
        "steps": 64,
    },
    "exemplars": {"color": "rgba(255,0,255,0.7)"},
    "filterValues": {"le": 1e-9},
    "legend": {"show": True},
    "rowsFrame": {"layout": "auto"},
    "showValue": "never",
    "tooltip": {"mode": "single", "yHistogram": True},
}
BUCKET: Final[Look] = {"scaleDistribution": {"type": "linear"}}

CELLS: Final[Look] = {"cellHeight": "sm", "showHeader": True}
CELL: Final[Look] = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}

BARS: Final[Look] = {
    "barRadius": 0.0,
    "barWidth": 0.9,
    "fullHighlight": False,
    "groupWidth": 0.7,
    "legend": _LEGEND,
    "orientation": "auto",
    "showValue": "auto",
    "stacking": "none",
    "tooltip": {"mode": "multi", "sort": "none"},
    "xTickLabelMaxLength": 0,
    "xTickLabelRotation": 0,
}
BAR: Final[Look] = {"fillOpacity": 80, "lineWidth": 1}
