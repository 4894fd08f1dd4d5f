"""The plain rule that answers when the model may not, and that every version has to beat.

It asks two questions that every caller can answer: is the customer bound by a contract, and for how long have
they been one? The scores are the shares that left in the Telco file, rounded, so the rule and the model mean the
same by a score and share one threshold.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from services.core.features import Value
from services.core.spec import Decision
from services.models.churn.decide import decide

BOUND: Final = {"one year": 0.11, "two year": 0.03}
# Customers without a commitment: up to so many months → the share that left.
UNBOUND: Final = ((6, 0.55), (12, 0.42), (24, 0.38), (1200, 0.31))


def rule(features: Mapping[str, Value]) -> Decision | None:
    """Decide from the contract and the tenure, both from the request; None when either is unavailable."""
    contract, tenure = features.get("contract"), features.get("tenure_months")
    if contract is None or tenure is None:
        return None
    reason = f"{contract} contract, {tenure:.15g} months" if isinstance(tenure, float | int) else f"{contract} contract"
    return replace(decide(_share_that_left(str(contract), float(tenure))), reasons=(reason,))


def _share_that_left(contract: str, tenure: float) -> float:
    if contract in BOUND:
        return BOUND[contract]
    return next((share for months, share in UNBOUND if tenure <= months), UNBOUND[-1][1])
