"""Histories as a warehouse exports them: a CSV with a time beside every value, and the mapping that reads it."""

import csv
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from services.core.features import Reading
from services.core.predictions import NO_ACTION
from services.core.spec import ModelSpec
from services.core.world import Caller, World


class History(NamedTuple):
    csv: Path
    mapping: Path


Observed = Callable[[Caller], dict[str, Reading]]
"""What the export says of a caller's features, and since when."""


def as_asked(caller: Caller) -> dict[str, Reading]:
    """What was known when the question was asked."""
    return {name: Reading(value, caller.asked_at) for name, value in caller.request.items()} | caller.feed


def export(
    spec: ModelSpec, world: World, directory: Path, *, days: int, calls: int, observed: Observed = as_asked
) -> History:
    """Write what the world's callers were asked about on its first days, and what became of them."""
    callers = [caller for day in range(days) for caller in world.day(day, calls=calls)]
    path = directory / "history.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _columns(spec))
        writer.writeheader()
        writer.writerows(_record(world, caller, observed(caller)) for caller in callers)
    mapping = directory / "history.toml"
    mapping.write_text(_mapping(spec), "utf-8")
    return History(path, mapping)


def _columns(spec: ModelSpec) -> list[str]:
    features = [column for name in spec.feature_names for column in (name, f"{name}_at")]
    return ["entity", "asked_at", "started_at", "outcome", "outcome_at", *features]


def _record(world: World, caller: Caller, readings: dict[str, Reading]) -> dict[str, object]:
    truth = world.truth(caller, action=NO_ACTION)
    return {
        "entity": caller.entity_id,
        "asked_at": caller.asked_at.isoformat(),
        "started_at": _written(caller.started_at),
        "outcome": truth.value,
        "outcome_at": truth.known_at.isoformat(),
        **{name: each.value for name, each in readings.items()},
        **{f"{name}_at": each.observed_at.isoformat() for name, each in readings.items()},
    }


def _written(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()


def _mapping(spec: ModelSpec) -> str:
    head = 'decided_at = "asked_at"\nstarted_at = "started_at"\n[entity]\ncolumn = "entity"\n'
    outcome = '[outcome]\ncolumn = "outcome"\nobserved_at = "outcome_at"\n'
    features = [f'[features.{name}]\ncolumn = "{name}"\nobserved_at = "{name}_at"\n' for name in spec.feature_names]
    return "".join((head, outcome, *features))
