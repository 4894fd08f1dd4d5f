"""What the models' specs say to a panel: thresholds from their objectives, meanings from their measures."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from monitoring.dashboards.definition import Objective, State, Threshold
from services.core.spec import ModelSpec, Objectives


def steps(thresholds: Iterable[Threshold]) -> dict[str, Any]:
    found = [{"color": each.color, "value": each.at} for each in thresholds]
    return {"mode": "absolute", "steps": found or [{"color": "text", "value": None}]}


def objective_overrides(objective: Objective, specs: Mapping[str, ModelSpec]) -> list[dict[str, Any]]:
    """One override per model, for the series that bears the model's name."""
    return [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "thresholds", "value": steps(_promised(objective, spec.objectives))}],
        }
        for name, spec in specs.items()
    ]


def _promised(objective: Objective, promised: Objectives) -> list[Threshold]:
    """A duration is kept from below, a share from above."""
    limit = getattr(promised, objective.value)
    if isinstance(limit, timedelta):
        return [Threshold(color="green"), Threshold(color="red", at=limit.total_seconds())]
    return [Threshold(color="red"), Threshold(color="green", at=limit)]


def measure_states(specs: Mapping[str, ModelSpec]) -> dict[str, State]:
    """What stands in a table for each measure's name."""
    return {
        measure.name: State(text=f"{measure.name}, {measure.unit}; good is {measure.good.value}", color="text")
        for spec in specs.values()
        for measure in spec.measures
    }
