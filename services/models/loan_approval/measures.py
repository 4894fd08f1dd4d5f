"""What lending earned and lost, once it is known who paid.

A loan that is paid back counts in the first measure, one that defaults in the second, and one that was refused in
neither. Refusing therefore lowers both: the interest of those who would have paid is its price, the losses avoided are
its worth, and it pays as long as treatment is further below control in losses than in interest.
"""

from typing import Final

from services.core.records import Judged
from services.core.spec import Good, Measure
from services.models.loan_approval.decide import LOSS_GIVEN_DEFAULT, MARGIN
from services.models.loan_approval.features import DEFAULTED, NOT_DEFAULTED

USUAL_LOAN: Final = 8_000.0
"""EUR by which an answer counts whose amount was not usable: about the mean of what is asked for."""


def interest_earned(judged: Judged) -> float:
    return MARGIN * _lent(judged) if judged.outcome == NOT_DEFAULTED else 0.0


def losses_from_default(judged: Judged) -> float:
    return LOSS_GIVEN_DEFAULT * _lent(judged) if judged.outcome == DEFAULTED else 0.0


def _lent(judged: Judged) -> float:
    """EUR paid out because of this answer."""
    if judged.prediction.acted:
        return 0.0
    amount = judged.prediction.features.get("loan_amount")
    usable = None if amount is None else amount.usable
    return USUAL_LOAN if usable is None else float(usable)


MEASURES: Final = (
    Measure(
        name="interest_earned",
        good=Good.UP,
        unit="EUR",
        meaning="What loans that are paid back earn, less the cost of money and of handling",
        value=interest_earned,
    ),
    Measure(
        name="losses_from_default",
        good=Good.DOWN,
        unit="EUR",
        meaning="What is lost on loans that default, after collection",
        value=losses_from_default,
    ),
)
