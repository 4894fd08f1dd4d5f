"""Every dashboard, as the text of its file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from grafana_dashboards.exporter import DashboardExporter, ProjectProcessor

# Imported for the builder, which finds plug-ins among the subclasses of its components.
import monitoring.dashboards.surroundings  # noqa: F401
from monitoring.dashboards.layout import modern
from monitoring.dashboards.strict import StrictRegistry, load, require_no_open_parameter
from services.core.spec import ModelSpec

DEFINITIONS: Final = Path(__file__).parent / "definitions"


class _Collected(DashboardExporter):  # type: ignore[misc]  # the library is untyped
    def __init__(self) -> None:
        self.dashboards: list[Any] = []

    def process_dashboard(self, _project_name: str, _dashboard_name: str, dashboard_data: Any) -> None:
        self.dashboards.append(dashboard_data)


def dashboards(
    specs: Mapping[str, ModelSpec], *, monitor: str, definitions: Path = DEFINITIONS
) -> dict[str, dict[str, Any]]:
    """uid → dashboard. `monitor` is the address that links to runbooks begin with. Raises `DashboardError`."""
    registry = StrictRegistry(specs)
    projects = load(registry, sorted(definitions.glob("*.yaml")))
    collected = _Collected()
    ProjectProcessor([collected]).process_projects(projects)
    registry.require_all_used()
    built = [modern(each, monitor=monitor) for each in collected.dashboards]
    for dashboard in built:
        require_no_open_parameter(dashboard)
    return {dashboard["uid"]: dashboard for dashboard in built}


def as_text(dashboard: Mapping[str, Any]) -> str:
    """The same bytes for the same definitions and specs. The first member says where it comes from."""
    ordered = {"description": dashboard["description"], **dict(sorted(dashboard.items()))}
    return json.dumps({name: _sorted(value) for name, value in ordered.items()}, indent=2, ensure_ascii=False) + "\n"


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value
