"""Events that are decided together reach the log together, and each caller hears of its own."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from services.adapters.event_log_sqlite import EventLogSqlite
from services.core.errors import EventLogUnavailable
from services.core.events import Event, prediction_event
from services.core.ports import Appended, Settled
from services.serving.outbox import GROUP, Outbox
from tests.toy import prediction


class HeldLog(EventLogSqlite):
    """Takes events and settles them when the test says so."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.taken: list[tuple[tuple[Event, ...], Future[list[Settled]]]] = []

    def append(self, *events: Event) -> Future[list[Settled]]:
        self.taken.append((events, Future()))
        return self.taken[-1][1]


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldLog]:
    log = HeldLog(tmp_path / "events.sqlite")
    yield log
    log.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLogSqlite]:
    log = EventLogSqlite(tmp_path / "events.sqlite")
    yield log
    log.close()


def event(number: int) -> Event:
    return prediction_event(prediction(number))


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_each_caller_hears_of_its_own_event(log: EventLogSqlite) -> None:
    outbox = Outbox(log)
    await outbox.append(event(3))
    appended = await asyncio.gather(*(outbox.append(event(number)) for number in range(20)))
    assert [each.existing for each in appended] == [event(3) if number == 3 else None for number in range(20)]
    assert len({each.position for each in appended}) == 20


async def test_events_that_come_within_a_few_turns_are_handed_over_together(held: HeldLog) -> None:
    outbox = Outbox(held)
    first = asyncio.create_task(outbox.append(event(1)))
    await turns(2)
    second = asyncio.create_task(outbox.append(event(2)))
    await turns(2)
    assert held.taken == []
    await turns(10)
    assert [events for events, _ in held.taken] == [(event(1), event(2))]
    first.cancel()
    second.cancel()


async def test_a_stream_of_events_without_a_pause_is_handed_over_all_the_same(held: HeldLog) -> None:
    outbox = Outbox(held)
    callers = []
    for number in range(GROUP + 5):
        callers.append(asyncio.create_task(outbox.append(event(number))))
        await turns(1)
    assert [len(events) for events, _ in held.taken] == [GROUP]
    for caller in callers:
        caller.cancel()


async def test_an_event_whose_caller_went_away_in_time_is_not_appended(log: EventLogSqlite) -> None:
    outbox = Outbox(log)
    leaving, staying = (asyncio.create_task(outbox.append(event(number))) for number in (1, 2))
    await turns(1)
    leaving.cancel()
    await staying
    assert [each.event for each in log.read(after=0, limit=10)] == [event(2)]


async def test_a_caller_that_goes_away_later_disturbs_nobody(held: HeldLog) -> None:
    outbox = Outbox(held)
    leaving, staying = (asyncio.create_task(outbox.append(event(number))) for number in (1, 2))
    await turns(10)
    leaving.cancel()
    held.taken[0][1].set_result([Appended(1), Appended(2)])
    assert (await staying).position == 2


async def test_a_log_that_refuses_is_heard_by_every_caller(log: EventLogSqlite) -> None:
    log.close()
    told = await asyncio.gather(*(Outbox(log).append(event(number)) for number in range(3)), return_exceptions=True)
    assert [type(each) for each in told] == [EventLogUnavailable] * 3
