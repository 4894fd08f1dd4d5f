"""The 19 inputs of churn: who refreshes each, how old it may be, and what happens without it."""

from datetime import timedelta
from typing import Final

from services.core.spec import Categorical, Feature, Impute, Numeric, Source, Unavailable

CHURNED: Final = "churned"
STAYED: Final = "stayed"
YES_NO: Final = Categorical(("no", "yes"))
INTERNET_OPTION: Final = Categorical(("no", "yes", "no internet service"))
# The service feed is rebuilt every night: two days forgive one failed night.
SERVICE_MAX_AGE: Final = timedelta(hours=48)
# Billing closes once a day and skips Sundays: three days forgive that and one failed run.
BILLING_MAX_AGE: Final = timedelta(days=3)


def _account(
    name: str,
    kind: Numeric | Categorical,
    meaning: str,
    *,
    if_unavailable: Unavailable | Impute = Unavailable.ASK_THE_RULE,
) -> Feature:
    return Feature(
        name,
        kind,
        Source.REQUEST,
        meaning=meaning,
        owner="accounts",
        refreshed="by the caller, with each request",
        if_unavailable=if_unavailable,
    )


def _service(name: str, kind: Categorical, meaning: str) -> Feature:
    return Feature(
        name,
        kind,
        Source.ONLINE,
        meaning=meaning,
        owner="service catalogue",
        refreshed="nightly",
        max_age=SERVICE_MAX_AGE,
    )


def _billing(name: str, kind: Numeric, meaning: str) -> Feature:
    return Feature(
        name,
        kind,
        Source.ONLINE,
        meaning=meaning,
        owner="billing",
        refreshed="daily except Sundays",
        max_age=BILLING_MAX_AGE,
    )


FEATURES: Final = (
    _account(
        "gender",
        Categorical(("female", "male")),
        "Gender on the contract; says next to nothing about leaving, so a fixed value stands in for it",
        if_unavailable=Impute("female"),
    ),
    _account("senior_citizen", YES_NO, "Whether the customer is 65 or older"),
    _account("partner", YES_NO, "Whether the customer lives with a partner"),
    _account("dependents", YES_NO, "Whether children or other dependents live in the household"),
    _account("tenure_months", Numeric(low=0, high=1200), "Full months since the customer signed"),
    _service("phone_service", YES_NO, "Whether a telephone line is booked"),
    _service(
        "multiple_lines",
        Categorical(("no", "yes", "no phone service")),
        "Whether more than one telephone line is booked",
    ),
    _service("internet_service", Categorical(("no", "dsl", "fiber optic")), "The kind of internet access booked"),
    _service("online_security", INTERNET_OPTION, "Whether the security package is booked"),
    _service("online_backup", INTERNET_OPTION, "Whether the backup package is booked"),
    _service("device_protection", INTERNET_OPTION, "Whether the device insurance is booked"),
    _service("tech_support", INTERNET_OPTION, "Whether premium technical support is booked"),
    _service("streaming_tv", INTERNET_OPTION, "Whether television over the internet is booked"),
    _service("streaming_movies", INTERNET_OPTION, "Whether films over the internet are booked"),
    _account(
        "contract",
        Categorical(("month-to-month", "one year", "two year")),
        "For how long the customer has committed",
    ),
    _account(
        "paperless_billing",
        YES_NO,
        "Whether invoices come by e-mail; a weak input, so what most customers have stands in for it",
        if_unavailable=Impute("yes"),
    ),
    _account(
        "payment_method",
        Categorical(("bank transfer", "credit card", "electronic check", "mailed check")),
        "How invoices are paid; bank transfer and credit card are automatic",
    ),
    _billing("monthly_charges", Numeric(low=0, high=10_000), "The newest invoice, EUR per month"),
    _billing(
        "total_charges",
        Numeric(low=0, high=1_000_000),
        "All invoices since the customer signed, EUR; there is none before the first invoice",
    ),
)
