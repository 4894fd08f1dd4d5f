"""Dead letters over Kafka: whatever an envelope holds, the letter has the id that the account looks for."""

from dataclasses import dataclass, field

import msgspec
import pytest

from services.adapters.event_log_kafka.cloud_events import (
    Headers,
    event_of,
    headers_of,
    headers_of_letter,
    letter_of,
    unreadable_letter,
)
from services.core.errors import MalformedEvent
from services.core.events import PREDICTIONS_TOPIC, Event, prediction_event
from services.core.letters import findable, keepable
from services.core.records import DeadLetter
from tests.toy import NOON, prediction

EVENT = prediction_event(prediction(1))
AWFUL = ["a\x00b", "x" * 9_000, "\x1b[2J", "é\x00"]


@dataclass
class Record:
    """A consumer's record, as the client hands it out."""

    headers: Headers = field(default_factory=lambda: headers_of(EVENT))
    key: bytes | None = b"key"
    value: bytes | None = b"{}"


def buried(record: Record) -> DeadLetter:
    with pytest.raises(MalformedEvent) as error:
        event_of(record, topic=PREDICTIONS_TOPIC)
    return unreadable_letter(record, error.value, origin="topic-0@7", now=NOON)


@pytest.mark.parametrize("awful", [each for each in AWFUL if "\x00" in each])
def test_an_event_that_is_unreadable_for_its_id_or_key_is_a_letter_under_the_id_that_finds_it(awful: str) -> None:
    named = msgspec.structs.replace(EVENT, id=awful)

    assert buried(Record(headers_of(named), key=awful.encode())).event_id == findable(awful)
    assert buried(Record(key=awful.encode())).event_id == EVENT.id
    assert buried(Record(value=None)).event_id == EVENT.id


@pytest.mark.parametrize("headers", [[], [("ce_id", b"\xff")], [("ce_id", b"")]])
def test_a_record_whose_id_cannot_be_read_is_a_letter_under_the_place_where_it_was_found(headers: Headers) -> None:
    assert buried(Record(headers)).event_id == "topic-0@7"


@pytest.mark.parametrize("awful", AWFUL)
def test_a_letter_comes_back_from_its_topic_under_the_same_id_whatever_is_in_it(awful: str) -> None:
    letter = letter_about(msgspec.structs.replace(EVENT, id=awful, key=awful, type=awful), detail=awful)

    read = letter_of(Record(headers_of_letter(letter), value=letter.data))

    assert read == keepable(letter)
    assert read.event_id == findable(awful)


def letter_about(event: Event, *, detail: str) -> DeadLetter:
    return DeadLetter(
        event_id=event.id,
        reason="oversized",
        detail=detail,
        origin=f"forwarder@{event.id}",
        type=event.type,
        key=event.key,
        data=event.data,
        at=NOON,
    )
