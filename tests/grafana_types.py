"""Grafana's published form of a dashboard, as strictly as its types say it.

The types are those of grafana-foundation-sdk, which Grafana generates from its schemas (dashboard, panels, queries).
They read whatever they are given and drop what they do not know, so two questions are asked: did every member survive,
and is every member of the type that it is declared with.
"""

import enum
import json
import types
import typing
from collections.abc import Iterator
from typing import Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

Json = dict[str, Any]

UNPUBLISHED: Final = ("step", "titleFormat", "textFormat")
"""Members of an annotation that belong to Prometheus: its data source reads them, and the schema leaves them to it."""


def problems(dashboard: Json) -> list[str]:
    """Where the dashboard is not of the published form; empty for one that is."""
    register_default_plugins()
    return [*_of_type(dashboard, Dashboard, "dashboard")]


def _of_type(ours: Json, published: Any, at: str) -> Iterator[str]:
    known = published.from_json(ours)
    survived = json.loads(json.dumps(known, cls=JSONEncoder))
    yield from _dropped(ours, survived, at)
    yield from _mistyped(known, published, at)


def _dropped(ours: Any, theirs: Any, at: str) -> Iterator[str]:
    """Members of ours that the published types do not know, or do not know as we wrote them."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name, value in ours.items():
            if name not in theirs:
                # The types leave out what is null, as Grafana does.
                if value is not None and not (".annotations." in at and name in UNPUBLISHED):
                    yield f"{at}.{name} is not known"
            else:
                yield from _dropped(value, theirs[name], f"{at}.{name}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _dropped(mine, other, f"{at}[{index}]")
    elif ours != theirs:
        yield f"{at} is {ours!r}; read as {theirs!r}"


def _mistyped(value: Any, declared: Any, at: str) -> Iterator[str]:
    """Members whose value is of no type that they are declared with."""
    if not _fits(value, declared):
        yield f"{at} is {value!r}; expected {declared}"
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _mistyped(each, type(each), f"{at}[{index}]")
    elif type(value).__module__.startswith("grafana_foundation_sdk.models") and not isinstance(value, enum.Enum):
        hints = typing.get_type_hints(type(value))
        for name, hint in hints.items():
            yield from _mistyped(getattr(value, name), hint, f"{at}.{name}")


def _fits(value: Any, declared: Any) -> bool:
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if declared in (object, Any):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, each) for each in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(_fits(each, arguments[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(each, arguments[1]) for each in value.values())
    return _is_a(value, declared)


def _is_a(value: Any, declared: Any) -> bool:
    """A number may be written without its fraction, an enumeration's member by its value; true is no number."""
    if isinstance(value, dict) and hasattr(declared, "from_json"):
        return not [*_of_type(value, declared, "")]
    if isinstance(declared, type) and issubclass(declared, enum.Enum):
        return value in [each.value for each in declared]
    if isinstance(value, bool):
        return declared is bool
    return isinstance(value, (int, float) if declared is float else declared)
