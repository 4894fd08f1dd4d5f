"""What the answers earned, once it is known who stayed.

Every euro stands in exactly one of the two measures, so `revenue_kept - offers_wasted` is the profit of an arm.
Neither says anything by itself: most customers would have stayed anyway. Divided by the answers of its arm and
compared between treatment and control, the difference in `revenue_kept` is what acting earned per customer, net
of the offers that went to customers who stayed, and the difference in `offers_wasted` is what it burnt.
"""

from typing import Final

from services.core.records import Judged
from services.core.spec import Good, Measure
from services.models.churn.decide import OFFER_COST, YEARLY_MARGIN
from services.models.churn.features import CHURNED, STAYED


def revenue_kept(judged: Judged) -> float:
    if judged.outcome != STAYED:
        return 0.0
    return YEARLY_MARGIN - (OFFER_COST if judged.prediction.acted else 0.0)


def offers_wasted(judged: Judged) -> float:
    return OFFER_COST if judged.prediction.acted and judged.outcome == CHURNED else 0.0


MEASURES: Final = (
    Measure(
        name="revenue_kept",
        good=Good.UP,
        unit="EUR",
        meaning="A year's margin of every customer who stayed, less the offer where one was made",
        value=revenue_kept,
    ),
    Measure(
        name="offers_wasted",
        good=Good.DOWN,
        unit="EUR",
        meaning="The cost of offers to customers who left all the same",
        value=offers_wasted,
    ),
)
