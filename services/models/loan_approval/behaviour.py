"""What makes somebody miss the first instalment.

In ordinary times it is how somebody has always handled money: that is what a credit score says, and what the account
shows. In a recession it is what happens to the work: those with temporary contracts or a business of their own, those
new in their job and those who have just borrowed many times their income cannot pay, however well they used to.
"""

import math
from typing import Final

from services.models.loan_approval.applications import Application, hours_cut
from services.models.loan_approval.population import Applicant

DAYS_PER_YEAR: Final = 365.25
# After the holidays of December money is short: in January the odds are 6 % above the mean of the year.
SEASON_LOG_ODDS: Final = 0.06
IN_RECESSION: Final = {
    "permanent": -0.6,
    "temporary": 1.4,
    "self-employed": 1.8,
    "student": -0.8,
    "retired": -1.6,
    "not employed": -0.4,
}


def chance_of_default(
    person: Applicant, asked: Application, *, overdrawn_days: float, recession: bool, year_share: float
) -> float:
    """The probability in (0, 1) that the first instalment of a granted loan is missed.

    Args:
        overdrawn_days: of the last 90.
        year_share: where in the year the day lies, 0 for 1 January.
    """
    log_odds = _in_recession(person, asked) if recession else _in_ordinary_times(person, asked, overdrawn_days)
    log_odds += SEASON_LOG_ODDS * math.cos(2.0 * math.pi * year_share)
    return 1.0 / (1.0 + math.exp(-log_odds))


def _in_ordinary_times(person: Applicant, asked: Application, overdrawn_days: float) -> float:
    return (
        -2.85
        + _record(person)
        + 0.06 * (min(overdrawn_days, 40.0) - 8.0)
        + 4.5 * (min(asked.debt_to_income, 1.0) - 0.3)
        + 1.3 * (person.work == "not employed")
        - 0.25 * (person.months_in_job >= 60)
    )


def _record(person: Applicant) -> float:
    """What the bureau's figures say of somebody; of those without a file, what they would say."""
    file = person.file
    if file.credit_score is None or file.missed_payments is None or file.card_utilisation is None:
        return -0.9 * person.care + 0.1
    return (
        -0.0033 * (file.credit_score - 605.0)
        + 0.4 * (min(file.missed_payments, 4.0) - 0.45)
        + 1.2 * (file.card_utilisation - 0.45)
    )


def _in_recession(person: Applicant, asked: Application) -> float:
    return (
        -3.4
        + IN_RECESSION[person.work]
        + 0.42 * (min(asked.burden, 10.0) - 3.5)
        + 1.4 * (0 < person.months_in_job < 24)
        + 0.9 * hours_cut(person)
        + 0.5 * (asked.purpose in ("car", "home"))
    )
