from datetime import timedelta

import msgspec
import pytest

from services.core.events import Event, LoggedEvent, outcome_event, prediction_event
from services.core.outcomes import OutcomeObserved
from services.ingest.apply import apply
from tests.toy import NOON, prediction

OUTCOME = OutcomeObserved(prediction_id="p", model="toy", value="left", observed_at=NOON)


def logged(*events: Event) -> list[LoggedEvent]:
    return [LoggedEvent(position, event) for position, event in enumerate(events, start=1)]


def changed(event: Event, **changes: object) -> Event:
    return msgspec.structs.replace(event, **changes)


def test_facts_become_rows_in_the_order_of_the_log() -> None:
    events = logged(prediction_event(prediction(2)), outcome_event(OUTCOME), prediction_event(prediction(1)))

    batch = apply(events, origin="log", now=NOON)

    assert batch.predictions == [prediction(2), prediction(1)]
    assert batch.outcomes == [(outcome_event(OUTCOME).id, OUTCOME)]
    assert batch.dead_letters == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": b"\xff{"}, "undecodable"),
        ({"data": b"{}"}, "undecodable"),
        ({"data": b""}, "undecodable"),
        ({"type": "bellwether.prediction.made.v2"}, "unknown_type"),
        ({"id": "another"}, "contradiction"),
    ],
)
def test_what_cannot_become_a_row_is_kept_whole_with_its_reason(changes: dict[str, object], reason: str) -> None:
    poison = changed(prediction_event(prediction(1)), **changes)

    (letter,) = apply(logged(poison), origin="log", now=NOON + timedelta(hours=1)).dead_letters

    assert (letter.reason, letter.origin, letter.event_id) == (reason, "log@1", poison.id)
    assert (letter.data, letter.type, letter.key) == (poison.data, poison.type, poison.key)


def test_poison_does_not_keep_its_neighbours_from_the_store() -> None:
    poison = changed(prediction_event(prediction(9)), data=b"?")
    events = logged(prediction_event(prediction(1)), poison, prediction_event(prediction(2)))

    batch = apply(events, origin="log", now=NOON)

    assert batch.predictions == [prediction(1), prediction(2)]
    assert len(batch.dead_letters) == 1


@pytest.mark.parametrize("time", ["2026-03-01T12:00:00", "0001-01-01T00:00:00+05:00"])
def test_a_time_that_is_no_instant_makes_a_dead_letter_and_does_not_block_the_batch(time: str) -> None:
    made = prediction_event(prediction(1))
    observed = outcome_event(OUTCOME)
    moment = b"2026-03-01T12:00:00Z"
    assert moment in made.data
    assert moment in observed.data
    poison = [changed(each, data=each.data.replace(moment, time.encode())) for each in (made, observed)]

    batch = apply(logged(*poison, prediction_event(prediction(2))), origin="log", now=NOON)

    assert [letter.reason for letter in batch.dead_letters] == ["no_instant", "no_instant"]
    assert batch.predictions == [prediction(2)]


def test_an_outcome_whose_envelope_speaks_of_another_prediction_is_a_dead_letter() -> None:
    event = changed(outcome_event(OUTCOME), key="another")

    (letter,) = apply(logged(event), origin="log", now=NOON).dead_letters

    assert letter.reason == "contradiction"


@pytest.mark.parametrize("share", [5e-324, 1e-300, 0.00009])
def test_an_answer_that_would_stand_for_too_many_is_a_dead_letter(share: float) -> None:
    event = prediction_event(prediction(1, control_share=share))

    (letter,) = apply(logged(event), origin="log", now=NOON).dead_letters

    assert letter.reason == "beyond_limits"
    assert apply(logged(prediction_event(prediction(1, control_share=0.0001))), origin="log", now=NOON).predictions
