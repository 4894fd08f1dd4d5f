"""From a score to what to do, derived from what each mistake costs.

A listing that is held gets looked at by a moderator, for `REVIEW_COST` whatever comes out. If it is a scam, `SCAM_LOSS`
is saved. If it is honest, `HONEST_HELD_LOSS` is lost on top. Holding pays for itself where

    score × SCAM_LOSS > REVIEW_COST + (1 - score) × HONEST_HELD_LOSS.
"""

from typing import Final

from services.core.predictions import NO_ACTION
from services.core.spec import Decision

SUSPICIOUS: Final = "suspicious"
UNSUSPICIOUS: Final = "unsuspicious"
UNASSESSED: Final = "unassessed"
HOLD_FOR_REVIEW: Final = "hold_for_review"

SCAM_LOSS: Final = 48.0
"""EUR that a scam costs while it stays up: refunds, support, buyers who do not come back. The mean over all scams,
most of which find no victim."""
HONEST_HELD_LOSS: Final = 12.0
"""EUR lost on an honest listing that is held: commission on sales that go elsewhere, and sellers who follow them."""
REVIEW_COST: Final = 3.0
"""EUR for the six minutes of a moderator."""
THRESHOLD: Final = (REVIEW_COST + HONEST_HELD_LOSS) / (SCAM_LOSS + HONEST_HELD_LOSS)
"""The score from which holding pays for itself: 0.25."""


def decide(score: float) -> Decision:
    """Hold from `THRESHOLD` on; `none` means that the listing stays visible."""
    if score >= THRESHOLD:
        return Decision(label=SUSPICIOUS, action=HOLD_FOR_REVIEW, score=score)
    return Decision(label=UNSUSPICIOUS, action=NO_ACTION, score=score)
