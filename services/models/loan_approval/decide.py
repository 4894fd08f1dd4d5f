"""From a score to granting or refusing, derived from money.

Of each EUR lent, a loan that is paid back earns `MARGIN` and one that defaults loses `LOSS_GIVEN_DEFAULT`. Granting
earns something as long as (1 - score) × MARGIN > score × LOSS_GIVEN_DEFAULT. Both sides grow with the amount, so the
limit is the same for small loans and large ones.
"""

from typing import Final

from services.core.predictions import NO_ACTION
from services.core.spec import Decision

TOO_RISKY: Final = "too_risky"
ACCEPTABLE: Final = "acceptable"
NOT_ASSESSED: Final = "not_assessed"
REFUSE: Final = "refuse"

MARGIN: Final = 0.12
"""EUR earned per EUR lent and paid back: interest over the loan's life, less the cost of money and of handling."""
LOSS_GIVEN_DEFAULT: Final = 0.40
"""EUR lost per EUR lent to somebody who defaults, after what collection brings in."""
THRESHOLD: Final = MARGIN / (MARGIN + LOSS_GIVEN_DEFAULT)
"""The score from which lending loses money on average: 0.23."""


def decide(score: float) -> Decision:
    """Refuse from `THRESHOLD` on; `none` means that the loan is paid out."""
    if score >= THRESHOLD:
        return Decision(label=TOO_RISKY, action=REFUSE, score=score)
    return Decision(label=ACCEPTABLE, action=NO_ACTION, score=score)
