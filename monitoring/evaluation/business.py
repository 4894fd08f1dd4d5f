"""What the answers earned, in the spec's own measures, and how much of it is due to acting on them."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitoring.evaluation.baseline import decision_without_model, usable_of
from monitoring.evaluation.unknown import NotEnoughData
from services.core.predictions import NO_ACTION, Arm
from services.core.records import Judged, ResultStatus
from services.core.spec import ModelSpec

CONFIDENCE: Final = 0.9

MINIMUM_ENTITIES: Final = 30
"""Per arm. From about 30 the mean of skewed amounts is near enough to normal for the interval below."""


def business(spec: ModelSpec, matured: Sequence[Judged]) -> dict[str, Any] | NotEnoughData:
    """Totals and means by arm, and the effect of acting, from matured answers whoever gave them.

    `total` is in the measure's unit, `mean` per answer, `per_entity` per distinct entity. `effect` is of everybody who
    was to be acted on, `beyond_rule` of those among them whom the rule alone would have left in peace: what the model
    adds where it asks for more. Whom the rule would act on and the model does not, nobody acts on, so nobody knows.
    """
    known = [row for row in matured if row.outcome is not None]
    if not known:
        return NotEnoughData(0, 1, "matured answers with an outcome")
    to_act_on = [row for row in known if row.prediction.intended_action != NO_ACTION]
    beyond_rule = [row for row in to_act_on if _left_alone_by_rule(spec, row)]
    return {
        "n": len(known),
        "n_matured": len(matured),
        "coverage": len(known) / len(matured),
        "measures": {
            measure.name: {
                "unit": measure.unit,
                "good": measure.good.value,
                "arms": {arm.value: _arm(measure.value, rows) for arm, rows in _by_arm(known).items() if rows},
                "effect": _effect(measure.value, _by_arm(to_act_on)),
                "beyond_rule": _effect(measure.value, _by_arm(beyond_rule)),
            }
            for measure in spec.measures
        },
    }


def _left_alone_by_rule(spec: ModelSpec, row: Judged) -> bool:
    return decision_without_model(spec, usable_of(row)).action == NO_ACTION


def _by_arm(rows: Sequence[Judged]) -> dict[Arm, list[Judged]]:
    return {arm: [row for row in rows if row.prediction.arm is arm] for arm in Arm}


def _arm(value: Callable[[Judged], float], rows: Sequence[Judged]) -> dict[str, float]:
    total = sum(value(row) for row in rows)
    entities = len({row.prediction.entity_id for row in rows})
    return {
        "total": total,
        "n": len(rows),
        "entities": entities,
        "mean": total / len(rows),
        "per_entity": total / entities,
    }


def _effect(value: Callable[[Judged], float], found: dict[Arm, list[Judged]]) -> dict[str, Any]:
    """Treatment minus control per entity, of rows that were to be acted on; `earned` is that for all treated.

    Entities are drawn into the arms, so entities are what is compared: several answers about one are one sum.
    The interval is Welch's, with normal quantiles.
    """
    treated, withheld = (_per_entity(value, found[arm]) for arm in (Arm.TREATMENT, Arm.CONTROL))
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


def _per_entity(value: Callable[[Judged], float], rows: Sequence[Judged]) -> NDArray[Any]:
    sums: dict[str, float] = defaultdict(float)
    for row in rows:
        sums[row.prediction.entity_id] += value(row)
    return np.array(list(sums.values()))
