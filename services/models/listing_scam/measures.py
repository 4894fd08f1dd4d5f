"""What holding listings achieved and spoilt, once moderation knows which were scams.

Both count listings on which somebody acted, so both are zero in the control arm, and the difference between the arms is
what the action did. Only the first hour counts for removed scams: that is when a listing is seen most, and when the
truth about it is furthest away.
"""

from typing import Final

from services.core.records import Judged
from services.core.spec import Good, Measure
from services.models.listing_scam.features import FIRST_HOUR, HONEST, LISTING_AGE, SCAM

FIRST_HOUR_MINUTES: Final = FIRST_HOUR.total_seconds() / 60


def scams_removed_first_hour(judged: Judged) -> float:
    return float(judged.prediction.acted and judged.outcome == SCAM and _in_first_hour(judged))


def honest_listings_blocked(judged: Judged) -> float:
    return float(judged.prediction.acted and judged.outcome == HONEST)


def _in_first_hour(judged: Judged) -> bool:
    """An answer that does not know how old the listing was does not count as an early one."""
    verdict = judged.prediction.features.get(LISTING_AGE)
    age = None if verdict is None else verdict.usable
    return isinstance(age, float | int) and age <= FIRST_HOUR_MINUTES


MEASURES: Final = (
    Measure(
        name="scams_removed_first_hour",
        good=Good.UP,
        unit="listings",
        meaning="Scams that were held within the first hour after publication",
        value=scams_removed_first_hour,
    ),
    Measure(
        name="honest_listings_blocked",
        good=Good.DOWN,
        unit="listings",
        meaning="Honest listings that were held, in the first hour or later",
        value=honest_listings_blocked,
    ),
)
