"""From a score to what to do, derived from money.

An offer costs `OFFER_COST`. It keeps `KEPT_BY_OFFER` of those who would have left, and each kept customer earns
`YEARLY_MARGIN`. So it pays for itself where score × KEPT_BY_OFFER × YEARLY_MARGIN > OFFER_COST.
"""

from typing import Final

from services.core.predictions import NO_ACTION
from services.core.spec import Decision

AT_RISK: Final = "at_risk"
LOYAL: Final = "loyal"
RETENTION_OFFER: Final = "retention_offer"

YEARLY_MARGIN: Final = 240.0
"""EUR that a customer who stays earns over the following year, on average."""
OFFER_COST: Final = 36.0
"""EUR for one offer: the call and the voucher, whatever the customer does then."""
KEPT_BY_OFFER: Final = 0.5
"""Share of those about to leave whom an offer keeps, as past campaigns showed."""
THRESHOLD: Final = OFFER_COST / (KEPT_BY_OFFER * YEARLY_MARGIN)
"""The score from which an offer pays for itself: 0.30."""


def decide(score: float) -> Decision:
    if score >= THRESHOLD:
        return Decision(label=AT_RISK, action=RETENTION_OFFER, score=score)
    return Decision(label=LOYAL, action=NO_ACTION, score=score)
