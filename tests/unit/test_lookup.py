"""Look-ups keep to their budget, and nobody waits for a source that is known to be down."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from services.core.errors import FeatureSourceDown
from services.core.features import Reading, Readings, WriteResult
from services.serving.lookup import NOBODY, FeatureLookup
from tests.toy import NOON, toy_spec
from tests.waiting import until

FOUND = {"visits": Reading(1.0, NOON)}


class Source:
    """Answers as its `behaviour` does; `asked` are the entities it was asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.behaviour: Callable[[], object] = lambda: None

    async def read(self, model: str, entity_id: str, names: Sequence[str]) -> Readings:
        self.asked.append(entity_id)
        waits_for = self.behaviour()
        if isinstance(waits_for, asyncio.Future):
            await waits_for
        return FOUND

    async def write(
        self, model: str, entity_id: str, readings: Mapping[str, Reading], *, not_after: datetime | None = None
    ) -> dict[str, WriteResult]:
        raise AssertionError("look-ups do not write")

    async def close(self) -> None:
        raise AssertionError("look-ups do not close")


def silent() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


def refuse() -> None:
    raise FeatureSourceDown("connection refused")


def lookup(source: Source, *, budget: float = 0.005) -> FeatureLookup:
    return FeatureLookup(spec=toy_spec(), features=source, budget=timedelta(seconds=budget))


async def test_all_online_features_are_one_look_up() -> None:
    source = Source()
    assert await lookup(source).readings("u") == FOUND
    assert source.asked == ["u"]


async def test_a_model_without_online_features_asks_nobody() -> None:
    source = Source()
    spec = toy_spec(features=toy_spec().features[:2])
    assert await FeatureLookup(spec=spec, features=source, budget=timedelta(seconds=1)).readings("u") == {}
    assert source.asked == []


async def test_a_source_may_wait_within_the_budget() -> None:
    source = Source()
    source.behaviour = lambda: asyncio.ensure_future(asyncio.sleep(0.001))
    assert await lookup(source, budget=5).readings("u") == FOUND


async def test_a_silent_source_is_down_once_the_budget_is_used_up() -> None:
    source = Source()
    source.behaviour = silent
    down = await lookup(source).readings("u")
    assert isinstance(down, FeatureSourceDown)
    assert str(down) == "no answer within 5 ms"


async def test_while_a_source_is_down_callers_are_told_at_once_and_the_source_is_asked_about_nobody() -> None:
    source = Source()
    source.behaviour = refuse
    asking = lookup(source)
    for entity in ("a", "b", "c"):
        assert isinstance(await asking.readings(entity), FeatureSourceDown)
    await until(lambda: len(source.asked) > 1, what="a probe")
    assert source.asked[0] == "a"
    assert set(source.asked[1:]) == {NOBODY}


async def test_a_source_that_answers_again_is_asked_again() -> None:
    source = Source()
    source.behaviour = refuse
    asking = lookup(source)
    await asking.readings("u")
    source.behaviour = lambda: None
    await until(lambda: NOBODY in source.asked, what="a probe")
    await asyncio.sleep(0)
    assert await asking.readings("u") == FOUND


async def test_one_slow_moment_costs_one_caller_the_model() -> None:
    source = Source()
    slow = iter([silent])
    source.behaviour = lambda: moment() if (moment := next(slow, None)) else None
    asking = lookup(source)
    assert isinstance(await asking.readings("u"), FeatureSourceDown)
    await until(lambda: len(source.asked) == 2, what="a probe")
    await asyncio.sleep(0)
    assert await asking.readings("u") == FOUND


async def test_a_caller_that_goes_away_takes_its_look_up_along() -> None:
    source, waiting = Source(), silent()
    source.behaviour = lambda: waiting
    caller = asyncio.create_task(lookup(source, budget=60).readings("u"))
    await until(lambda: source.asked == ["u"], what="the look-up")
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert waiting.cancelled()
