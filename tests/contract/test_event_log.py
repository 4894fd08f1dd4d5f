"""What every event log promises. A further adapter joins by a line in `open_log`."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from services.adapters.event_log_sqlite import EventLogSqlite
from services.core.errors import ContentRefused, EventLogUnavailable
from services.core.events import Event, LoggedEvent, outcome_event, prediction_event
from services.core.outcomes import OutcomeObserved
from services.core.ports import Appended, EventLog, Settled
from tests.toy import NOON, prediction

ADAPTERS: dict[str, Callable[[Path], EventLog]] = {
    "sqlite": lambda directory: EventLogSqlite(directory / "events.sqlite"),
}


@pytest.fixture(params=ADAPTERS)
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], EventLog]]:
    """Opens the same log as often as a test asks, as several processes would."""
    opened: list[EventLog] = []

    def open_again() -> EventLog:
        opened.append(ADAPTERS[request.param](tmp_path))
        return opened[-1]

    yield open_again
    for log in opened:
        log.close()


@pytest.fixture
def log(open_log: Callable[[], EventLog]) -> EventLog:
    return open_log()


def event(number: int) -> Event:
    return prediction_event(prediction(number))


def append(log: EventLog, *numbers: int) -> list[int]:
    """Positions of events that are appended one by one, none waiting for another."""
    return [each.position for each in settled(log, *map(event, numbers)) if isinstance(each, Appended)]


def settled(log: EventLog, *events: Event) -> list[Settled]:
    return [each for future in [log.append(event) for event in events] for each in future.result(10)]


def test_what_was_appended_is_read_in_the_order_of_its_positions(log: EventLog) -> None:
    positions = append(log, 3, 1, 2)

    assert positions == sorted(set(positions))
    assert [each.event for each in log.read(after=0, limit=10)] == [event(3), event(1), event(2)]
    assert [each.position for each in log.read(after=0, limit=10)] == positions


def test_events_that_are_appended_together_have_positions_in_their_order(log: EventLog) -> None:
    together = log.append(event(2), event(1), event(3)).result(10)

    logged = log.read(after=0, limit=10)
    assert [each.event for each in logged] == [event(2), event(1), event(3)]
    assert [Appended(each.position) for each in logged] == together


def test_an_id_that_is_there_already_is_answered_with_the_event_that_has_it(log: EventLog) -> None:
    (position,) = append(log, 1)
    again = prediction_event(prediction(1, label="another"))

    assert log.append(again).result(10) == [Appended(position, event(1))]
    assert len(log.read(after=0, limit=10)) == 1


def test_of_an_id_that_is_appended_twice_at_once_the_first_wins_and_the_others_are_told(log: EventLog) -> None:
    append(log, 7)
    again = prediction_event(prediction(1, label="another"))

    found = settled(log, event(1), again, event(7), event(2))

    assert [each.existing for each in found if isinstance(each, Appended)] == [None, event(1), event(7), None]
    assert [each.event for each in log.read(after=0, limit=10)] == [event(7), event(1), event(2)]


def test_reading_after_a_position_leaves_out_what_came_before(log: EventLog) -> None:
    _, second, third = append(log, 1, 2, 3)

    assert [each.position for each in log.read(after=second, limit=10)] == [third]
    assert log.read(after=third, limit=10) == []
    assert log.ids(after=second, limit=10) == [(third, event(3).id)]


def test_the_limit_bounds_what_is_read(log: EventLog) -> None:
    append(log, *range(1, 6))

    assert len(log.read(after=0, limit=2)) == 2


def test_an_event_is_found_by_its_id_and_nothing_by_another(log: EventLog) -> None:
    append(log, 1)

    assert log.find(event(1).id) == event(1)
    assert log.find("nobody") is None


def outcome(value: str = "left", *, about: str = "p", model: str = "toy", hours: float = 0.0) -> Event:
    at = NOON + timedelta(hours=hours)
    return outcome_event(OutcomeObserved(prediction_id=about, model=model, value=value, observed_at=at))


def test_the_latest_outcomes_are_those_of_the_latest_moment_the_one_appended_last_first(log: EventLog) -> None:
    assert log.latest_outcomes("toy", "p") == []
    latest, beside = outcome("left", hours=2), outcome("stayed", hours=2)

    (about,) = append(log, 1)
    log.append(outcome(hours=1), latest, beside, outcome(hours=1.5)).result(10)

    assert log.latest_outcomes("toy", "p") == [LoggedEvent(about + 3, beside), LoggedEvent(about + 2, latest)]
    assert log.latest_outcomes("toy", "p", before=about + 3) == [LoggedEvent(about + 2, latest)]
    assert log.latest_outcomes("toy", "p", before=about + 1) == []


def test_the_latest_outcomes_are_of_that_prediction_and_that_model_alone(log: EventLog) -> None:
    log.append(outcome(about="q"), outcome(model="another"), event(1)).result(10)

    assert log.latest_outcomes("toy", "p") == []
    assert log.latest_outcomes("toy", event(1).key) == []


def test_the_end_is_the_newest_position_and_0_before_the_first(log: EventLog) -> None:
    assert log.end() == 0
    assert append(log, 1, 2)[-1] == log.end()


def test_a_log_keeps_its_identity_and_no_other_has_it(open_log: Callable[[], EventLog], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = EventLogSqlite(tmp_path / "other" / "events.sqlite")

    assert open_log().identity() == open_log().identity() != other.identity()
    other.close()


def test_the_position_before_a_moment_leaves_what_was_appended_since_behind_it(log: EventLog) -> None:
    began = datetime.now(UTC)
    append(log, 1, 2)
    between = datetime.now(UTC)
    append(log, 3)

    positions = [log.position_before(moment) for moment in (began, between, datetime.now(UTC))]

    assert positions == [0, 2, 3]


def test_two_writers_share_one_order_without_a_gap_for_a_reader(open_log: Callable[[], EventLog]) -> None:
    writers = [open_log(), open_log()]
    threads = [
        threading.Thread(target=append, args=(log, *range(1000 * place, 1000 * place + 200)))
        for place, log in enumerate(writers)
    ]
    for thread in threads:
        thread.start()
    seen: list[int] = []
    reader = open_log()
    while any(thread.is_alive() for thread in threads) or len(seen) < reader.end():
        seen += [each.position for each in reader.read(after=seen[-1] if seen else 0, limit=50)]

    assert len(seen) == 400
    assert seen == sorted(set(seen))


def test_what_was_appended_is_there_after_the_log_was_closed_and_opened(open_log: Callable[[], EventLog]) -> None:
    first = open_log()
    future = first.append(event(1))
    first.close()

    assert future.done()
    assert [each.event for each in open_log().read(after=0, limit=10)] == [event(1)]


def test_callers_that_give_up_stop_nobody_and_leave_no_event(log: EventLog) -> None:
    futures = [log.append(event(number)) for number in range(200)]
    kept = [number for number, future in enumerate(futures) if not future.cancel()]

    append(log, 1000)

    assert [each.event for each in log.read(after=0, limit=500)] == [event(number) for number in [*kept, 1000]]


@pytest.mark.parametrize(
    "changes",
    [{"time": datetime(2026, 3, 1)}, {"id": "\ud800"}, {"key": "a\udfff"}, {"type": 2**64}],  # noqa: DTZ001 - refused
    ids=["time", "id", "key", "type"],
)
def test_an_event_that_cannot_be_written_for_what_it_holds_is_refused_alone_and_for_good(
    log: EventLog, changes: dict[str, object]
) -> None:
    poison = msgspec.structs.replace(event(3), **changes)

    together = log.append(event(1), poison, event(2)).result(10)
    apart = settled(log, event(4), poison, event(5))

    assert [type(each) for each in together + apart] == [Appended, ContentRefused, Appended] * 2
    assert [each.event for each in log.read(after=0, limit=10)] == [event(number) for number in (1, 2, 4, 5)]


def test_an_append_to_a_closed_log_is_refused(log: EventLog) -> None:
    log.close()

    (refused, _) = log.append(event(1), event(2)).result(10)

    assert isinstance(refused, EventLogUnavailable)
    assert "closed" in str(refused)
