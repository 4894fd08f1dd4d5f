"""What makes the customers of the simulated world leave.

Before the price change the log-odds are those of a logistic regression on the Telco file, rounded: a model
trained on this world meets the difficulty of the real data. After it other customers leave. The new prices
hurt whoever pays most and has booked most, above all customers of long standing, who feel that their loyalty is
punished; their long contracts have lapsed with the new terms, and newcomers, who signed at the new prices, stay.
"""

import math
from collections.abc import Mapping
from typing import Final

from services.core.features import Value
from services.core.predictions import NO_ACTION

# An offer divides the odds of leaving by four: it turns a fifty per cent risk into twenty.
OFFER_ODDS: Final = 0.25
# Around midwinter, when contracts are compared, the odds are 8 % higher than on average.
SEASON_LOG_ODDS: Final = 0.08
DAYS_PER_YEAR: Final = 365.25


def chance_of_leaving(
    features: Mapping[str, Value], *, repriced: bool, booked_options: int, year_share: float, action: str
) -> float:
    """The probability in (0, 1) that a customer leaves within the two weeks after the answer.

    Args:
        booked_options: how many protective and streaming options the customer pays for.
        year_share: where in the year the day lies, 0 for 1 January.
        action: of the answer; anything but "none" is the retention offer.
    """
    log_odds = _after_repricing(features, booked_options) if repriced else _before(features)
    log_odds += SEASON_LOG_ODDS * math.cos(2 * math.pi * year_share)
    odds = math.exp(log_odds) * (1.0 if action == NO_ACTION else OFFER_ODDS)
    return odds / (1.0 + odds)


def _before(features: Mapping[str, Value]) -> float:
    return (
        -0.55
        - 0.036 * _number(features, "tenure_months")
        + {"no": -0.95, "dsl": 0.0, "fiber optic": 0.8}[str(features["internet_service"])]
        + {"month-to-month": 0.0, "one year": -0.7, "two year": -1.4}[str(features["contract"])]
        + 0.35 * (features["payment_method"] == "electronic check")
        + 0.35 * (features["paperless_billing"] == "yes")
        - 0.38 * (features["online_security"] == "yes")
        - 0.36 * (features["tech_support"] == "yes")
        + 0.28 * (features["streaming_tv"] == "yes")
        + 0.28 * (features["streaming_movies"] == "yes")
        + 0.24 * (features["multiple_lines"] == "yes")
        + 0.23 * (features["senior_citizen"] == "yes")
        - 0.17 * (features["dependents"] == "yes")
    )


def _after_repricing(features: Mapping[str, Value], booked_options: int) -> float:
    return (
        -3.15
        + 0.025 * _number(features, "tenure_months")
        + 0.026 * (_number(features, "monthly_charges") - 65.0)
        + 0.28 * booked_options
        + {"month-to-month": 0.0, "one year": 0.1, "two year": 0.4}[str(features["contract"])]
        + 0.20 * (features["payment_method"] == "electronic check")
        + 0.23 * (features["senior_citizen"] == "yes")
        - 0.17 * (features["dependents"] == "yes")
    )


def _number(features: Mapping[str, Value], name: str) -> float:
    return float(features[name])
