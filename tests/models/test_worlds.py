"""What every model's simulated world keeps, so that the loop can be judged by it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from services.core.errors import SpecError
from services.core.features import Value
from services.core.predictions import NO_ACTION
from services.core.spec import ModelSpec, Source
from services.core.world import Caller, PastCase, World, WorldEvent, WorldFactory
from services.models.discovery import story_of, world_of
from tests.models.conftest import ORIGIN, SEED, optional

CALLS = 60


def acting(spec: ModelSpec) -> str:
    """The action that the model takes at the highest score."""
    return spec.decide(1.0).action


def values_of(caller: Caller) -> dict[str, Any]:
    return caller.request | {name: reading.value for name, reading in caller.feed.items()}


def shares_of(world: World, days: Sequence[int], *, action: str, value: str) -> float:
    truths = [world.truth(caller, action=action) for day in days for caller in world.day(day, calls=CALLS)]
    return sum(truth.value == value for truth in truths) / len(truths)


def test_the_same_seed_gives_the_same_world_in_whichever_order_it_is_asked(
    spec: ModelSpec, factory: WorldFactory, world: World
) -> None:
    other = factory(seed=SEED, origin=ORIGIN, events=())
    backwards = {day: other.day(day, calls=CALLS) for day in (9, 4, 0)}
    other.history(rows=20)
    for day in (0, 4, 9):
        assert backwards[day] == world.day(day, calls=CALLS)
        for caller in backwards[day]:
            assert other.truth(caller, action=NO_ACTION) == world.truth(caller, action=NO_ACTION)


def test_another_seed_gives_another_world(factory: WorldFactory, world: World) -> None:
    assert factory(seed=SEED + 1, origin=ORIGIN, events=()).day(0, calls=CALLS) != world.day(0, calls=CALLS)


@pytest.mark.parametrize("day", [0, 1, 40])
def test_a_day_has_the_calls_asked_for_in_order_and_within_the_day(world: World, day: int) -> None:
    moments = [caller.asked_at for caller in world.day(day, calls=CALLS)]
    assert len(moments) == CALLS
    assert moments == sorted(moments)
    assert ORIGIN + timedelta(days=day) <= moments[0] <= moments[-1] < ORIGIN + timedelta(days=day + 1)


def test_requests_and_feeds_carry_the_features_of_the_spec_except_for_optional_ones(
    spec: ModelSpec, world: World
) -> None:
    requested = {each.name for each in spec.features if each.source is Source.REQUEST}
    online = {each.name for each in spec.online_features}
    for caller in world.day(3, calls=CALLS):
        assert requested - optional(spec) <= set(caller.request) <= requested
        assert online - optional(spec) <= set(caller.feed) <= online


def test_what_callers_and_feeds_say_can_be_sent(world: World) -> None:
    callers = world.day(3, calls=CALLS)
    assert msgspec.json.decode(msgspec.json.encode(callers), type=list[Caller]) == callers


def test_values_are_valid_and_fresh_while_nothing_happens(spec: ModelSpec, world: World) -> None:
    for day in (0, 5, 6, 30):
        for caller in world.day(day, calls=CALLS):
            check_valid(spec, {name: value for name, value in values_of(caller).items() if value is not None})
            for name, reading in caller.feed.items():
                limit = spec.feature(name).max_age
                assert limit is not None
                assert timedelta(0) <= caller.asked_at - reading.observed_at < limit


def test_hardly_any_needed_value_is_missing_while_nothing_happens(spec: ModelSpec, world: World) -> None:
    callers = [caller for day in range(5) for caller in world.day(day, calls=CALLS)]
    needed = set(spec.feature_names) - optional(spec)
    incomplete = [caller for caller in callers if None in [values_of(caller)[name] for name in needed]]
    assert len(incomplete) <= 0.03 * len(callers)


def test_some_entities_are_asked_about_again(world: World) -> None:
    asked = [caller.entity_id for day in range(40) for caller in world.day(day, calls=CALLS)]
    assert 0.5 * len(asked) < len(set(asked)) < len(asked)


def test_history_is_complete_valid_in_order_and_settled_before_the_origin(
    spec: ModelSpec, history: list[PastCase]
) -> None:
    asked = [case.asked_at for case in history]
    assert asked == sorted(asked)
    assert asked[-1] + spec.task.outcome_delay <= ORIGIN
    for case in history:
        assert list(case.features) == [name for name in spec.feature_names if name in case.features]
        assert set(spec.feature_names) - optional(spec) <= set(case.features)
        assert case.value in spec.task.classes
        check_valid(spec, case.features)


def test_a_longer_history_ends_with_the_shorter_one(world: World, history: list[PastCase]) -> None:
    assert world.history(rows=1500)[-len(history) :] == history


def test_history_knows_nothing_of_events(factory: WorldFactory, world: World) -> None:
    events = [WorldEvent(name=name, starts=-500.0) for name in world.known_events]
    assert factory(seed=SEED, origin=ORIGIN, events=events).history(rows=50) == world.history(rows=50)


def test_the_truth_is_known_after_the_call_and_no_later_than_the_outcome_delay(spec: ModelSpec, world: World) -> None:
    for caller in world.day(2, calls=CALLS):
        truth = world.truth(caller, action=NO_ACTION)
        assert truth.value in spec.task.classes
        assert caller.asked_at <= truth.known_at <= caller.asked_at + spec.task.outcome_delay


def test_both_classes_occur_and_neither_is_rare(spec: ModelSpec, world: World) -> None:
    assert 0.05 < shares_of(world, range(10), action=NO_ACTION, value=spec.task.positive) < 0.95


def test_acting_changes_outcomes_only_away_from_the_positive_class(spec: ModelSpec, world: World) -> None:
    for caller in (caller for day in range(10) for caller in world.day(day, calls=CALLS)):
        left_alone = world.truth(caller, action=NO_ACTION)
        acted_on = world.truth(caller, action=acting(spec))
        if left_alone.value == spec.task.negative:
            assert acted_on == left_alone


def test_every_event_says_what_it_does_and_an_unknown_one_is_refused(factory: WorldFactory, world: World) -> None:
    assert world.known_events
    assert all(len(sentence.split()) >= 5 for sentence in world.known_events.values())
    with pytest.raises(SpecError, match="meteor"):
        factory(seed=SEED, origin=ORIGIN, events=[WorldEvent(name="meteor", starts=0.0)])


def test_an_event_changes_its_own_days_and_no_other(factory: WorldFactory, world: World) -> None:
    for name in world.known_events:
        eventful = factory(seed=SEED, origin=ORIGIN, events=[WorldEvent(name=name, starts=5.0, ends=8.0)])
        for day in (4, 8):
            assert seen(eventful, day) == seen(world, day), name
        for day in (5, 7):
            assert seen(eventful, day) != seen(world, day), name


def test_an_event_without_an_end_stays(factory: WorldFactory, world: World) -> None:
    for name in world.known_events:
        eventful = factory(seed=SEED, origin=ORIGIN, events=[WorldEvent(name=name, starts=5.0)])
        assert seen(eventful, 60) != seen(world, 60), name


def test_the_story_changes_the_world_for_good_after_the_first_outcomes_and_only_once(spec: ModelSpec) -> None:
    story = story_of(spec.name)
    world_of(spec.name)(seed=SEED, origin=ORIGIN, events=story)
    (change,) = [event for event in story if event.ends is None]
    assert change.starts * timedelta(days=1) >= spec.task.outcome_delay + spec.drift.window


def seen(world: World, day: int) -> list[tuple[Caller, str]]:
    return [(caller, world.truth(caller, action=NO_ACTION).value) for caller in world.day(day, calls=CALLS)]


def check_valid(spec: ModelSpec, values: dict[str, Value]) -> None:
    problems = {name: spec.feature(name).kind.problem(value) for name, value in values.items()}
    assert not {name: problem for name, problem in problems.items() if problem}
