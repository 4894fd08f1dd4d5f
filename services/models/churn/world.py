"""The simulated world of churn: a telephone company whose customers are asked about before they decide to leave.

Who the customers are stands in `population`, why they leave in `behaviour`, what the feeds write in `feeds`;
each module states its assumptions. Here they meet, with time and with what may happen:

- An application asks about customers between seven in the morning and ten at night.
- Who leaves does so at a moment spread evenly over the two weeks after the call; that nothing happened is known
  when the two weeks are over.
- What a customer does with and without an offer rests on the same throw of the dice, so the difference between
  two worlds that differ in one action is the effect of that action alone.
- Nothing here keeps state: every answer is a function of the seed, the events, and what is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from services.core.clock import require_aware
from services.core.errors import SpecError
from services.core.features import Value
from services.core.predictions import NO_ACTION
from services.core.world import Caller, PastCase, Truth, WorldEvent
from services.models.churn.behaviour import DAYS_PER_YEAR, chance_of_leaving
from services.models.churn.feeds import readings
from services.models.churn.population import Customer, customer, numbers_asked_about
from services.models.churn.pricing import billing_of, repriced_contract, repriced_payment
from services.models.churn.randomness import Stream, draws
from services.models.churn.spec import SPEC

PRICE_CHANGE: Final = "price_change"
BROKEN_BILLING_FEED: Final = "broken_billing_feed"
SLOW_BILLING_FEED: Final = "slow_billing_feed"
KNOWN_EVENTS: Final = {
    PRICE_CHANGE: (
        "Fibre and streaming become much dearer, some customers leave automatic payment and two-year contracts,"
        " and those who pay most and have stayed longest begin to leave"
    ),
    BROKEN_BILLING_FEED: "The billing feed writes negative charges or none at all",
    SLOW_BILLING_FEED: "The billing feed writes values that are four to nine days old",
}
STORY: Final = (
    WorldEvent(name=SLOW_BILLING_FEED, starts=10, ends=11),
    WorldEvent(name=PRICE_CHANGE, starts=21),
)
"""A demonstration: after a week of outcomes a feed is late for a day, and when that is past, prices change for good."""
# Draws of a day are keyed by its number, which must not be negative; history lies before day 0.
DAY_KEY: Final = 1_000_000
HISTORY_CALLS_PER_DAY: Final = 40


def build_world(*, seed: int, origin: datetime, events: Sequence[WorldEvent]) -> "ChurnWorld":
    """The world in which day 0 begins at `origin` (aware).

    Raises:
        SpecError: an event that this world does not know.
    """
    unknown = {event.name for event in events} - set(KNOWN_EVENTS)
    if unknown:
        raise SpecError(f"found event {', '.join(sorted(unknown))}, expected some of {', '.join(KNOWN_EVENTS)}")
    return ChurnWorld(seed=seed, origin=require_aware(origin, name="origin"), events=tuple(events))


@dataclass(slots=True, kw_only=True)
class ChurnWorld:
    """See the module's docstring. Built by `build_world`."""

    seed: int
    origin: datetime
    events: tuple[WorldEvent, ...]
    known_events: dict[str, str] = field(default_factory=lambda: dict(KNOWN_EVENTS))

    def history(self, *, rows: int) -> list[PastCase]:
        """The newest `rows` cases that were settled before the origin, at prices from before any change."""
        past = ChurnWorld(seed=self.seed, origin=self.origin, events=())
        last_settled = -1 - SPEC.task.outcome_delay.days
        cases: list[PastCase] = []
        day = last_settled
        while len(cases) < rows:
            cases.extend(reversed(past._cases_of(day)))
            day -= 1
        return cases[:rows][::-1]

    def day(self, number: int, *, calls: int) -> list[Caller]:
        chance = draws(self.seed, Stream.CALLS, number + DAY_KEY, calls)
        # Seven in the morning to ten at night, most around the afternoon.
        hours = sorted((7.0 + 15.0 * chance.beta(2.0, 2.0, calls)).tolist())
        numbers = numbers_asked_about(chance, day=number, weekend=self._date(number).weekday() >= 5, calls=calls)
        return [self._caller(each, number + hour / 24.0) for each, hour in zip(numbers, hours, strict=True)]

    def truth(self, caller: Caller, *, action: str) -> Truth:
        day = (caller.asked_at - self.origin) / timedelta(days=1)
        number = int(caller.entity_id.rpartition("-")[2])
        fate = draws(self.seed, Stream.FATE, number, int(day // 1) + DAY_KEY)
        throw, moment = float(fate.random()), float(fate.random())
        if throw < self._chance(number, day, action):
            return Truth(value=SPEC.task.positive, known_at=caller.asked_at + moment * SPEC.task.outcome_delay)
        return Truth(value=SPEC.task.negative, known_at=caller.asked_at + SPEC.task.outcome_delay)

    def _date(self, day: float) -> datetime:
        return self.origin + timedelta(days=day)

    def _happens(self, name: str, day: float) -> bool:
        return self._since(name, day) is not None

    def _since(self, name: str, day: float) -> float | None:
        """How many days ago the event began, or None while it does not happen."""
        for event in self.events:
            if event.name == name and event.starts <= day and (event.ends is None or day < event.ends):
                return day - event.starts
        return None

    def _caller(self, number: int, day: float) -> Caller:
        person = customer(self.seed, number)
        asked_at = self._date(day)
        return Caller(
            entity_id=person.entity_id,
            asked_at=asked_at,
            request=self._request(person, day),
            feed=readings(
                services=person.services(),
                billing=billing_of(person, day, repriced_days=self._since(PRICE_CHANGE, day)),
                asked_at=asked_at,
                chance=draws(self.seed, Stream.FEED, number, int(day // 1) + DAY_KEY),
                broken=self._happens(BROKEN_BILLING_FEED, day),
                slow=self._happens(SLOW_BILLING_FEED, day),
            ),
        )

    def _request(self, person: Customer, day: float) -> dict[str, Value]:
        tenure = person.tenure(day)
        contract, payment = person.contract(tenure), person.payment
        if self._happens(PRICE_CHANGE, day):
            contract, payment = repriced_contract(person, contract), repriced_payment(person)
        return person.household() | {
            "tenure_months": float(int(tenure)),
            "contract": contract,
            "payment_method": payment,
        }

    def _features(self, person: Customer, day: float) -> dict[str, Value]:
        """What is really so, whatever the feeds say; without `total_charges` before the first invoice."""
        billing = billing_of(person, day, repriced_days=self._since(PRICE_CHANGE, day))
        known = {name: value for name, value in billing.items() if value is not None}
        found = self._request(person, day) | person.services() | known
        return {name: found[name] for name in SPEC.feature_names if name in found}

    def _chance(self, number: int, day: float, action: str) -> float:
        person = customer(self.seed, number)
        return chance_of_leaving(
            self._features(person, day),
            repriced=self._happens(PRICE_CHANGE, day),
            booked_options=person.booked_options,
            year_share=self._date(day).timetuple().tm_yday / DAYS_PER_YEAR,
            action=action,
        )

    def _cases_of(self, day: int) -> list[PastCase]:
        """The settled cases of a day, in order; a customer before the first invoice is not complete, so none."""
        return [
            self._case(caller)
            for caller in self.day(day, calls=HISTORY_CALLS_PER_DAY)
            if caller.feed["total_charges"].value is not None
        ]

    def _case(self, caller: Caller) -> PastCase:
        number = int(caller.entity_id.rpartition("-")[2])
        day = (caller.asked_at - self.origin) / timedelta(days=1)
        return PastCase(
            entity_id=caller.entity_id,
            asked_at=caller.asked_at,
            features=self._features(customer(self.seed, number), day),
            value=self.truth(caller, action=NO_ACTION).value,
        )
