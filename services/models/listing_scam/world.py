"""The simulated world of listing_scam: a marketplace that asks about every listing of a seller who is not yet trusted.

Who publishes stands in `sellers`, what is published in `listings`, what the feeds write in `feeds`; each module states
its assumptions. Here they meet, with time and with what may happen:

- Listings appear from six in the morning to nine at night. The application asks one to three minutes later.
- Of three questions one is a second one, about a listing of the same day: 76 to 125 minutes after publication somebody
  has reported it, or a buyer is about to pay. Listings that attract many people are asked about again most often.
- A scam is one whether it is held or not. Moderation knows it three hours to five days after publication; that a
  listing is honest is certain when the five days are over.
- A held listing is asked about again like any other. In a marketplace that hides it nobody would react to it.
- Nothing is remembered from question to question: seed, events and question give the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from services.core.clock import require_aware
from services.core.errors import SpecError
from services.core.features import Value
from services.core.predictions import NO_ACTION
from services.core.world import Caller, PastCase, Truth, WorldEvent
from services.models.listing_scam.chance import Topic, generator
from services.models.listing_scam.features import ASKED_BECAUSE, LISTING_AGE, PUBLICATION
from services.models.listing_scam.feeds import Trouble, readings
from services.models.listing_scam.listings import Listing, listing
from services.models.listing_scam.spec import SPEC

PAYMENT_LINKS: Final = "payment_links"
LATE_SELLER_FEED: Final = "late_seller_feed"
BROKEN_SELLER_FEED: Final = "broken_seller_feed"
STALLED_COUNTER: Final = "stalled_counter"
HOLIDAYS: Final = "holidays"
KNOWN_EVENTS: Final = {
    PAYMENT_LINKS: (
        "Sellers may send payment links; honest ones take them up, and most scammers change to hijacked old accounts,"
        " usual prices and tickets"
    ),
    LATE_SELLER_FEED: "The count of a seller's listings is 8 to 30 hours old",
    BROKEN_SELLER_FEED: "The count of a seller's listings is negative or missing",
    STALLED_COUNTER: "The counter of interactions stops half a minute after each publication",
    HOLIDAYS: "Presents are sold, many of them by people who have never sold before; scammers do as always",
}
STORY: Final = (
    WorldEvent(name=LATE_SELLER_FEED, starts=6, ends=7),
    WorldEvent(name=PAYMENT_LINKS, starts=14),
)
"""A demonstration: with the first outcomes in, a feed is late for a day; a week later scammers change for good."""

# Keys of chance must not be negative, and history lies before day 0.
DAY_KEY: Final = 20_000
NUMBERS_PER_DAY: Final = 100_000
HISTORY_CALLS_PER_DAY: Final = 60
# One question in three is a second one.
QUESTIONS_PER_SECOND_ONE: Final = 3
FIRST_QUESTION_MINUTES: Final = (1.0, 3.0)
SECOND_QUESTION_MINUTES: Final = (76.0, 125.0)
FIRST_FOUND: Final = timedelta(hours=3)


def build_world(*, seed: int, origin: datetime, events: Sequence[WorldEvent]) -> "Marketplace":
    """The world in which day 0 begins at `origin` (aware).

    Raises:
        SpecError: an event that this world does not know.
    """
    if unknown := {event.name for event in events} - set(KNOWN_EVENTS):
        raise SpecError(f"found event {', '.join(sorted(unknown))}, expected some of {', '.join(KNOWN_EVENTS)}")
    return Marketplace(seed=seed, origin=require_aware(origin, name="origin"), events=tuple(events))


@dataclass(slots=True, kw_only=True)
class Marketplace:
    """See the module's docstring. Built by `build_world`."""

    seed: int
    origin: datetime
    events: tuple[WorldEvent, ...]
    known_events: dict[str, str] = field(default_factory=lambda: dict(KNOWN_EVENTS))

    def history(self, *, rows: int) -> list[PastCase]:
        """The newest `rows` questions that were settled before the origin, from before any event."""
        past = Marketplace(seed=self.seed, origin=self.origin, events=())
        cases: list[PastCase] = []
        day = -1 - SPEC.task.outcome_delay.days
        while len(cases) < rows:
            callers = past.day(day, calls=HISTORY_CALLS_PER_DAY)
            cases.extend(past._case(caller) for caller in reversed(callers))
            day -= 1
        return cases[:rows][::-1]

    def day(self, number: int, *, calls: int) -> list[Caller]:
        chance = generator(self.seed, Topic.DAY, number + DAY_KEY, calls)
        second_ones = calls // QUESTIONS_PER_SECOND_ONE
        hours = np.sort(6.0 + 15.0 * chance.beta(2.2, 1.8, calls - second_ones))
        published = [self._at(number + float(hour) / 24.0) for hour in hours]
        listings = [self._listing(_number(number, place), at) for place, at in enumerate(published)]
        soon = chance.uniform(*FIRST_QUESTION_MINUTES, len(listings)).tolist()
        later = chance.uniform(*SECOND_QUESTION_MINUTES, len(listings)).tolist()
        again = set(_asked_again(chance, listings, second_ones))
        callers = [
            *(self._caller(*each) for each in zip(listings, published, soon, strict=True)),
            *(self._caller(listings[at], published[at], later[at]) for at in again),
        ]
        return sorted(callers, key=lambda caller: caller.asked_at)

    def truth(self, caller: Caller, *, action: str) -> Truth:  # noqa: ARG002 - holding a listing changes nothing about it
        published_at = _published_at(caller)
        what = self._listing(int(caller.entity_id.rpartition("-")[2]), published_at)
        if not what.is_scam:
            return Truth(value=SPEC.task.negative, known_at=published_at + SPEC.task.outcome_delay)
        found_after = FIRST_FOUND + what.found_after * (SPEC.task.outcome_delay - FIRST_FOUND)
        return Truth(value=SPEC.task.positive, known_at=published_at + found_after)

    def _at(self, day: float) -> datetime:
        return self.origin + timedelta(days=day)

    def _happens(self, name: str, at: datetime) -> bool:
        day = (at - self.origin) / timedelta(days=1)
        return any(
            event.name == name and event.starts <= day and (event.ends is None or day < event.ends)
            for event in self.events
        )

    def _listing(self, number: int, published_at: datetime) -> Listing:
        links, holidays = (self._happens(name, published_at) for name in (PAYMENT_LINKS, HOLIDAYS))
        return listing(self.seed, number, links=links, holidays=holidays)

    def _caller(self, what: Listing, published_at: datetime, minutes: float) -> Caller:
        asked_at = published_at + timedelta(minutes=minutes)
        first = minutes <= FIRST_QUESTION_MINUTES[1]
        question: dict[str, Value] = {
            ASKED_BECAUSE: PUBLICATION if first else what.asked_again_because,
            LISTING_AGE: round(minutes, 1),
        }
        return Caller(
            entity_id=what.entity_id,
            asked_at=asked_at,
            request=what.text | question,
            feed=readings(
                what,
                published_at=published_at,
                asked_at=asked_at,
                chance=generator(self.seed, Topic.FEED, what.number, int(first)),
                trouble=self._trouble(asked_at),
            ),
            started_at=published_at,
        )

    def _trouble(self, at: datetime) -> Trouble:
        return Trouble(
            broken_seller=self._happens(BROKEN_SELLER_FEED, at),
            late_seller=self._happens(LATE_SELLER_FEED, at),
            stalled_counter=self._happens(STALLED_COUNTER, at),
        )

    def _case(self, caller: Caller) -> PastCase:
        """The question as it could have been answered then: a count of the first hour only once that was over."""
        stored = {name: reading.value for name, reading in caller.feed.items() if reading.value is not None}
        found: dict[str, Value] = caller.request | stored
        age = caller.asked_at - _published_at(caller)
        known = [each.name for each in SPEC.features if each.known_after is None or age >= each.known_after]
        return PastCase(
            entity_id=caller.entity_id,
            asked_at=caller.asked_at,
            features={name: found[name] for name in known},
            value=self.truth(caller, action=NO_ACTION).value,
        )


def _number(day: int, place: int) -> int:
    return (day + DAY_KEY) * NUMBERS_PER_DAY + place


def _published_at(caller: Caller) -> datetime:
    if caller.started_at is None:
        raise ValueError(f"caller {caller.entity_id} does not say when the listing was published")
    return caller.started_at


def _asked_again(chance: np.random.Generator, listings: Sequence[Listing], how_many: int) -> list[int]:
    """Places of the listings about which a second question is asked: who attracts four people is twice as likely."""
    weights = np.array([1.0 + each.reactions / 4.0 for each in listings])
    return sorted(int(at) for at in chance.choice(len(listings), how_many, replace=False, p=weights / weights.sum()))
