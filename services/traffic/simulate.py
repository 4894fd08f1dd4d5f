"""Lets a simulated world call the service: feeds write, applications ask, outcomes follow when they are known."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from services.core.errors import BellwetherError
from services.core.predictions import Answer
from services.core.world import Caller, World
from services.traffic.client import Outcome, PredictionClient, Refused, Unanswered
from services.traffic.clock import WorldClock
from services.traffic.in_turn import in_turn
from services.traffic.pending import PendingOutcomes

# Callers who ask at the same moment of world time: enough to keep a service of two workers busy.
ASKED_AT_ONCE: Final = 16
# The clock stands where the last of them asks, so to the first one everything looks older by as much. On a quiet day
# sixteen callers are hours apart, and an hour decides whether a feature with a `known_after` is known.
LONGEST_MOMENT: Final = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReport:
    """What a world day did. `asked` counts callers, `unanswered` those who got no answer; `seconds` are wall-clock.

    `outcomes_waiting` are held back until they become known in world time.
    """

    day: int
    asked: int
    unanswered: int
    served_by: dict[str, int]
    outcomes_sent: int
    outcomes_waiting: int
    seconds: float


def say_nothing(_: DayReport) -> None:
    """The default listener."""


async def go_on(_: int) -> None:
    """The default pause between two days: none."""


@dataclass(slots=True, kw_only=True)
class Simulation:
    """One world, one model, one client.

    Args:
        origin: when day 0 begins; the same that the world was built with.
        days_per_second: fastest pace, world days per second of wall-clock; None for as fast as the service answers.
        on_day: hears of every finished day.
        between_days: awaited after each day with its number; here the driver waits for monitoring to catch up.
        stop: set it to end; requests in flight are finished first.
        run_id: prefix of the request ids. It differs in every run, or a second run over the same records would be
            given the first one's answers.
    """

    world: World
    client: PredictionClient
    clock: WorldClock
    origin: datetime
    calls_per_day: int
    days_per_second: float | None = None
    on_day: Callable[[DayReport], None] = say_nothing
    between_days: Callable[[int], Awaitable[None]] = go_on
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    pending: PendingOutcomes = field(default_factory=PendingOutcomes)

    async def run(self, *, days: int | None = None) -> None:
        """Live through `days` days from day 0, or until `stop` is set."""
        day = 0
        while not self.stop.is_set() and (days is None or day < days):
            begun = asyncio.get_running_loop().time()
            report = await self._live_through(day)
            self.on_day(report)
            await self.between_days(day)
            await self._keep_pace(begun)
            day += 1

    async def _live_through(self, day: int) -> DayReport:
        loop = asyncio.get_running_loop()
        begun, outcomes_sent = loop.time(), 0
        answers: list[Answer | None] = []
        for number, callers in self._moments(day):
            self.clock.set(callers[-1].asked_at)
            outcomes_sent += await self._send_due()
            answers += await self._ask_about(callers, first=f"{self.run_id}-{day}-{number}")
        if not self.stop.is_set():
            self.clock.set(self.origin + timedelta(days=day + 1))
            outcomes_sent += await self._send_due()
        return DayReport(
            day=day,
            asked=len(answers),
            unanswered=answers.count(None),
            served_by=dict(Counter(answer.served_by.value for answer in answers if answer is not None)),
            outcomes_sent=outcomes_sent,
            outcomes_waiting=len(self.pending),
            seconds=loop.time() - begun,
        )

    def _moments(self, day: int) -> Iterator[tuple[int, Sequence[Caller]]]:
        """The day's callers in numbered groups, ending early when told to stop."""
        callers = self.world.day(day, calls=self.calls_per_day)
        start = 0
        while start < len(callers) and not self.stop.is_set():
            moment = _moment(callers[start : start + ASKED_AT_ONCE])
            yield start, moment
            start += len(moment)

    async def _ask_about(self, callers: Sequence[Caller], *, first: str) -> list[Answer | None]:
        async def ask(place: int, caller: Caller) -> Answer | None:
            return await self._ask(caller, request_id=f"{first}-{place}")

        return await in_turn(callers, entity=lambda caller: caller.entity_id, ask=ask)

    async def _ask(self, caller: Caller, *, request_id: str) -> Answer | None:
        # A feed that fails costs its values, not the question: the service answers without them. The client counts it.
        with suppress(BellwetherError):
            await self.client.write_features(caller.entity_id, caller.feed)
        try:
            answer = await self.client.predict(
                caller.entity_id, caller.request, request_id=request_id, started_at=caller.started_at
            )
        except BellwetherError:
            return None
        truth = self.world.truth(caller, action=answer.action)
        self.pending.add(Outcome(answer.prediction_id, truth.value, truth.known_at))
        return answer

    async def _send_due(self) -> int:
        due = self.pending.take_due(self.clock.now())
        if not due:
            return 0
        try:
            return await self.client.send_outcomes(due)
        except Unanswered:
            self.pending.put_back(due)
            return 0
        except Refused:
            # The same outcomes would be refused again; the client has counted it and kept the reason.
            return 0

    async def _keep_pace(self, begun: float) -> None:
        """Sleep until the day has had its time, or until told to stop."""
        if self.days_per_second is None:
            return
        left = begun + 1.0 / self.days_per_second - asyncio.get_running_loop().time()
        if left > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), left)


def _moment(callers: Sequence[Caller]) -> Sequence[Caller]:
    """Those at the front who ask near enough to one another to share a time."""
    latest = callers[0].asked_at + LONGEST_MOMENT
    return [caller for caller in callers if caller.asked_at <= latest]
