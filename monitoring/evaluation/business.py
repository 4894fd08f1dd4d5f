"""What the answers earned, in the spec's own measures, and how much of it is due to acting on them."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from monitoring.evaluation.baseline import decision_without_model, usable_of
from monitoring.evaluation.unknown import NotEnoughData
from services.core.predictions import NO_ACTION, Arm
from services.core.records import Judged, ResultStatus
from services.core.spec import ModelSpec

CONFIDENCE: Final = 0.9

MINIMUM_ENTITIES: Final = 30
"""Per arm. From about 30 the mean of skewed amounts is near enough to normal for the interval below."""


def business(spec: ModelSpec, matured: Iterable[Judged]) -> dict[str, Any] | NotEnoughData:
    """What `Earned` finds in these rows."""
    earned = Earned(spec)
    earned.add(matured)
    return earned.found()


class Earned:
    """Totals and means by arm, and the effect of acting, from matured answers whoever gave them.

    Rows may come in batches, and none is kept: what grows is a sum for each entity and measure.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._matured = 0
        self._known = _by_arm(spec)
        self._to_act_on = _by_arm(spec)
        self._beyond_rule = _by_arm(spec)

    def add(self, matured: Iterable[Judged]) -> None:
        for row in matured:
            self._matured += 1
            if row.outcome is not None:
                self._add_known(row)

    def found(self) -> dict[str, Any] | NotEnoughData:
        """`total` is in the measure's unit, `mean` per answer, `per_entity` per distinct entity. `effect` is of
        everybody who was to be acted on, `beyond_rule` of those among them whom the rule alone would have left in
        peace: what the model adds where it asks for more. Whom the rule would act on and the model does not, nobody
        acts on, so nobody knows.
        """
        known = sum(sums.n for sums in self._known.values())
        if not known:
            return NotEnoughData(0, 1, "matured answers with an outcome")
        return {
            "n": known,
            "n_matured": self._matured,
            "coverage": known / self._matured,
            "measures": {
                measure.name: {
                    "unit": measure.unit,
                    "good": measure.good.value,
                    "arms": {arm.value: _arm(sums, number) for arm, sums in self._known.items() if sums.n},
                    "effect": _effect(self._to_act_on, number),
                    "beyond_rule": _effect(self._beyond_rule, number),
                }
                for number, measure in enumerate(self._spec.measures)
            },
        }

    def _add_known(self, row: Judged) -> None:
        arm, entity = row.prediction.arm, row.prediction.entity_id
        values = [measure.value(row) for measure in self._spec.measures]
        self._known[arm].add(entity, values)
        if row.prediction.intended_action != NO_ACTION:
            self._to_act_on[arm].add(entity, values)
            if _left_alone_by_rule(self._spec, row):
                self._beyond_rule[arm].add(entity, values)


@dataclass(slots=True)
class _Sums:
    """Of one arm: how many answers, and of each measure the total and the sum for each entity."""

    totals: list[float]
    by_entity: list["array[float]"]
    n: int = 0
    _places: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: ModelSpec) -> "_Sums":
        return cls([0.0 for _ in spec.measures], [array("d") for _ in spec.measures])

    def add(self, entity: str, values: Sequence[float]) -> None:
        self.n += 1
        place = self._places.setdefault(entity, len(self._places))
        for number, value in enumerate(values):
            self.totals[number] += value
            sums = self.by_entity[number]
            if place == len(sums):
                sums.append(0.0)
            sums[place] += value


def _by_arm(spec: ModelSpec) -> dict[Arm, _Sums]:
    return {arm: _Sums.of(spec) for arm in Arm}


def _left_alone_by_rule(spec: ModelSpec, row: Judged) -> bool:
    return decision_without_model(spec, usable_of(row)).action == NO_ACTION


def _arm(sums: _Sums, number: int) -> dict[str, float]:
    total, entities = sums.totals[number], len(sums.by_entity[number])
    return {
        "total": total,
        "n": sums.n,
        "entities": entities,
        "mean": total / sums.n,
        "per_entity": total / entities,
    }


def _effect(found: Mapping[Arm, _Sums], number: int) -> dict[str, Any]:
    """Treatment minus control per entity, of rows that were to be acted on; `earned` is that for all treated.

    Entities are drawn into the arms, so entities are what is compared: several answers about one are one sum.
    The interval is Welch's, with normal quantiles.
    """
    treated, withheld = (np.array(found[arm].by_entity[number]) for arm in (Arm.TREATMENT, Arm.CONTROL))
    if (fewer := min(len(treated), len(withheld))) < MINIMUM_ENTITIES:
        return NotEnoughData(fewer, MINIMUM_ENTITIES, "entities with an intended action in the smaller arm").as_body()
    effect = float(treated.mean() - withheld.mean())
    error = (treated.var(ddof=1) / len(treated) + withheld.var(ddof=1) / len(withheld)) ** 0.5
    reach = float(NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * error)
    per_entity = {"value": effect, "low": effect - reach, "high": effect + reach}
    return {
        "status": ResultStatus.OK.value,
        "n_treatment": len(treated),
        "n_control": len(withheld),
        "per_entity": per_entity,
        "earned": {bound: each * len(treated) for bound, each in per_entity.items()},
    }
