"""One listing: what it says, and what happens to it in its first hour.

Assumptions. Counts scatter around their means as rare events do, prices and reactions as products of many small causes
(lognormal). A listing's number tells when it was published; everything else about it is drawn from the number.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.core.features import Value
from services.models.listing_scam.chance import Topic, generator, picked
from services.models.listing_scam.features import BUYER, CATEGORIES, PAYMENTS, REPORT
from services.models.listing_scam.sellers import BEFORE_LINKS, HONEST_SELLER, WITH_LINKS, Profile, profile

# Standard deviations of logarithms: how much sellers of one kind differ in activity, and listings in what they attract.
ACTIVITY_SPREAD: Final = 0.8
REACTION_SPREAD: Final = 0.8
MOST_REACTIONS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What stays the same about a listing.

    `reactions` is the number of people who react within the first hour; `found_after` in [0, 1] is how much of the time
    that moderation has passes until it knows a scam for one.
    """

    number: int
    kind: str
    text: dict[str, Value]
    listings_30d: int
    reports_90d: int
    reactions: int
    asked_again_because: str
    found_after: float

    @property
    def entity_id(self) -> str:
        return f"listing-{self.number}"

    @property
    def is_scam(self) -> bool:
        return self.kind != HONEST_SELLER


def listing(seed: int, number: int, *, links: bool, holidays: bool) -> Listing:
    """Listing `number` of the world with this seed, published with payment links allowed, or before the holidays."""
    chance = generator(seed, Topic.LISTING, number)
    shares = WITH_LINKS if links else BEFORE_LINKS
    kind = picked(chance, tuple(shares), tuple(shares.values()))
    usual = profile(kind, links=links, holidays=holidays)
    reaction = generator(seed, Topic.REACTION, number)
    return Listing(
        number=number,
        kind=kind,
        text=_text(chance, usual),
        listings_30d=1 + int(chance.poisson((usual.listings_30d - 1) * _scatter(chance, ACTIVITY_SPREAD))),
        reports_90d=int(chance.poisson(usual.reports_90d)),
        reactions=min(MOST_REACTIONS, int(usual.reactions * reaction.lognormal(0.0, REACTION_SPREAD))),
        asked_again_because=REPORT if reaction.random() < usual.reported else BUYER,
        found_after=float(reaction.random()),
    )


def _text(chance: np.random.Generator, usual: Profile) -> dict[str, Value]:
    """What the listing itself says, as the application sends it."""
    spare_days = usual.account_days - usual.newest_account_days
    return {
        "category": picked(chance, CATEGORIES, usual.categories),
        "price_to_median": round(usual.price * float(chance.lognormal(0.0, usual.price_spread)), 2),
        "photos": float(chance.poisson(usual.photos)),
        "contact_in_text": "yes" if chance.random() < usual.contact else "no",
        "payment_method": picked(chance, PAYMENTS, usual.payments),
        "account_age_days": float(int(usual.newest_account_days + chance.exponential(spare_days))),
    }


def _scatter(chance: np.random.Generator, spread: float) -> float:
    """A factor around 1, on average 1."""
    return float(chance.lognormal(-(spread**2) / 2, spread))
