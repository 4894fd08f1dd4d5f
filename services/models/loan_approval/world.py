"""The simulated world of loan_approval: a small lender whose applicants ask for consumer loans.

Who applies stands in `population`, what for in `applications`, who pays in `behaviour`, what the feeds write in
`bureau`; each module states its assumptions. Here they meet, with time and with what may happen:

- Applications come in online, from early morning until midnight. Some people apply again within weeks.
- Whether the first instalment was paid is known at the end of the week of grace; a default that shows in the account
  earlier is reported earlier, from the due date on.
- A loan that is refused cannot default. Whether it would have is decided by the same throw of the dice, which nobody
  gets to see: this is what a control arm is for.
- Every answer is a function of the seed, the events and the question.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from services.core.clock import require_aware
from services.core.errors import SpecError
from services.core.features import Reading, Value
from services.core.predictions import NO_ACTION
from services.core.world import Caller, PastCase, Truth, WorldEvent
from services.models.loan_approval.applications import (
    Application,
    application,
    overdrawn_days,
    request_of,
)
from services.models.loan_approval.behaviour import DAYS_PER_YEAR, chance_of_default
from services.models.loan_approval.bureau import report, statements
from services.models.loan_approval.chance import Stream, generator
from services.models.loan_approval.population import Applicant, applicant
from services.models.loan_approval.spec import SPEC

RECESSION: Final = "recession"
BUREAU_OUTAGE: Final = "bureau_outage"
CAMPUS_CAMPAIGN: Final = "campus_campaign"
KNOWN_EVENTS: Final = {
    RECESSION: (
        "Interest rises and hours are cut; temporary staff, the self-employed, people new in their job and those who"
        " borrow many months' income default, and a good credit score no longer helps"
    ),
    BUREAU_OUTAGE: "The credit bureau answers nobody: no new scores in applications and no new reports in the feed",
    CAMPUS_CAMPAIGN: "Advertising at universities brings young applicants, many without a score; they pay as usual",
}
STORY: Final = (
    WorldEvent(name=BUREAU_OUTAGE, starts=15, ends=16),
    WorldEvent(name=RECESSION, starts=28),
)
"""A demonstration: once outcomes begin to come in the bureau is away for a day, and later a recession begins."""

# Keys of chance must not be negative, and history lies before day 0.
DAY_KEY: Final = 1_000_000
# 60 new applicants a day; applicant 0 came so long ago that no history reaches back.
NEW_PER_DAY: Final = 60
FIRST_DAY: Final = -15_000
# Days since somebody first applied, on average.
USUAL_ACQUAINTANCE: Final = 150.0
HISTORY_CALLS_PER_DAY: Final = 40
FIRST_DUE: Final = timedelta(days=14)
# A campaign: of two applicants it brings one, who is looked for among so many consecutive ones.
CAMPAIGN_SHARE: Final = 0.5
LOOKED_AT: Final = 60
YOUNG: Final = 25.0


def build_world(*, seed: int, origin: datetime, events: Sequence[WorldEvent]) -> "LendingWorld":
    """The world in which day 0 begins at `origin` (aware).

    Raises:
        SpecError: an event that this world does not know.
    """
    if unknown := {event.name for event in events} - set(KNOWN_EVENTS):
        raise SpecError(f"found event {', '.join(sorted(unknown))}, expected some of {', '.join(KNOWN_EVENTS)}")
    return LendingWorld(seed=seed, origin=require_aware(origin, name="origin"), events=tuple(events))


@dataclass(slots=True, kw_only=True)
class LendingWorld:
    """See the module's docstring. Built by `build_world`."""

    seed: int
    origin: datetime
    events: tuple[WorldEvent, ...]
    known_events: dict[str, str] = field(default_factory=lambda: dict(KNOWN_EVENTS))

    def history(self, *, rows: int) -> list[PastCase]:
        """The newest `rows` applications that were settled before the origin: everybody was lent to, then."""
        past = LendingWorld(seed=self.seed, origin=self.origin, events=())
        cases: list[PastCase] = []
        day = -1 - SPEC.task.outcome_delay.days
        while len(cases) < rows:
            callers = past.day(day, calls=HISTORY_CALLS_PER_DAY)
            cases.extend(past._case(caller) for caller in reversed(callers))
            day -= 1
        return cases[:rows][::-1]

    def day(self, number: int, *, calls: int) -> list[Caller]:
        chance = generator(self.seed, Stream.DAY, number + DAY_KEY, calls)
        # Six in the morning to midnight, most in the evening.
        hours = sorted((6.0 + 18.0 * chance.beta(2.5, 1.8, calls)).tolist())
        acquaintance = chance.exponential(USUAL_ACQUAINTANCE, calls)
        brought = chance.random(calls) < CAMPAIGN_SHARE
        moments = [number + hour / 24.0 for hour in hours]
        return [
            self._caller(self._who(moment, days, by_campaign=bool(each)), moment)
            for moment, days, each in zip(moments, acquaintance, brought, strict=True)
        ]

    def truth(self, caller: Caller, *, action: str) -> Truth:
        day = (caller.asked_at - self.origin) / timedelta(days=1)
        person = applicant(self.seed, _number(caller.entity_id))
        throw, moment = generator(self.seed, Stream.REPAYMENT, person.number, _key(day)).random(2)
        if action == NO_ACTION and throw < self._risk(person, day):
            known_after = FIRST_DUE + float(moment) * (SPEC.task.outcome_delay - FIRST_DUE)
            return Truth(value=SPEC.task.positive, known_at=caller.asked_at + known_after)
        return Truth(value=SPEC.task.negative, known_at=caller.asked_at + SPEC.task.outcome_delay)

    def _happens(self, name: str, day: float) -> bool:
        return any(
            event.name == name and event.starts <= day and (event.ends is None or day < event.ends)
            for event in self.events
        )

    def _who(self, day: float, acquaintance: float, *, by_campaign: bool) -> Applicant:
        first = int((day - FIRST_DAY - acquaintance) * NEW_PER_DAY)
        person = applicant(self.seed, first)
        if not (by_campaign and self._happens(CAMPUS_CAMPAIGN, day)):
            return person
        near = (applicant(self.seed, first + step) for step in range(LOOKED_AT))
        return next((each for each in near if each.age < YOUNG), person)

    def _caller(self, person: Applicant, day: float) -> Caller:
        asked_at = self.origin + timedelta(days=day)
        request = request_of(person, self._application(person, day))
        feed = self._feed(person, day, asked_at)
        if self._happens(BUREAU_OUTAGE, day):
            request.pop("credit_score", None)
        return Caller(entity_id=person.entity_id, asked_at=asked_at, request=request, feed=feed)

    def _feed(self, person: Applicant, day: float, asked_at: datetime) -> dict[str, Reading]:
        chance = generator(self.seed, Stream.BUREAU, person.number, _key(day))
        read = statements(self._overdrawn_days(person, day), asked_at=asked_at, chance=chance)
        if self._happens(BUREAU_OUTAGE, day):
            return read
        return report(person.file, asked_at=asked_at, chance=chance) | read

    def _application(self, person: Applicant, day: float) -> Application:
        chance = generator(self.seed, Stream.APPLICATION, person.number, _key(day))
        return application(person, chance, recession=self._happens(RECESSION, day))

    def _overdrawn_days(self, person: Applicant, day: float) -> float:
        return overdrawn_days(person, recession=self._happens(RECESSION, day))

    def _risk(self, person: Applicant, day: float) -> float:
        date = self.origin + timedelta(days=day)
        return chance_of_default(
            person,
            self._application(person, day),
            overdrawn_days=self._overdrawn_days(person, day),
            recession=self._happens(RECESSION, day),
            year_share=date.timetuple().tm_yday / DAYS_PER_YEAR,
        )

    def _case(self, caller: Caller) -> PastCase:
        found: dict[str, Value] = caller.request | {
            name: reading.value for name, reading in caller.feed.items() if reading.value is not None
        }
        return PastCase(
            entity_id=caller.entity_id,
            asked_at=caller.asked_at,
            features={name: found[name] for name in SPEC.feature_names if name in found},
            value=self.truth(caller, action=NO_ACTION).value,
        )


def _number(entity_id: str) -> int:
    return int(entity_id.rpartition("-")[2])


def _key(day: float) -> int:
    return int(day // 1) + DAY_KEY
