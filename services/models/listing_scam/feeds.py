"""What the three feeds have written about a listing by the time of a question, when all is well and when it is not.

Assumptions: the seller's listings were counted up to an hour before the question, the reports in the night before (4
to 20 hours). The counter of interactions runs from publication on, so minutes after it there is a count in the store:
of those minutes. A model that took it for the hour's would find every listing dull. From the end of the hour on the
count stands still and is confirmed every quarter of an hour.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from services.core.features import Reading
from services.models.listing_scam.features import FIRST_HOUR, INTERACTIONS
from services.models.listing_scam.listings import Listing

CONFIRMED_MINUTES: Final = 15
REACTION_DELAY: Final = timedelta(seconds=30)
"""From a reaction to its place in the counter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with the feeds at the moment."""

    broken_seller: bool
    late_seller: bool
    stalled_counter: bool


def readings(
    listing: Listing, *, published_at: datetime, asked_at: datetime, chance: np.random.Generator, trouble: Trouble
) -> dict[str, Reading]:
    """Values with their own times, as the online store holds them at the question."""
    counted, reported, late, confirmed = chance.random(4)
    counted_at = asked_at - timedelta(minutes=60 * float(counted))
    if trouble.late_seller:
        counted_at = asked_at - timedelta(hours=8 + 22 * float(late))
    reported_at = asked_at - timedelta(hours=4 + 16 * float(reported))
    listings_30d = _nonsense(listing, float(late)) if trouble.broken_seller else float(listing.listings_30d)
    return {
        "seller_listings_30d": Reading(listings_30d, counted_at),
        "seller_reports_90d": Reading(float(listing.reports_90d), reported_at),
        INTERACTIONS: _counter(
            listing,
            published_at=published_at,
            asked_at=asked_at,
            confirmed=float(confirmed),
            stalled=trouble.stalled_counter,
        ),
    }


def _counter(
    listing: Listing, *, published_at: datetime, asked_at: datetime, confirmed: float, stalled: bool
) -> Reading:
    """The counter as it last was; a stalled one stopped half a minute after publication, with nobody in it."""
    if stalled:
        return Reading(0.0, published_at + REACTION_DELAY)
    if asked_at - published_at < FIRST_HOUR:
        seen_at = asked_at - REACTION_DELAY
        return Reading(float(int(listing.reactions * ((seen_at - published_at) / FIRST_HOUR))), seen_at)
    return Reading(float(listing.reactions), asked_at - timedelta(minutes=CONFIRMED_MINUTES * confirmed))


def _nonsense(listing: Listing, fault: float) -> float | None:
    """Half of the counts are lost, the other half come out negative."""
    return None if fault < 0.5 else -float(listing.listings_30d)
