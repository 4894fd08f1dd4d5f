"""One rule for all models for which it reads alike: their number grows with what differs, not with the models."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from graphlib import TopologicalSorter
from itertools import pairwise

from monitoring.alerts.rule import MODELS, OF_MODELS, Recording, Rule


def shared(rules_of: Mapping[str, Sequence[Rule]]) -> tuple[Rule, ...]:
    """Of each model's rules those that are the same, once: series before alerts.

    A model's rules use the series that those before them have recorded at the same moment. Alerts use none of one
    another, and models may have the same ones in different orders.
    """
    models: dict[Rule, list[str]] = {}
    for model, its in rules_of.items():
        for rule in its:
            models.setdefault(rule, []).append(model)
    alerts = [rule for rule in models if not isinstance(rule, Recording)]
    names = list(dict.fromkeys(rule.name for rule in alerts))
    alerts.sort(key=lambda rule: names.index(rule.name))
    rules: list[Rule] = [*_recordings(rules_of.values()), *alerts]
    return tuple(_of(rule, models[rule]) for rule in rules)


def _recordings(rules_of: Iterable[Sequence[Rule]]) -> Iterable[Recording]:
    """Each behind whatever it follows for any model."""
    order: TopologicalSorter[Recording] = TopologicalSorter()
    for rules in rules_of:
        recordings = [rule for rule in rules if isinstance(rule, Recording)]
        for rule in recordings[:1]:
            order.add(rule)
        for before, rule in pairwise(recordings):
            order.add(rule, before)
    return order.static_order()


def _of(rule: Rule, models: Sequence[str]) -> Rule:
    selected = f'model="{models[0]}"' if len(models) == 1 else OF_MODELS.replace(MODELS, "|".join(models))
    return replace(rule, expr=rule.expr.replace(OF_MODELS, selected))
