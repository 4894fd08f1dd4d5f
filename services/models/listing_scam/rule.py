"""The plain rule that answers when the model may not, and that every version has to beat.

Moderators have known the four signs for years, and each stands in the listing itself, so the rule needs no feed. Its
scores are the shares of scams among simulated past listings with so many signs, rounded: rule and model share one
threshold.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from services.core.features import Value
from services.core.spec import Decision
from services.models.listing_scam.decide import decide

NEW_ACCOUNT_DAYS: Final = 30.0
GIVEAWAY_PRICE: Final = 0.7
SHARE_OF_SCAMS: Final = (0.10, 0.22, 0.52, 0.86, 0.96)
"""By the number of signs."""


def rule(features: Mapping[str, Value]) -> Decision | None:
    """Count the signs; None without the account's age or the price. A sign that cannot be checked is not counted."""
    if "account_age_days" not in features or "price_to_median" not in features:
        return None
    signs = tuple(_signs(features))
    return replace(decide(SHARE_OF_SCAMS[len(signs)]), reasons=signs or ("no sign of a scam in the listing",))


def _signs(features: Mapping[str, Value]) -> Iterator[str]:
    age, price = float(features["account_age_days"]), float(features["price_to_median"])
    if age < NEW_ACCOUNT_DAYS:
        yield f"the account is {age:.15g} days old"
    if price < GIVEAWAY_PRICE:
        yield f"the price is {price:.0%} of the usual one"
    if features.get("contact_in_text") == "yes":
        yield "the text leads buyers elsewhere"
    if features.get("payment_method") == "bank transfer":
        yield "only a bank transfer is taken"
