"""Events that earlier versions recorded are read for ever."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import pytest

from services.adapters.record_store import RecordStoreSql
from services.core.errors import InvalidRequest
from services.core.events import Event, LoggedEvent, fact_of, outcome_event, requested_prediction_id
from services.core.outcomes import OutcomeObserved
from services.core.predictions import PredictionMade, PredictionRequest
from services.ingest.apply import apply
from services.serving.corrections import Counting
from services.serving.repeats import require_repeated
from tests.toy import NOON, toy_spec

RECORDED: Final = Path(__file__).parents[1] / "recorded" / "events_without_receipts" / "events.jsonl"
"""An answer to a request with an id, and its outcome, by a version without `asked` and `recorded_at`."""


class Line(msgspec.Struct):
    id: str
    type: str
    source: str
    topic: str
    key: str
    time: datetime
    data: msgspec.Raw


def recorded() -> list[Event]:
    lines = [msgspec.json.decode(line, type=Line) for line in RECORDED.read_bytes().splitlines()]
    return [Event(**{**msgspec.structs.asdict(line), "data": bytes(line.data)}) for line in lines]


def test_recorded_events_become_rows_and_a_later_delivery_counts(tmp_path: Path) -> None:
    store = RecordStoreSql(f"sqlite:///{tmp_path / 'records.sqlite'}")
    store.migrate()
    later = OutcomeObserved(
        prediction_id=recorded()[0].id,
        model="toy",
        value="stayed",
        observed_at=NOON + timedelta(hours=1),
        recorded_at=NOON + timedelta(hours=2),
    )
    events = [*recorded(), outcome_event(later)]
    batch = apply([LoggedEvent(place, event) for place, event in enumerate(events, 1)], origin="test", now=NOON)

    store.commit(batch, consumer="c", position=3)

    assert batch.dead_letters == []
    (row,) = store.judged("toy", made_from=NOON, made_until=NOON + timedelta(days=1))
    assert (row.prediction.request_id, row.outcome) == ("order-1", "stayed")
    store.close()


def test_a_repeated_request_finds_its_recorded_answer_and_another_request_does_not() -> None:
    event, _ = recorded()
    made = fact_of(event)
    assert isinstance(made, PredictionMade)
    assert event.id == requested_prediction_id("toy", "order-1")
    asked = PredictionRequest(
        entity_id="user-1", features={"plan": "monthly", "amount": 10.0}, request_id="order-1", started_at=NOON
    )

    require_repeated(toy_spec(), asked, made)
    with pytest.raises(InvalidRequest, match=r"features\.plan"):
        require_repeated(toy_spec(), msgspec.structs.replace(asked, features={"amount": 10.0}), made)


def test_a_recorded_outcome_is_recognised_by_what_it_says() -> None:
    _, event = recorded()
    counting = Counting.among([LoggedEvent(1, event)])

    assert counting is not None
    assert counting.says(
        OutcomeObserved(prediction_id=event.key, model="toy", value="left", observed_at=NOON + timedelta(hours=1))
    )
