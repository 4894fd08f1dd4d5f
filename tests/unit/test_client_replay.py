"""What a replay sends, seen from the service, and what it trains on."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from aiohttp import web

from services.core.spec import Unavailable
from services.traffic.client import PredictionClient, Unanswered
from services.traffic.mapping import CsvRow
from services.traffic.replay import ReplayCounts, replay_rows, training_cases
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


async def test_outcomes_that_nobody_takes_end_the_replay_with_an_error() -> None:
    clock = MovedClock(NOON)
    with pytest.raises(Unanswered):
        await replayed(NoOutcomes(now=clock.now), clock, rows(3))


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


def test_a_gap_in_an_optional_feature_is_trained_on_as_it_is_served() -> None:
    taken = toy_spec()
    spec = toy_spec(features=(*taken.features[:3], replace(taken.feature("mood"), if_unavailable=Unavailable.OPTIONAL)))
    cases = training_cases([replace(ROW, feed={"visits": 2.0, "mood": None})], spec=spec, origin=NOON, rows_per_day=20)
    assert [case.features for case in cases] == [{"amount": 1.0, "plan": "monthly", "visits": 2.0}]


async def test_an_entity_is_as_old_when_it_is_replayed_as_it_was_at_the_decision() -> None:
    clock = MovedClock(NOON)
    recorded = RecordingService(now=clock.now)
    decided_at = NOON - timedelta(days=400)
    row = replace(ROW, decided_at=decided_at, started_at=decided_at - timedelta(hours=3))
    await replayed(recorded, clock, [row, replace(ROW, entity_id="ageless")])
    asked = {each["entity_id"]: each.get("started_at") for each in recorded.predictions}
    assert asked["ageless"] is None
    assert datetime.fromisoformat(str(asked["u"])) == clock.moves[0] - timedelta(hours=3)


def test_training_cases_are_in_order_and_settled_before_the_origin() -> None:
    spec = toy_spec()
    cases = training_cases(rows(30), spec=spec, origin=NOON, rows_per_day=10)
    asked = [case.asked_at for case in cases]
    assert asked == sorted(asked)
    assert asked[-1] + spec.task.outcome_delay < NOON
