"""Refuses what grafana-dashboard-builder lets pass: unknown components and members, idle parts, open parameters."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from grafana_dashboards.components.base import ComponentRegistry
from grafana_dashboards.components.dashboards import Dashboard
from grafana_dashboards.components.projects import Project
from grafana_dashboards.components.rows import Row
from grafana_dashboards.errors import DashboardBuilderException
from grafana_dashboards.gdbyaml import GDBLoader

from monitoring.dashboards.definition import DashboardError
from services.core.spec import ModelSpec

_MEMBERS: Final = {
    Dashboard: {"title", "uid", "tags", "time", "refresh", "rows", "templates", "annotations"},
    Row: {"title", "panels"},
}

_OPEN_PARAMETER: Final = re.compile(r"(?<![{$])\{[A-Za-z_][\w-]*\}(?!\})")
"""A legend's {{label}} and Grafana's own ${variable} are none."""


class StrictRegistry(ComponentRegistry):  # type: ignore[misc]  # the library is untyped
    """All named components of the definitions. `specs` is what panels read their models' thresholds from."""

    def __init__(self, specs: Mapping[str, ModelSpec]) -> None:
        super().__init__()
        self.specs = specs
        self._defined: set[tuple[str, str]] = set()
        self._used: set[tuple[str, str]] = set()

    def add(self, component: Mapping[str, Any]) -> None:
        kinds = [key for key in component if key != "name"]
        if "name" not in component or len(kinds) != 1:
            raise DashboardError(f"dashboards: a component has {', '.join(component)}; expected a name and one type")
        kind = self._types.get(kinds[0])
        if kind is None:
            raise DashboardError(f"dashboards: component {component['name']!r} is of an unknown type {kinds[0]!r}")
        try:
            super().add(component)
        except DashboardBuilderException as error:
            raise DashboardError(f"dashboards: component {component['name']!r}: {error}") from error
        if kind is not Project:
            self._defined.add((kind.__name__, component["name"]))

    def create_component(self, component_type: Any, data: Any) -> Any:
        component = super().create_component(component_type, data)
        known = _MEMBERS.get(type(component))
        if known is not None and (unknown := set(component.data) - known):
            named = f"{type(component).__name__} {component.data.get('title')!r}"
            raise DashboardError(f"dashboards: {named} has {_listed(unknown)}; expected {_listed(known)}")
        return component

    def get_component(self, component_type: Any, name: str) -> Any:
        self._used.add((component_type.__name__, name))
        try:
            return super().get_component(component_type, name)
        except DashboardBuilderException as error:
            raise DashboardError(f"dashboards: {error}") from error

    def require_all_used(self) -> None:
        if idle := sorted(self._defined - self._used):
            raise DashboardError(f"dashboards: {', '.join(f'{kind} {name!r}' for kind, name in idle)} is used nowhere")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def load(registry: StrictRegistry, paths: list[Path]) -> list[Any]:
    """The projects that the files define, with everything in them known to the registry."""
    for path in paths:
        with path.open() as file:
            for document in yaml.load_all(file, Loader=GDBLoader):
                for component in document:
                    registry.add(component)
    return list(registry[Project])


def require_no_open_parameter(dashboard: Any) -> None:
    for text in _texts(dashboard):
        if found := _OPEN_PARAMETER.search(text):
            raise DashboardError(f"dashboards: nothing defines the parameter {found[0]} in {text!r}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
