"""Who applies for loans in the simulated world, and what the bureau and the bank know of them.

Assumptions:

- People differ in one thing that nobody sees, how careful they are with money. It shows, blurred, in the credit
  score, in missed payments, in the use of credit cards and in the days on which an account is overdrawn.
- Care has nothing to do with age or origin. What differs by age and residence is how much is known: the bureau has no
  file on most newcomers and on many of the very young, and a thin one on others. One applicant in six has no score.
- A thin file gives a score that is worth less.
- Work follows age; income follows work and, a little, care.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.models.loan_approval.chance import Stream, generator
from services.models.loan_approval.features import FULL_FILE, NO_FILE, THIN_FILE

# Shares of each kind of employment up to an age, in the order of `WORK`.
WORK: Final = ("permanent", "temporary", "self-employed", "student", "retired", "not employed")
WORK_BY_AGE: Final = (
    (24, (0.30, 0.24, 0.03, 0.36, 0.00, 0.07)),
    (63, (0.60, 0.15, 0.16, 0.03, 0.00, 0.06)),
    (100, (0.14, 0.02, 0.08, 0.00, 0.75, 0.01)),
)
USUAL_INCOME: Final = {
    "permanent": 2400.0,
    "temporary": 1850.0,
    "self-employed": 2600.0,
    "student": 950.0,
    "retired": 1650.0,
    "not employed": 1050.0,
}
"""EUR per month, net: the median of each kind of employment."""
USUAL_MONTHS_IN_JOB: Final = {"permanent": 75.0, "temporary": 11.0, "self-employed": 60.0, "student": 9.0}
NEWCOMERS: Final = 0.13
SCORES: Final = (300.0, 850.0)


@dataclass(frozen=True, slots=True)
class BureauFile:
    """What the bureau has on somebody; the figures are None without a file."""

    kind: str
    credit_score: float | None = None
    missed_payments: float | None = None
    card_utilisation: float | None = None
    enquiries: float | None = None


@dataclass(frozen=True, slots=True)
class Applicant:
    """What stays the same about a person between applications."""

    number: int
    age: float
    years_here: float
    work: str
    months_in_job: int
    income: float
    """EUR per month in ordinary times."""
    debts: float
    """Share of the income that goes into debts without the loan that is applied for."""
    care: float
    """Standard normal; high is careful. Nobody sees it."""
    overdrawn_days: float
    file: BureauFile
    exposure: float
    """In [0, 1], drawn evenly: what a recession does to this person."""

    @property
    def entity_id(self) -> str:
        return f"applicant-{self.number:06d}"

    @property
    def age_band(self) -> str:
        bands = ((25, "18-24"), (35, "25-34"), (50, "35-49"), (65, "50-64"))
        return next((name for end, name in bands if self.age < end), "65 or older")

    @property
    def residence(self) -> str:
        bands = ((2, "under 2 years"), (5, "2 to 5 years"))
        return next((name for end, name in bands if self.years_here < end), "over 5 years")


def applicant(seed: int, number: int) -> Applicant:
    """Applicant `number` of the world with this seed."""
    chance = generator(seed, Stream.APPLICANT, number)
    care = float(chance.normal())
    age = 18.0 + 60.0 * float(chance.beta(1.5, 2.7))
    years_here = _years_here(chance, age)
    work = _work(chance, age)
    months_in_job = min(float(chance.exponential(USUAL_MONTHS_IN_JOB.get(work, 0.0))), 12.0 * (age - 17.0))
    return Applicant(
        number=number,
        age=age,
        years_here=years_here,
        work=work,
        months_in_job=int(months_in_job),
        income=USUAL_INCOME[work] * math.exp(0.1 * care + float(chance.normal(0.0, 0.28))),
        debts=max(0.0, float(chance.normal(0.17 - 0.03 * care, 0.09))),
        care=care,
        overdrawn_days=min(90.0, max(0.0, round(float(chance.normal(6.0 - 9.0 * care, 9.0))))),
        file=_file(chance, care, share=_filed(age, years_here)),
        exposure=float(chance.random()),
    )


def _years_here(chance: np.random.Generator, age: float) -> float:
    newcomer, years = float(chance.random()) < NEWCOMERS, 0.1 + float(chance.exponential(2.5))
    return min(years, age) if newcomer else age


def _work(chance: np.random.Generator, age: float) -> str:
    shares = next(shares for end, shares in WORK_BY_AGE if age < end)
    return str(chance.choice(WORK, p=shares))


def _filed(age: float, years_here: float) -> tuple[float, float]:
    """How likely there is no file, and at most a thin one."""
    if years_here < 2.0:
        return 0.62, 0.92
    if age < 23.0:
        return 0.5, 0.85
    return 0.1, 0.22


def _file(chance: np.random.Generator, care: float, *, share: tuple[float, float]) -> BureauFile:
    none, thin = share
    place, blur = float(chance.random()), float(chance.normal())
    missed, used, asked = (
        float(chance.poisson(math.exp(-1.1 - 0.8 * care))),
        float(chance.normal(0.45 - 0.16 * care, 0.2)),
        float(chance.poisson(math.exp(0.2 - 0.25 * care))),
    )
    if place < none:
        return BureauFile(NO_FILE)
    kind, error, shift = (THIN_FILE, 110.0, -45.0) if place < thin else (FULL_FILE, 70.0, 0.0)
    score = 605.0 + shift + 85.0 * care + error * blur
    return BureauFile(
        kind=kind,
        credit_score=float(round(min(max(score, SCORES[0]), SCORES[1]))),
        missed_payments=missed,
        card_utilisation=round(min(max(used, 0.0), 1.5), 2),
        enquiries=asked,
    )
