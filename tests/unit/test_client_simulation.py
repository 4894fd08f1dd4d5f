"""What the simulation sends, seen from the service."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from services.core.features import Reading
from services.core.world import Caller, PastCase, Truth
from services.traffic.client import PredictionClient
from services.traffic.simulate import DayReport, Simulation
from tests.toy import NOON
from tests.traffic_doubles import MovedClock, RecordingService, running


class HourlyWorld:
    """One caller an hour; everybody leaves after a day and a half, unless somebody acts."""

    def __init__(self) -> None:
        self.known_events: dict[str, str] = {}

    def history(self, *, rows: int) -> list[PastCase]:
        return []

    def day(self, number: int, *, calls: int) -> list[Caller]:
        return [self._caller(NOON + timedelta(days=number, hours=hour), hour) for hour in range(calls)]

    def truth(self, caller: Caller, *, action: str) -> Truth:
        value = "left" if action == "none" else "stayed"
        return Truth(value=value, known_at=caller.asked_at + timedelta(hours=36))

    def _caller(self, asked_at: datetime, hour: int) -> Caller:
        feed = {"visits": Reading(float(hour), asked_at - timedelta(hours=1))}
        return Caller(entity_id=f"user-{hour}", asked_at=asked_at, request={"plan": "monthly"}, feed=feed)


async def simulated(recorded: RecordingService, clock: MovedClock, *, days: int, **more: Any) -> Sequence[DayReport]:
    reports: list[DayReport] = []
    async with running(recorded) as url, PredictionClient(url, model="toy", patience_seconds=0.1) as client:
        simulation = Simulation(
            world=more.pop("world", HourlyWorld()),
            client=client,
            clock=clock,
            origin=NOON,
            calls_per_day=more.pop("calls_per_day", 24),
            on_day=reports.append,
            **more,
        )
        await simulation.run(days=days)
    return reports


async def test_every_caller_is_asked_about_once_after_its_feed_was_written() -> None:
    clock = MovedClock(NOON)
    recorded = RecordingService(now=clock.now)
    (report,) = await simulated(recorded, clock, days=1)
    assert (report.asked, report.unanswered, report.served_by) == (24, 0, {"rule": 24})
    assert len({each["request_id"] for each in recorded.predictions}) == 24
    assert set(recorded.written) == {f"user-{hour}" for hour in range(24)}


async def test_the_clock_only_moves_forward_and_never_runs_behind_a_caller() -> None:
    clock = MovedClock(NOON)
    await simulated(RecordingService(now=clock.now), clock, days=2)
    assert clock.moves == sorted(clock.moves)
    assert clock.moves[-1] == NOON + timedelta(days=2)


class QuietWorld(HourlyWorld):
    """Three callers within half an hour, and one an hour after the first."""

    def day(self, number: int, *, calls: int) -> list[Caller]:
        minutes = (0, 20, 30, 60)
        return [self._caller(NOON + timedelta(days=number, minutes=each), each) for each in minutes]


async def test_callers_share_a_time_only_within_half_an_hour_so_that_nobody_looks_hours_older() -> None:
    clock = MovedClock(NOON)
    recorded = RecordingService(now=clock.now)
    await simulated(recorded, clock, days=1, world=QuietWorld())
    asked = [NOON + timedelta(minutes=each) for each in (30, 60)]
    assert clock.moves[:2] == asked


async def test_an_outcome_is_sent_when_it_is_known_in_world_time_and_not_before() -> None:
    clock = MovedClock(NOON)
    recorded = RecordingService(now=clock.now)
    reports = await simulated(recorded, clock, days=3)
    assert [report.outcomes_sent for report in reports] == [0, 13, 24]
    assert reports[-1].outcomes_waiting == 72 - 37
    assert all(datetime.fromisoformat(each["observed_at"]) <= clock.now() for each in recorded.outcomes)


async def test_the_outcome_follows_from_the_action_that_the_caller_was_told() -> None:
    clock = MovedClock(NOON)
    recorded = RecordingService(now=clock.now, action="call")
    await simulated(recorded, clock, days=3)
    assert {each["value"] for each in recorded.outcomes} == {"stayed"}


async def test_two_runs_never_share_a_request_id() -> None:
    clock = MovedClock(NOON)
    recorded = RecordingService(now=clock.now)
    await simulated(recorded, clock, days=1)
    await simulated(recorded, clock, days=1)
    assert len({each["request_id"] for each in recorded.predictions}) == 48


async def test_callers_without_an_answer_are_counted_and_have_no_outcome() -> None:
    clock = MovedClock(NOON)
    recorded = RecordingService(now=clock.now, behaviour=lambda _: web.Response(status=500))
    reports = await simulated(recorded, clock, days=3)
    assert [(report.asked, report.unanswered) for report in reports] == [(24, 24)] * 3
    assert reports[-1].outcomes_waiting == 0


async def test_outcomes_that_got_no_answer_are_sent_again_later() -> None:
    clock = MovedClock(NOON)
    recorded = FlakyOutcomes(now=clock.now)
    reports = await simulated(recorded, clock, days=4)
    # Of 96 predictions, those asked about at least 36 hours before the end are known: 60 and the one at that hour.
    assert sum(report.outcomes_sent for report in reports) == 61
    assert len({each["prediction_id"] for each in recorded.outcomes}) == 61


class FlakyOutcomes(RecordingService):
    """Fails on the first three deliveries of outcomes."""

    def _instead(self, route: str) -> web.StreamResponse | None:
        answered = super()._instead(route)
        fails = route == "outcomes" and self.attempts[route] <= 3
        return web.Response(status=500) if fails else answered


async def test_the_driver_can_hold_the_world_between_two_days() -> None:
    clock, held = MovedClock(NOON), []

    async def hold(day: int) -> None:
        held.append((day, clock.now()))

    await simulated(RecordingService(now=clock.now), clock, days=2, between_days=hold)
    assert held == [(0, NOON + timedelta(days=1)), (1, NOON + timedelta(days=2))]


async def test_told_to_stop_it_ends_in_the_middle_of_a_day() -> None:
    clock, stop = MovedClock(NOON), asyncio.Event()
    recorded = StopsAfter(now=clock.now, stop=stop, answers=5)
    (report,) = await simulated(recorded, clock, days=10, stop=stop)
    assert 5 <= report.asked < 24
    assert clock.now() < NOON + timedelta(days=1)


class StopsAfter(RecordingService):
    """Tells the simulation to stop after so many predictions."""

    def __init__(self, *, now: Any, stop: asyncio.Event, answers: int) -> None:
        super().__init__(now=now)
        self._stop, self._answers = stop, answers

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        if len(self.predictions) + 1 >= self._answers:
            self._stop.set()
        return await super()._predict(request)


async def test_the_world_goes_no_faster_than_its_pace() -> None:
    clock = MovedClock(NOON)
    begun = asyncio.get_running_loop().time()
    await simulated(RecordingService(now=clock.now), clock, days=3, calls_per_day=1, days_per_second=20.0)
    assert asyncio.get_running_loop().time() - begun >= 3 / 20
