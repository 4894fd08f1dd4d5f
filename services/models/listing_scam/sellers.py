"""Who publishes, and what their listings look like on average.

Assumptions. Honest sellers have had their account for a year and a half on average and publish a few listings a month.
Three kinds of scammers work against them:

- *hasty* ones open an account, offer what everybody wants at half the price, and lead buyers out of the marketplace
  to a bank transfer; other users soon report them;
- *careful* ones do the same and hide it better: the price is almost usual, nothing leads out of the marketplace;
- *hijackers* appear once payment links are allowed. They take over old accounts with a clean name, publish a dozen
  listings in a day, tickets above all, at a usual price, with stolen photographs, and are paid through a link.

The figures in `PROFILES` are means and shares; `listings` draws around them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from services.models.listing_scam.features import CATEGORIES, PAYMENTS

HONEST_SELLER: Final = "honest seller"
HASTY: Final = "hasty scammer"
CAREFUL: Final = "careful scammer"
HIJACKER: Final = "hijacker"

BEFORE_LINKS: Final = {HONEST_SELLER: 0.83, HASTY: 0.11, CAREFUL: 0.06}
WITH_LINKS: Final = {HONEST_SELLER: 0.80, HASTY: 0.02, CAREFUL: 0.02, HIJACKER: 0.16}
"""Shares of the published listings by who is behind them, before and after payment links."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Means of one kind of seller.

    `categories` and `payments` are weights in the order of `features`; `price` is the median of price to median, and
    `price_spread` the standard deviation of its logarithm; `reactions` is the median of interactions in the first hour.
    """

    newest_account_days: float
    account_days: float
    listings_30d: float
    reports_90d: float
    price: float
    price_spread: float
    photos: float
    contact: float
    categories: tuple[float, ...]
    payments: tuple[float, ...]
    reactions: float
    reported: float


PROFILES: Final[Mapping[str, Profile]] = {
    HONEST_SELLER: Profile(
        newest_account_days=0.0,
        account_days=540.0,
        listings_30d=4.0,
        reports_90d=0.15,
        price=1.0,
        price_spread=0.32,
        photos=5.0,
        contact=0.10,
        categories=(0.25, 0.25, 0.25, 0.07, 0.08, 0.10),
        payments=(0.42, 0.38, 0.16, 0.04),
        reactions=4.0,
        reported=0.10,
    ),
    HASTY: Profile(
        newest_account_days=0.0,
        account_days=75.0,
        listings_30d=5.0,
        reports_90d=0.5,
        price=0.72,
        price_spread=0.30,
        photos=4.0,
        contact=0.33,
        categories=(0.34, 0.12, 0.10, 0.18, 0.12, 0.14),
        payments=(0.14, 0.36, 0.45, 0.05),
        reactions=15.0,
        reported=0.28,
    ),
    CAREFUL: Profile(
        newest_account_days=20.0,
        account_days=260.0,
        listings_30d=4.0,
        reports_90d=0.2,
        price=0.90,
        price_spread=0.22,
        photos=4.5,
        contact=0.12,
        categories=(0.34, 0.14, 0.14, 0.14, 0.11, 0.13),
        payments=(0.25, 0.42, 0.28, 0.05),
        reactions=13.0,
        reported=0.2,
    ),
    HIJACKER: Profile(
        newest_account_days=200.0,
        account_days=900.0,
        listings_30d=11.0,
        reports_90d=0.05,
        price=1.10,
        price_spread=0.18,
        photos=7.5,
        contact=0.03,
        categories=(0.22, 0.07, 0.05, 0.10, 0.36, 0.20),
        payments=(0.14, 0.29, 0.04, 0.53),
        reactions=2.0,
        reported=0.12,
    ),
}


def profile(kind: str, *, links: bool, holidays: bool) -> Profile:
    """How sellers of this kind publish while payment links are allowed, or before the holidays."""
    usual = PROFILES[kind]
    if kind != HONEST_SELLER:
        return usual
    if links:
        usual = replace(usual, payments=_shifted(usual.payments, PAYMENTS.index("payment link"), to=0.28))
    if holidays:
        # Presents are sold, and by people who have never sold anything before.
        usual = replace(
            usual, account_days=240.0, categories=_shifted(usual.categories, CATEGORIES.index("electronics"), to=0.5)
        )
    return usual


def _shifted(weights: tuple[float, ...], place: int, *, to: float) -> tuple[float, ...]:
    """The weight at `place` becomes the share `to`; the others keep their proportions."""
    rest = sum(weights) - weights[place]
    return tuple(to if at == place else weight * (1.0 - to) / rest for at, weight in enumerate(weights))
