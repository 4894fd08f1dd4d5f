"""What is known about an application for a loan, and what each value is good for.

Three kinds of gaps are told apart. An applicant without a credit score is nothing unusual: the score is optional, and
the model decides from the rest. `bureau_file` says whether the bureau knows the applicant at all, and it is needed: as
long as it is there, missing bureau figures mean "nothing on file". When it is missing or old, nobody has asked the
bureau, and a model that took this for an empty file would judge an outage instead of a person: the rule answers.
"""

from datetime import timedelta
from typing import Final

from services.core.spec import Categorical, Feature, Numeric, Source, Unavailable

DEFAULTED: Final = "defaulted"
# Also true of a loan that was refused and so never paid out, which "repaid" would not be.
NOT_DEFAULTED: Final = "not_defaulted"

NO_FILE: Final = "none"
THIN_FILE: Final = "thin"
FULL_FILE: Final = "full"

# The bureau's own terms let a report be used again for 30 days; then a new one has to be bought.
REPORT_MAX_AGE: Final = timedelta(days=30)
# Statements are read every night and banks are closed for up to four days in a row: a week forgives three more.
STATEMENT_MAX_AGE: Final = timedelta(days=7)

KEPT_FROM_THE_MODEL: Final = ("age_band", "residence")
"""Logged, so that results are reported by them, and left out by `train`: who somebody is decides nothing here."""


def _application(
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
        owner="loan applications",
        refreshed="by the caller, with each application",
        if_unavailable=if_unavailable,
    )


def _bureau(
    name: str, kind: Numeric | Categorical, meaning: str, *, if_unavailable: Unavailable = Unavailable.OPTIONAL
) -> Feature:
    return Feature(
        name,
        kind,
        Source.ONLINE,
        meaning=meaning,
        owner="credit bureau desk",
        refreshed="with each report that is bought",
        max_age=REPORT_MAX_AGE,
        if_unavailable=if_unavailable,
    )


FEATURES: Final = (
    _application(
        "credit_score",
        Numeric(low=300, high=850),
        "The bureau's score, high is good; people of whom it knows too little have none",
        if_unavailable=Unavailable.OPTIONAL,
    ),
    _application("monthly_income", Numeric(low=0, high=100_000), "Net income of the applicant, EUR per month"),
    _application(
        "debt_to_income",
        Numeric(low=0, high=5),
        "Share of the net income that goes into debts once this loan is paid out, its instalment included",
    ),
    _application("loan_amount", Numeric(low=100, high=100_000), "EUR asked for"),
    _application("loan_months", Numeric(low=1, high=120), "Months over which the loan is to be paid back"),
    _application(
        "purpose",
        Categorical(("car", "home", "debt consolidation", "education", "other")),
        "What the loan is for, in the applicant's words",
    ),
    _application(
        "employment",
        Categorical(("permanent", "temporary", "self-employed", "student", "retired", "not employed")),
        "What the applicant lives on",
    ),
    _application("months_in_job", Numeric(low=0, high=720), "Full months in the present job, 0 without one"),
    _application(
        "age_band",
        Categorical(("18-24", "25-34", "35-49", "50-64", "65 or older")),
        "Age in years; no input of the model",
        if_unavailable=Unavailable.OPTIONAL,
    ),
    _application(
        "residence",
        Categorical(("under 2 years", "2 to 5 years", "over 5 years")),
        "For how long the applicant has lived in the country; no input of the model",
        if_unavailable=Unavailable.OPTIONAL,
    ),
    _bureau(
        "bureau_file",
        Categorical((NO_FILE, THIN_FILE, FULL_FILE)),
        "How much the bureau knows: nothing, less than a year of one account, or more",
        if_unavailable=Unavailable.ASK_THE_RULE,
    ),
    _bureau(
        "missed_payments_24m", Numeric(low=0, high=100), "Payments on file that were missed within the last 24 months"
    ),
    _bureau(
        "card_utilisation", Numeric(low=0, high=2), "Debt on credit cards as a share of their limits; above 1 overdrawn"
    ),
    _bureau("enquiries_90d", Numeric(low=0, high=100), "Lenders that asked for a report within the last 90 days"),
    Feature(
        "overdrawn_days_90d",
        Numeric(low=0, high=90),
        Source.ONLINE,
        meaning="Days of the last 90 on which the applicant's current account was overdrawn",
        owner="account statements",
        refreshed="nightly, from the account that the applicant let us read",
        max_age=STATEMENT_MAX_AGE,
    ),
)
