"""Who the customers of the simulated world are, and what they look like on a given day.

Assumptions, all shaped after the marginals of the Telco file:

- Customers sign at a constant rate of eight a day, so about 17,500 are within their first six years.
- Newcomers and veterans are asked about more often than those in between.
- A customer's traits stay; the commitment grows: the longer a customer has stayed, the longer the contract.
  Who commits early also books the protective options, and who has fibre commits late.
- The price is the sum of what is booked, so charges follow from services, as on an invoice.
- A customer who left may sign again under the same number, so nobody disappears from the calls.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.core.features import Value
from services.models.churn.randomness import Stream, draws

SIGNED_PER_DAY: Final = 8
DAYS_PER_MONTH: Final = 30.44
LONGEST_TENURE: Final = 73.0
# Customer 0 signed so long ago that no history reaches back to it.
FIRST_SIGNED_DAY: Final = -20_000.0
PROTECTION: Final = ("online_security", "online_backup", "device_protection", "tech_support")
STREAMING: Final = ("streaming_tv", "streaming_movies")


@dataclass(frozen=True, slots=True)
class Customer:
    """What stays the same about a customer. `restless` in [0, 1]: 0 commits at once, 1 never does."""

    number: int
    signed_day: float
    gender: str
    senior: bool
    partner: bool
    dependents: bool
    internet: str
    phone: bool
    lines: bool
    protection: dict[str, bool]
    streaming: dict[str, bool]
    restless: float
    paperless: bool
    payment: str
    rounding: float
    """EUR per month by which the invoice differs from the price list."""
    price_sensitivity: float
    """In [0, 1], drawn evenly; what a change of prices makes the customer do."""

    @property
    def entity_id(self) -> str:
        return f"customer-{self.number:06d}"

    def tenure(self, day: float) -> float:
        """Months since the customer signed."""
        return (day - self.signed_day) / DAYS_PER_MONTH

    def services(self) -> dict[str, Value]:
        """The values of the service feed."""
        return {
            "phone_service": _yes(self.phone),
            "multiple_lines": _yes(self.lines) if self.phone else "no phone service",
            "internet_service": self.internet,
            **{name: self._option(booked) for name, booked in (self.protection | self.streaming).items()},
        }

    def household(self) -> dict[str, Value]:
        """The request's values that do not depend on the day."""
        return {
            "gender": self.gender,
            "senior_citizen": _yes(self.senior),
            "partner": _yes(self.partner),
            "dependents": _yes(self.dependents),
            "paperless_billing": _yes(self.paperless),
        }

    def list_price(self) -> float:
        """EUR per month before any change of prices."""
        protection, streaming = sum(self.protection.values()), sum(self.streaming.values())
        base = _base_price(self.internet, phone=self.phone)
        return base + 5 * self.lines + 5 * protection + 10 * streaming + self.rounding

    @property
    def booked_options(self) -> int:
        """How many protective and streaming options the customer pays for."""
        return sum(self.protection.values()) + sum(self.streaming.values())

    def contract(self, tenure: float) -> str:
        """The contract that the customer has after `tenure` months; it only ever gets longer."""
        two_year, some_year = _commitments(self.internet, tenure)
        if self.restless < two_year:
            return "two year"
        return "one year" if self.restless < some_year else "month-to-month"

    def _option(self, booked: bool, /) -> Value:
        return "no internet service" if self.internet == "no" else _yes(booked)


def customer(seed: int, number: int) -> Customer:
    """Customer `number` of the world with this seed."""
    chance = draws(seed, Stream.CUSTOMER, number)
    (gender, senior_, partner_, dependents_, internet_, phone_, lines_, restless, paper_, pay_, sensitivity) = (
        float(each) for each in chance.random(11)
    )
    senior = senior_ < 0.16
    partner = partner_ < 0.48
    internet = _internet(internet_, senior=senior)
    phone = internet != "dsl" or phone_ < 0.72
    return Customer(
        number=number,
        signed_day=FIRST_SIGNED_DAY + number / SIGNED_PER_DAY,
        gender="female" if gender < 0.495 else "male",
        senior=senior,
        partner=partner,
        dependents=dependents_ < _dependents_share(senior=senior, partner=partner),
        internet=internet,
        phone=phone,
        lines=phone and lines_ < (0.62 if internet == "fiber optic" else 0.32),
        protection=_booked(chance, PROTECTION, internet, share=0.86 - 0.7 * restless, fiber_discount=0.12),
        streaming=_booked(chance, STREAMING, internet, share=0.72 - 0.45 * restless, fiber_discount=-0.14),
        restless=restless,
        paperless=paper_ < {"dsl": 0.55, "fiber optic": 0.77, "no": 0.29}[internet],
        payment=_payment(pay_, internet, restless),
        rounding=float(chance.normal(0.0, 0.8)),
        price_sensitivity=sensitivity,
    )


def numbers_asked_about(chance: np.random.Generator, *, day: int, weekend: bool, calls: int) -> list[int]:
    """The customers about whom an application asks on a day: one number per call, some perhaps twice."""
    return [_signed_at(day - months * DAYS_PER_MONTH) for months in _tenures(chance, weekend=weekend, calls=calls)]


def _tenures(chance: np.random.Generator, *, weekend: bool, calls: int) -> list[float]:
    """Months since signing: one part newcomers, one part veterans, the rest spread evenly.

    Weekends bring a few more newcomers; they have no office hours to call in.
    """
    newcomers = 0.23 if weekend else 0.19
    part = chance.random(calls)
    evenly = chance.uniform(0.6, LONGEST_TENURE, calls)
    new = 1.0 + chance.exponential(2.5, calls)
    old = chance.uniform(69.0, LONGEST_TENURE, calls)
    months = np.where(part < newcomers, new, np.where(part < newcomers + 0.08, old, evenly))
    return [float(each) for each in np.minimum(months, LONGEST_TENURE)]


def _signed_at(day: float) -> int:
    return int((day - FIRST_SIGNED_DAY) * SIGNED_PER_DAY)


def _internet(chance: float, *, senior: bool) -> str:
    dsl, fiber = (0.23, 0.72) if senior else (0.37, 0.38)
    if chance < dsl:
        return "dsl"
    return "fiber optic" if chance < dsl + fiber else "no"


def _dependents_share(*, senior: bool, partner: bool) -> float:
    if senior:
        return 0.14 if partner else 0.01
    return 0.59 if partner else 0.11


def _booked(
    chance: np.random.Generator, names: tuple[str, ...], internet: str, *, share: float, fiber_discount: float
) -> dict[str, bool]:
    share -= fiber_discount if internet == "fiber optic" else 0.0
    drawn = chance.random(len(names))
    return {name: internet != "no" and bool(each < share) for name, each in zip(names, drawn, strict=True)}


def _payment(chance: float, internet: str, restless: float) -> str:
    """Restless customers and those with fibre pay by electronic check, those without internet by mail."""
    electronic = {"no": 0.08, "dsl": 0.27, "fiber optic": 0.51}[internet] * (0.5 + restless)
    mailed = {"no": 0.48, "dsl": 0.25, "fiber optic": 0.08}[internet]
    if chance < electronic:
        return "electronic check"
    if chance < electronic + mailed:
        return "mailed check"
    automatic = 1.0 - electronic - mailed
    return "bank transfer" if chance < electronic + mailed + automatic / 2 else "credit card"


def _commitments(internet: str, tenure: float) -> tuple[float, float]:
    """The shares of customers who have committed to two years, and to at least one, after `tenure` months."""
    head_start = {"no": 24.0, "dsl": 6.0, "fiber optic": -14.0}[internet]
    return _risen(tenure + head_start, middle=58.0), _risen(tenure + head_start, middle=34.0)


def _risen(months: float, *, middle: float) -> float:
    return float(1.0 / (1.0 + np.exp(-(months - middle) / 8.0)))


def _base_price(internet: str, *, phone: bool) -> float:
    if internet == "no":
        return 20.0
    if internet == "dsl":
        return 45.0 if phone else 25.0
    return 70.0


def _yes(value: bool, /) -> str:
    return "yes" if value else "no"
