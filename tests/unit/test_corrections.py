"""What the door tells of an outcome is what its log knows, and what the record store will make of it."""

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.record_store import RecordStoreSql
from services.core.events import Event, fact_of, outcome_event, requested_prediction_id
from services.core.outcomes import OutcomeObserved
from services.ingest.apply import apply
from services.metrics import ServingMetrics
from services.serving.outbox import Outbox
from services.serving.outcomes import OutcomeRecorder
from tests.toy import NOON, prediction, toy_spec

PREDICTION = prediction(1)
HOUR = timedelta(hours=1)


class Door:
    """A machine's log, on which several workers record, and what a record store makes of it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.log = EventLogSqlite(home / "events.sqlite")
        self.registry = CollectorRegistry()
        self.metrics = ServingMetrics(self.registry)
        self.now = NOON + 10 * HOUR
        self.worker = self.another_worker()

    def another_worker(self, *, now: Callable[[], datetime] | None = None) -> OutcomeRecorder:
        return OutcomeRecorder(
            spec=toy_spec(), outbox=Outbox(self.log), now=now or (lambda: self.now), metrics=self.metrics
        )

    async def tell(self, *values: str, hours: float = 1.0) -> list[str]:
        """One call for each."""
        return [(await self.worker.observe(told(value, hours=hours))).result.value for value in values]

    async def tell_at_once(self, *values: str) -> list[str]:
        """One call for all of them."""
        return [each.result.value for each in await self.worker.observe_many([told(value) for value in values])]

    @property
    def events(self) -> list[Event]:
        return [each.event for each in self.log.read(after=0, limit=100)]

    def stored(self, *, turned: bool = False) -> str | None:
        """What counts in the end, in whatever order the events come and how often."""
        logged = self.log.read(after=0, limit=100)
        store = RecordStoreSql(f"sqlite:///{self._home / f'{uuid4()}.sqlite'}")
        store.migrate()
        for position, each in enumerate([*(reversed(logged) if turned else logged), *logged], 1):
            store.commit(apply([each], origin="test", now=NOON), consumer="c", position=position)
        store.commit(msgspec.structs.replace(apply([], origin="", now=NOON), predictions=[PREDICTION]), **AT)
        (row,) = store.judged("toy", made_from=NOON, made_until=NOON + HOUR)
        store.close()
        return row.outcome

    def counts(self) -> str | None:
        (counting,) = {self.stored(), self.stored(turned=True)}
        return counting


AT: Any = {"consumer": "c", "position": 1000}


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    door = Door(tmp_path)
    yield door
    door.log.close()


def told(value: str, *, hours: float = 1.0) -> dict[str, str]:
    at = NOON + timedelta(hours=hours)
    return {"prediction_id": PREDICTION.prediction_id, "value": value, "observed_at": at.isoformat()}


async def test_of_two_outcomes_of_the_same_moment_the_later_delivery_counts_and_is_called_a_correction(
    door: Door,
) -> None:
    assert await door.tell("left", "stayed") == ["accepted", "corrected"]
    assert door.counts() == "stayed"


async def test_an_outcome_that_goes_back_to_what_it_was_counts_again(door: Door) -> None:
    assert await door.tell("left", "stayed", "left", "stayed", "left") == ["accepted", *["corrected"] * 4]
    assert door.counts() == "left"


async def test_the_same_outcome_again_is_a_duplicate_and_no_event(door: Door) -> None:
    assert await door.tell("left", "left", "stayed", "stayed", "left", "left") == [
        *("accepted", "duplicate"),
        *("corrected", "duplicate"),
        *("corrected", "duplicate"),
    ]
    assert len(door.events) == 3


async def test_an_outcome_observed_later_corrects_and_one_observed_earlier_is_kept_beside_it(door: Door) -> None:
    assert await door.tell("left", hours=2) == ["accepted"]
    assert await door.tell("stayed", hours=3) == ["corrected"]
    assert await door.tell("left", hours=1) == ["kept_newer"]
    assert await door.tell("left", hours=2) == ["duplicate"]
    assert len(door.events) == 3
    assert door.counts() == "stayed"


@pytest.mark.parametrize("values", itertools.product(["left", "stayed"], repeat=4), ids="-".join)
async def test_the_rows_of_one_call_are_delivered_in_their_order(door: Door, values: tuple[str, ...]) -> None:
    results = await door.tell_at_once(*values)

    assert door.counts() == values[-1]
    assert results[0] == "accepted"
    assert set(results[1:]) <= {"corrected", "duplicate"}
    assert await door.tell(values[-1]) == ["duplicate"]


async def test_a_batch_that_is_sent_again_ends_as_it_did(door: Door) -> None:
    batch = [told("left"), told("stayed"), told("left", hours=0.5)]

    first = await door.worker.observe_many(batch)
    await door.worker.observe_many(batch)

    assert [each.result.value for each in first] == ["accepted", "corrected", "kept_newer"]
    assert door.counts() == "stayed"


async def test_a_clock_that_was_set_back_does_not_make_the_earlier_delivery_count(door: Door) -> None:
    await door.tell("left")
    door.now -= 5 * HOUR
    door.worker = door.another_worker()

    assert await door.tell("stayed", "left") == ["corrected", "corrected"]
    assert door.counts() == "left"


async def test_a_clock_that_stands_still_tells_deliveries_apart(door: Door) -> None:
    await door.tell("left", "stayed")
    facts = [fact_of(event) for event in door.events]

    times = [fact.recorded_at for fact in facts if isinstance(fact, OutcomeObserved)]
    assert times == [door.now, door.now + timedelta(microseconds=1)]


async def test_an_outcome_that_another_worker_has_recorded_is_known(door: Door) -> None:
    await door.tell("left")
    door.worker = door.another_worker()

    assert await door.tell("left", "stayed") == ["duplicate", "corrected"]


@pytest.mark.parametrize("seed", range(12))
async def test_behind_a_race_of_workers_whose_clocks_differ_the_next_delivery_counts(door: Door, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a shuffle
    skews = [timedelta(milliseconds=chance.uniform(-2, 2)) for _ in range(3)]
    workers = [door.another_worker(now=lambda skew=skew: door.now + skew) for skew in skews]  # type: ignore[misc]

    async def one() -> None:
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        await chance.choice(workers).observe(told(chance.choice(["left", "stayed"])))

    await asyncio.gather(*(one() for _ in range(12)))
    other = "left" if door.counts() == "stayed" else "stayed"

    assert await door.tell(other) == ["corrected"]
    assert door.counts() == other


async def test_outcomes_of_earlier_versions_are_recognised(door: Door) -> None:
    """Their ids had another form, and they do not say when they were recorded."""
    seen = OutcomeObserved(prediction_id=PREDICTION.prediction_id, model="toy", value="left", observed_at=NOON + HOUR)
    before = msgspec.structs.replace(outcome_event(seen), id="0e2f6a3c-2f0b-5b1e-9d55-7b1f6a0e8f11")
    door.log.append(before).result(10)

    assert await door.tell("left", "stayed", "left") == ["duplicate", "corrected", "corrected"]
    assert door.counts() == "left"


async def test_what_cannot_be_read_of_another_version_holds_up_nothing(door: Door) -> None:
    seen = OutcomeObserved(prediction_id=PREDICTION.prediction_id, model="toy", value="left", observed_at=NOON + HOUR)
    unreadable = msgspec.structs.replace(outcome_event(seen), id="unreadable", data=b'{"v2":1}')
    door.log.append(unreadable).result(10)

    assert await door.tell("stayed") == ["accepted"]


async def test_every_event_is_counted_and_every_delivery_by_what_became_of_it(door: Door) -> None:
    await door.tell("left", "left", "stayed", "left")
    await door.tell("left", hours=0.5)

    def count(name: str, **labels: str) -> float | None:
        return door.registry.get_sample_value(name, {"model": "toy"} | labels)

    assert count("bellwether_events_appended_total", type="outcome") == len(door.events)
    results = {result: count("bellwether_outcomes_total", result=result) for result in RESULTS}
    assert results == {"accepted": 1, "corrected": 2, "kept_newer": 1, "duplicate": 1}


RESULTS = ("accepted", "corrected", "kept_newer", "duplicate")


@pytest.mark.parametrize("separator", ["\x1f", "", ":", "1:"])
def test_no_request_id_leads_to_the_id_of_an_outcome(separator: str) -> None:
    seen = OutcomeObserved(prediction_id="p", model="toy", value="left", observed_at=NOON)
    parts = (seen.prediction_id, seen.value, seen.observed_at.isoformat())

    for request_id in (separator.join(parts), separator.join(parts) + separator, separator.join(("toy", *parts))):
        assert requested_prediction_id("toy", request_id) != outcome_event(seen).id


def test_outcomes_whose_parts_run_together_alike_have_ids_of_their_own() -> None:
    one = OutcomeObserved(prediction_id="p1", model="toy", value="left", observed_at=NOON)
    other = OutcomeObserved(prediction_id="p", model="toy", value="1left", observed_at=NOON)

    assert outcome_event(one).id != outcome_event(other).id
    assert outcome_event(one).id != outcome_event(one, instead_of="x").id


def test_a_request_id_leads_where_it_always_did() -> None:
    """Answers that earlier versions have recorded are found by it."""
    assert requested_prediction_id("toy", "order-1") == "2c1bed88-6410-5359-b4f2-035b1e91803d"
