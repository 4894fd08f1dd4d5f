"""What is known about a listing, and from when on.

The first question about a listing comes minutes after its publication, and that is where the trap lies. How many
people wrote or saved in the first hour tells scams from honest offers better than anything else, and every table of
past listings has it, in every row: the hour was over long before somebody made the table. At the decision it is not.
`known_after` says so. Before the hour has passed the value is `too_early`, whatever a store holds, and the model
answers with a gap; a question after it gets the value.
"""

from datetime import timedelta
from typing import Final

from services.core.spec import Categorical, Feature, Numeric, Source, Unavailable

SCAM: Final = "scam"
HONEST: Final = "honest"

INTERACTIONS: Final = "interactions_1h"
FIRST_HOUR: Final = timedelta(hours=1)
LISTING_AGE: Final = "listing_age_minutes"

ASKED_BECAUSE: Final = "asked_because"
KEPT_FROM_THE_MODEL: Final = (ASKED_BECAUSE, LISTING_AGE)
"""Recorded for the reports and left out by `train`. Both tell a first question from a later one, and with them a model
learns that a later one has a count: when the counter then fails, it takes the gap for a count near zero and finds 53 of
a hundred scams in later questions. Without them the gap is the one of the first minutes, of which it has seen
thousands, and it finds 68."""

PUBLICATION: Final = "publication"
REPORT: Final = "report"
BUYER: Final = "buyer"

CATEGORIES: Final = ("electronics", "fashion", "home", "rentals", "tickets", "vehicles")
PAYMENTS: Final = ("cash", "escrow", "bank transfer", "payment link")

# The counter is confirmed every 15 minutes. An hour forgives three failed runs, and no longer: whoever asks later than
# two hours after publication cannot be given a count that stopped growing before the first hour was over.
INTERACTIONS_MAX_AGE: Final = timedelta(hours=1)
# Counted anew every hour: six hours forgive an evening without the feed's operator.
LISTINGS_MAX_AGE: Final = timedelta(hours=6)
# Counted every night: a day and a half forgives one night that failed half-way.
REPORTS_MAX_AGE: Final = timedelta(hours=36)


def _listing(
    name: str,
    kind: Numeric | Categorical,
    meaning: str,
    *,
    if_unavailable: Unavailable = Unavailable.ASK_THE_RULE,
) -> Feature:
    return Feature(
        name,
        kind,
        Source.REQUEST,
        meaning=meaning,
        owner="listings",
        refreshed="by the caller, with each question",
        if_unavailable=if_unavailable,
    )


FEATURES: Final = (
    _listing("category", Categorical(CATEGORIES), "Where in the marketplace the listing stands"),
    _listing(
        "price_to_median",
        Numeric(low=0, high=1000),
        "The price, divided by the median of the last month's listings of the same kind; 1 is usual",
    ),
    _listing("photos", Numeric(low=0, high=100), "Photographs in the listing"),
    _listing(
        "contact_in_text",
        Categorical(("no", "yes")),
        "Whether the text holds a telephone number, an address or a messenger name, which takes buyers elsewhere",
    ),
    _listing(
        "payment_method",
        Categorical(PAYMENTS),
        "How the seller wants to be paid; only escrow gives the money back",
    ),
    _listing("account_age_days", Numeric(low=0, high=20_000), "Full days since the seller opened the account"),
    _listing(
        ASKED_BECAUSE,
        Categorical((PUBLICATION, REPORT, BUYER)),
        "Why the application asks: the listing has just appeared, somebody reported it, or a buyer is about to pay;"
        " no input of the model",
        if_unavailable=Unavailable.OPTIONAL,
    ),
    _listing(
        LISTING_AGE,
        Numeric(low=0, high=1_000_000),
        "Minutes since publication, at the question; no input of the model",
        if_unavailable=Unavailable.OPTIONAL,
    ),
    Feature(
        "seller_listings_30d",
        Numeric(low=0, high=10_000),
        Source.ONLINE,
        meaning="Listings that the seller published within the last 30 days, this one included",
        owner="seller accounts",
        refreshed="hourly",
        max_age=LISTINGS_MAX_AGE,
    ),
    Feature(
        "seller_reports_90d",
        Numeric(low=0, high=10_000),
        Source.ONLINE,
        meaning="Reports by other users against the seller's listings within the last 90 days",
        owner="trust and safety",
        refreshed="nightly",
        max_age=REPORTS_MAX_AGE,
    ),
    Feature(
        INTERACTIONS,
        Numeric(low=0, high=1_000_000),
        Source.ONLINE,
        meaning="People who wrote to the seller or saved the listing within the hour after publication",
        owner="engagement",
        refreshed="every 15 minutes",
        max_age=INTERACTIONS_MAX_AGE,
        known_after=FIRST_HOUR,
        if_unavailable=Unavailable.OPTIONAL,
    ),
)
