"""Does a new version serve better than what serves now? On rows that its training never saw. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.evaluation.auc import Estimate, auc_difference_interval, auc_interval
from services.core.spec import Decision, Gate

Scores = NDArray[Any]

OPPOSITE: Final = -0.5
"""Rank correlation with the champion below which a version says the opposite. Those trained after the real changes of
the three reference worlds correlate with their champions at -0.07 to 0.34; what learns flipped outcomes, near -1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`reasons` say why in words; `evidence` has every figure, JSON-ready.

    `doubted` says that not the version is wrong, but the outcomes by which it was trained and judged.
    """

    promoted: bool
    reasons: tuple[str, ...]
    doubted: bool = False
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Which share of n answers would be another label or action."""

    share: float
    n: int

    def waits(self, gate: Gate) -> bool:
        return self.share > gate.changed_answers_at_most

    def as_body(self) -> dict[str, Any]:
        return {"share": self.share, "n": self.n}


def changed(before: Sequence[Decision], after: Sequence[Decision]) -> Changed:
    """Compare what n ≥ 1 callers are told with what they would be told."""
    other = [(a.label, a.action) != (b.label, b.action) for a, b in zip(before, after, strict=True)]
    return Changed(share=sum(other) / len(other), n=len(other))


def judge(
    gate: Gate,
    *,
    challenger: Scores,
    champion: Scores | None,
    rule: Scores,
    target: Scores,
    weight: Scores,
    believed: bool = False,
) -> Verdict:
    """Compare on n held-out rows: scores in [0, 1], target zeros and ones, weights > 0.

    The challenger has to beat the champion by `gate.margin`, with a difference whose interval lies above zero, and
    has to be no worse than the rule. What cannot be known is refused. Where it says the opposite of the champion, and
    the outcomes contradict champion and rule at once, the outcomes are doubted, unless a person `believed` them.
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
    if champion is not None and not believed and (doubt := _opposite(areas, challenger, champion)):
        return Verdict(promoted=False, reasons=(doubt,), doubted=True, evidence=_evidence(len(target), (doubt,), areas))
    difference = None
    if champion is not None:
        difference = auc_difference_interval(target, challenger, champion, weight, confidence=gate.confidence)
        refusals += _against_champion(gate, areas, difference)
    reasons = tuple(refusals) or (_praise(areas),)
    evidence = _evidence(len(target), reasons, areas)
    if difference is not None:
        evidence["difference"] = difference._asdict()
    return Verdict(promoted=not refusals, reasons=reasons, evidence=evidence)


def _evidence(n: int, reasons: tuple[str, ...], areas: dict[str, Estimate]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "n": n,
        "reasons": list(reasons),
        "auc": {name: each._asdict() for name, each in areas.items()},
    }
    return found | ({"warnings": list(warnings)} if (warnings := _warnings(areas)) else {})


def _warnings(areas: dict[str, Estimate]) -> tuple[str, ...]:
    """Without a champion nobody contradicts the outcomes but the rule, and a rule may simply be bad."""
    rule = areas["rule"]
    if "champion" in areas or rule.high >= 0.5:
        return ()
    area = f"{rule.value:.3f} [{rule.low:.3f}, {rule.high:.3f}]"
    return (f"the rule's AUC is {area}, below chance: the rule is the wrong way round, or the outcomes are",)


def _opposite(areas: dict[str, Estimate], challenger: Scores, champion: Scores) -> str | None:
    if areas["champion"].high >= 0.5 or areas["rule"].value >= 0.5:
        return None
    correlation = pd.Series(challenger).rank().corr(pd.Series(champion).rank())
    if not correlation < OPPOSITE:
        return None
    return (
        f"outcomes look inverted: they taught the new version the opposite of the champion (rank correlation "
        f"{correlation:.2f}), and contradict champion (AUC {areas['champion'].value:.3f}) and rule "
        f"({areas['rule'].value:.3f}) at once"
    )


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
