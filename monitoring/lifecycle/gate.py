"""Does a new version serve better than what serves now? On rows that its training never saw. Pure."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.evaluation.auc import Estimate, auc_difference_interval, auc_interval
from services.core.spec import Gate

Scores = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`reasons` say why in words; `evidence` has every figure, JSON-ready."""

    promoted: bool
    reasons: tuple[str, ...]
    evidence: dict[str, Any] = field(default_factory=dict)


def judge(
    gate: Gate, *, challenger: Scores, champion: Scores | None, rule: Scores, target: Scores, weight: Scores
) -> Verdict:
    """Compare on n held-out rows: scores in [0, 1], target zeros and ones, weights > 0.

    The challenger has to beat the champion by `gate.margin`, with a difference whose interval lies above zero, and
    has to be no worse than the rule. What cannot be known is refused.
    """
    if unknown := _unknown(gate, challenger, target):
        return Verdict(promoted=False, reasons=(unknown,), evidence={"n": len(target), "reasons": [unknown]})
    areas = {
        name: auc_interval(target, each, weight, confidence=gate.confidence)
        for name, each in (("challenger", challenger), ("champion", champion), ("rule", rule))
        if each is not None
    }
    refusals = _against_rule(
        areas, auc_difference_interval(target, challenger, rule, weight, confidence=gate.confidence)
    )
    difference = None
    if champion is not None:
        difference = auc_difference_interval(target, challenger, champion, weight, confidence=gate.confidence)
        refusals += _against_champion(gate, areas, difference)
    reasons = tuple(refusals) or (_praise(areas),)
    evidence = {
        "n": len(target),
        "reasons": list(reasons),
        "auc": {name: each._asdict() for name, each in areas.items()},
    }
    if difference is not None:
        evidence["difference"] = difference._asdict()
    return Verdict(promoted=not refusals, reasons=reasons, evidence=evidence)


def _unknown(gate: Gate, challenger: Scores, target: Scores) -> str | None:
    if len(target) < gate.minimum_outcomes:
        return f"{len(target)} held-out outcomes, {gate.minimum_outcomes} needed to judge"
    if len(np.unique(target)) == 1:
        return f"all {len(target)} held-out outcomes are of one class; both are needed to judge"
    if strange := int((~np.isfinite(challenger)).sum()):
        # Sorting puts them last, so they would pass for the surest of all.
        return f"{strange} of {len(target)} scores are no numbers; an area under them means nothing"
    return None


def _against_rule(areas: dict[str, Estimate], difference: Estimate) -> list[str]:
    if difference.value > 0:
        return []
    return [
        f"AUC {areas['challenger'].value:.3f}, rule {areas['rule'].value:.3f}: the rule is as good without training"
    ]


def _against_champion(gate: Gate, areas: dict[str, Estimate], difference: Estimate) -> list[str]:
    compared = f"AUC {areas['challenger'].value:.3f}, champion {areas['champion'].value:.3f}"
    refusals = []
    if difference.value < gate.margin:
        refusals.append(f"{compared}, margin {gate.margin:g}")
    if difference.low <= 0:
        refusals.append(
            f"{compared}: the difference lies in [{difference.low:.3f}, {difference.high:.3f}] at "
            f"{gate.confidence:.0%} confidence, which includes none"
        )
    return refusals


def _praise(areas: dict[str, Estimate]) -> str:
    names = {"challenger": "AUC", "champion": "champion", "rule": "rule"}
    return ", ".join(f"{names[name]} {areas[name].value:.3f}" for name in names if name in areas)
