"""What an applicant asks for on a given day, in ordinary times and in others.

Assumptions: an amount is a few months' income and differs from one application to the next; the burden of debts
follows from amount, term and interest. In a recession interest rises, three workers in ten have their hours cut, and
many borrow to pay debts. A campaign at universities brings students who ask for little.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.core.features import Value
from services.models.loan_approval.population import Applicant

PURPOSES: Final = ("car", "home", "debt consolidation", "education", "other")
USUAL: Final = (0.3, 0.22, 0.18, 0.08, 0.22)
IN_RECESSION: Final = (0.17, 0.15, 0.42, 0.06, 0.2)
TERMS: Final = (12, 24, 36, 48, 60, 72, 84)
# Interest and fees, as a share of the amount, that the instalments pay back beside it.
SURCHARGE: Final = 0.1
SURCHARGE_IN_RECESSION: Final = 0.35
HOURS_CUT: Final = 0.3
"""Share of those in work whose hours a recession cuts."""
INCOME_LEFT: Final = 0.75
DEBTS_IN_RECESSION: Final = 1.3
"""What old debts with variable rates cost then, as a multiple of what they cost before."""


@dataclass(frozen=True, slots=True)
class Application:
    """One request for a loan. `debt_to_income` includes the loan's own instalment."""

    income: float
    debt_to_income: float
    amount: float
    months: int
    purpose: str

    @property
    def burden(self) -> float:
        """The amount in monthly incomes."""
        return self.amount / self.income


def application(person: Applicant, chance: np.random.Generator, *, recession: bool) -> Application:
    """The application that `person` makes on the day to which `chance` belongs."""
    wish, term, purpose = float(chance.normal()), float(chance.random()), float(chance.random())
    income = round(person.income * (INCOME_LEFT if recession and hours_cut(person) else 1.0), 2)
    # The careful earn more and are offered more, so they plan larger things.
    incomes = math.exp(1.05 + 0.12 * person.care + 0.6 * wish)
    amount = min(max(round(person.income * incomes, -2), 500.0), 60_000.0)
    months = TERMS[min(int(term * 4 + amount / 6_000.0), len(TERMS) - 1)]
    instalment = amount * (1.0 + (SURCHARGE_IN_RECESSION if recession else SURCHARGE)) / months
    debts = person.debts * person.income * (DEBTS_IN_RECESSION if recession else 1.0)
    return Application(
        income=income,
        debt_to_income=round(min((debts + instalment) / income, 5.0), 3),
        amount=amount,
        months=months,
        purpose=_chosen(purpose, IN_RECESSION if recession else USUAL),
    )


def hours_cut(person: Applicant) -> bool:
    return person.work in ("permanent", "temporary", "self-employed") and person.exposure < HOURS_CUT


def overdrawn_days(person: Applicant, *, recession: bool) -> float:
    """Days of the last 90 on which the current account was overdrawn."""
    return min(90.0, person.overdrawn_days + (4.0 + 6.0 * hours_cut(person) if recession else 0.0))


def request_of(person: Applicant, asked: Application) -> dict[str, Value]:
    """What the application form says; without a credit score where the bureau has none."""
    score = person.file.credit_score
    known: Mapping[str, Value] = {} if score is None else {"credit_score": score}
    return {
        **known,
        "monthly_income": asked.income,
        "debt_to_income": asked.debt_to_income,
        "loan_amount": asked.amount,
        "loan_months": float(asked.months),
        "purpose": asked.purpose,
        "employment": person.work,
        "months_in_job": float(person.months_in_job),
        "age_band": person.age_band,
        "residence": person.residence,
    }


def _chosen(place: float, shares: tuple[float, ...]) -> str:
    ends = np.cumsum(shares)
    return PURPOSES[min(int(np.searchsorted(ends, place, side="right")), len(PURPOSES) - 1)]
