"""One rule for all models for which it reads alike: their number grows with what differs, not with the models."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from graphlib import TopologicalSorter

from monitoring.alerts.rule import MODELS, OF_MODELS, Rule


def shared(rules_of: Mapping[str, Sequence[Rule]]) -> tuple[Rule, ...]:
    """Of each model's rules those that are the same, once; each behind whatever it follows for any model.

    A model's rules use the series that those before them have recorded at the same moment.
    """
    models: dict[Rule, list[str]] = {}
    order: TopologicalSorter[Rule] = TopologicalSorter()
    for model, rules in rules_of.items():
        for rule, before in zip(rules, (None, *rules), strict=False):
            order.add(rule, *(() if before is None else (before,)))
            models.setdefault(rule, []).append(model)
    return tuple(_of(rule, models[rule]) for rule in order.static_order())


def _of(rule: Rule, models: Sequence[str]) -> Rule:
    selected = f'model="{models[0]}"' if len(models) == 1 else OF_MODELS.replace(MODELS, "|".join(models))
    return replace(rule, expr=rule.expr.replace(OF_MODELS, selected))
