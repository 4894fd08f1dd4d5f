"""The plain rule: a credit score under 400 is refused. It is the baseline that every version has to beat.

It needs a single figure of the application, and has an answer for those whom the bureau does not know: without a score
the burden of debts decides, without that the employment. Its scores are the shares that defaulted in each group of the
simulated past, rounded.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from services.core.features import Value
from services.core.spec import Decision
from services.models.loan_approval.decide import decide

Bands = tuple[tuple[float, float], ...]

# (from this value on, share that defaulted), highest first; the last band takes what is left.
BY_SCORE: Final[Bands] = ((700, 0.02), (600, 0.05), (500, 0.11), (400, 0.22), (0, 0.35))
BY_DEBTS: Final[Bands] = ((0.5, 0.31), (0.4, 0.22), (0.3, 0.15), (0.2, 0.09), (0, 0.05))
BY_EMPLOYMENT: Final = {
    "permanent": 0.09,
    "temporary": 0.11,
    "self-employed": 0.09,
    "student": 0.1,
    "retired": 0.1,
    "not employed": 0.25,
}


def rule(features: Mapping[str, Value]) -> Decision | None:
    """Decide from the credit score, else the debts, else the employment; None when all three are unavailable."""
    score, debts, employment = (features.get(each) for each in ("credit_score", "debt_to_income", "employment"))
    if score is not None:
        return _decided(_share(BY_SCORE, float(score)), f"credit score {score:.15g}")
    if debts is not None:
        return _decided(_share(BY_DEBTS, float(debts)), f"no credit score; {debts:.0%} of the income goes into debts")
    if employment is not None:
        return _decided(BY_EMPLOYMENT[str(employment)], f"no credit score, debts unknown; {employment}")
    return None


def _decided(share: float, reason: str) -> Decision:
    return replace(decide(share), reasons=(reason,))


def _share(bands: Bands, value: float) -> float:
    return next((share for start, share in bands if value >= start), bands[-1][1])
