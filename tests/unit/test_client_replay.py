"""What a replay sends, seen from the service, and what it trains on."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from aiohttp import web

from services.core.spec import Unavailable
from services.core.time_range import TimeRange
from services.traffic.client import PredictionClient, Unanswered
from services.traffic.history import CsvRow
from services.traffic.replay import ReplayCounts, left_out, replay_rows, training_cases
from tests.toy import NOON, toy_spec
from tests.traffic_doubles import MovedClock, RecordingService, running

ROW = CsvRow(
    entity_id="u", request={"amount": 1.0, "plan": "monthly"}, feed={"visits": 2.0, "mood": 0.0}, outcome="left"
)


def rows(number: int) -> list[CsvRow]:
    return [replace(ROW, entity_id=f"u{place}") for place in range(number)]


async def replayed(recorded: RecordingService, clock: MovedClock, history: list[CsvRow]) -> ReplayCounts:
    async with running(recorded) as url, PredictionClient(url, model="toy", patience_seconds=0.1) as client:
        return await replay_rows(
            history,
            client=client,
            clock=clock,
            origin=NOON,
            rows_per_day=20,
            outcome_delay=timedelta(days=2),
        )


async def test_rows_are_spread_over_world_time_and_their_outcomes_follow_after_the_delay() -> None:
    clock = MovedClock(NOON)
    recorded = RecordingService(now=clock.now)
    counts = await replayed(recorded, clock, rows(40))
    assert counts == ReplayCounts(rows_sent=40, unanswered=0, served_by={"rule": 40}, outcomes_sent=40, unmapped={})
    assert clock.now() == NOON + timedelta(days=2 + 2)
    observed = [datetime.fromisoformat(each["observed_at"]) for each in recorded.outcomes]
    assert min(observed) > NOON + timedelta(days=2)
    assert max(observed) == clock.now()


async def test_a_blank_in_the_feed_is_written_as_null() -> None:
    clock = MovedClock(NOON)
    recorded = RecordingService(now=clock.now)
    await replayed(recorded, clock, [replace(ROW, feed={"visits": None, "mood": 0.0})])
    assert recorded.written["u"]["visits"]["value"] is None


async def test_rows_without_a_known_outcome_are_asked_about_all_the_same() -> None:
    clock = MovedClock(NOON)
    counts = await replayed(RecordingService(now=clock.now), clock, [ROW, replace(ROW, outcome=None)])
    assert (counts.rows_sent, counts.outcomes_sent) == (2, 1)


async def test_strange_texts_are_counted_by_column() -> None:
    clock = MovedClock(NOON)
    history = [replace(ROW, unmapped=("Plan",)), replace(ROW, unmapped=("Plan", "Mood")), ROW]
    counts = await replayed(RecordingService(now=clock.now), clock, history)
    assert counts.unmapped == {"Plan": 2, "Mood": 1}


async def test_rows_that_got_no_answer_are_counted() -> None:
    clock = MovedClock(NOON)
    recorded = RecordingService(now=clock.now, behaviour=lambda _: web.Response(status=422))
    counts = await replayed(recorded, clock, rows(3))
    assert (counts.unanswered, counts.outcomes_sent) == (3, 0)


@pytest.mark.parametrize("order", ["in a row", "apart", "alone"])
async def test_each_row_is_asked_about_its_own_values(order: str) -> None:
    entities = {
        "in a row": [f"u{place // 4}" for place in range(80)],
        "apart": [f"u{place % 20}" for place in range(80)],
    }
    history = [
        replace(ROW, entity_id=entity, feed={"visits": float(place), "mood": 0.0})
        for place, entity in enumerate(entities.get(order, ["u"] * 80))
    ]
    clock = MovedClock(NOON)
    recorded = KeepsTheFirst(now=clock.now)
    await replayed(recorded, clock, history)
    assert sorted(recorded.seen) == [float(place) for place in range(80)]


async def test_a_replay_goes_on_where_the_clock_of_its_home_stands() -> None:
    clock = MovedClock(NOON + timedelta(days=400))
    recorded = KeepsTheFirst(now=clock.now)
    await replayed(recorded, clock, [replace(ROW, feed={"visits": float(place), "mood": 0.0}) for place in range(40)])
    assert sorted(recorded.seen) == [float(place) for place in range(40)]
    assert min(clock.moves) > NOON + timedelta(days=400)


async def test_a_row_whose_values_cannot_be_written_is_not_asked_about_those_of_another() -> None:
    clock = MovedClock(NOON)
    recorded = NoFeeds(now=clock.now)
    counts = await replayed(recorded, clock, rows(3))
    assert (counts.unanswered, recorded.predictions) == (3, [])


async def test_outcomes_that_nobody_takes_end_the_replay_with_an_error() -> None:
    clock = MovedClock(NOON)
    with pytest.raises(Unanswered):
        await replayed(NoOutcomes(now=clock.now), clock, rows(3))


class KeepsTheFirst(RecordingService):
    """Keeps of equal times the value that came first, as online stores may, and remembers what each question saw."""

    seen: list[float]

    async def _write(self, request: web.Request) -> web.StreamResponse:
        self.attempts["features"] += 1
        # So that writes of one moment overtake one another.
        for _ in range(self.attempts["features"] % 5):
            await asyncio.sleep(0)
        found, kept = (await request.json())["features"], self.written.get(request.match_info["entity"])
        if kept is None or found["visits"]["observed_at"] > kept["visits"]["observed_at"]:
            self.written[request.match_info["entity"]] = found
        return web.json_response({})

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        entity = (await request.json())["entity_id"]
        self.seen = [*getattr(self, "seen", []), self.written[entity]["visits"]["value"]]
        return await super()._predict(request)


class NoFeeds(RecordingService):
    """Takes no values."""

    def _instead(self, route: str) -> web.StreamResponse | None:
        return web.Response(status=422) if route == "features" else super()._instead(route)


class NoOutcomes(RecordingService):
    """Answers predictions and fails on outcomes."""

    def _instead(self, route: str) -> web.StreamResponse | None:
        return web.Response(status=500) if route == "outcomes" else super()._instead(route)


def test_training_takes_complete_and_valid_rows_with_a_known_outcome() -> None:
    history = [
        ROW,
        replace(ROW, feed={"visits": None, "mood": 0.0}),
        replace(ROW, request={"amount": 1.0}),
        replace(ROW, request={"amount": 1.0, "plan": "Weekly"}),
        replace(ROW, outcome=None),
        replace(ROW, entity_id="u5"),
    ]
    cases = training_cases(history, spec=toy_spec(), origin=NOON, rows_per_day=20)
    assert [case.entity_id for case in cases] == ["u", "u5"]
    assert list(cases[0].features) == list(toy_spec().feature_names)


def test_rows_that_training_leaves_out_are_counted_by_their_first_reason() -> None:
    history = [
        ROW,
        replace(ROW, feed={"visits": None, "mood": None}),
        replace(ROW, request={"amount": 1.0}, not_understood=("plan",)),
        replace(ROW, request={"amount": 1.0, "plan": "Weekly"}),
        replace(ROW, outcome=None),
        replace(ROW, outcome=None),
        replace(ROW, outcome=None, outcome_not_understood=True),
    ]
    counts = left_out(history, spec=toy_spec())
    assert counts == {
        "outcome blank": 2,
        "visits blank": 1,
        "plan not understood": 1,
        "plan invalid": 1,
        "outcome not understood": 1,
    }
    cases = training_cases(history, spec=toy_spec(), origin=NOON, rows_per_day=20)
    assert sum(counts.values()) + len(cases) == len(history)


def test_a_gap_in_an_optional_feature_is_trained_on_as_it_is_served() -> None:
    taken = toy_spec()
    spec = toy_spec(features=(*taken.features[:3], replace(taken.feature("mood"), if_unavailable=Unavailable.OPTIONAL)))
    cases = training_cases([replace(ROW, feed={"visits": 2.0, "mood": None})], spec=spec, origin=NOON, rows_per_day=20)
    assert [case.features for case in cases] == [{"amount": 1.0, "plan": "monthly", "visits": 2.0}]


async def test_an_entity_is_as_old_when_it_is_replayed_as_it_was_at_the_decision() -> None:
    clock = MovedClock(NOON)
    recorded = RecordingService(now=clock.now)
    decided_at = NOON - timedelta(days=400)
    row = replace(
        ROW,
        decided_at=TimeRange.exactly(decided_at),
        started_at=TimeRange.exactly(decided_at - timedelta(hours=3)),
    )
    await replayed(recorded, clock, [row, replace(ROW, entity_id="ageless")])
    asked = {each["entity_id"]: each.get("started_at") for each in recorded.predictions}
    assert asked["ageless"] is None
    asked_at = datetime.fromisoformat(recorded.written["u"]["visits"]["observed_at"])
    assert datetime.fromisoformat(str(asked["u"])) == asked_at - timedelta(hours=3)
    assert timedelta(0) <= clock.moves[0] - asked_at < timedelta(milliseconds=1)


def test_training_cases_are_in_order_and_settled_before_the_origin() -> None:
    spec = toy_spec()
    cases = training_cases(rows(30), spec=spec, origin=NOON, rows_per_day=10)
    asked = [case.asked_at for case in cases]
    assert asked == sorted(asked)
    assert asked[-1] + spec.task.outcome_delay < NOON
