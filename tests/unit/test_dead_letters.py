"""Dead letters: listed with their reasons, and tried again."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from monitoring.entrypoints.cli import main
from services.adapters.record_store import RecordStoreSql
from services.core.events import Event, prediction_event
from services.core.records import Batch, DeadLetter
from services.ingest.redeem import retry
from services.settings import Settings
from tests.toy import NOON, prediction


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def store(settings: Settings) -> Iterator[RecordStoreSql]:
    store = RecordStoreSql(settings.store_url)
    store.migrate()
    yield store
    store.close()


def letter(event: Event, *, reason: str = "oversized") -> DeadLetter:
    return DeadLetter(
        event_id=event.id,
        reason=reason,
        detail="too large",
        origin=f"forwarder@{event.id}",
        type=event.type,
        key=event.key,
        data=event.data,
        at=NOON,
    )


def bury(store: RecordStoreSql, *letters: DeadLetter) -> None:
    store.commit(Batch([], [], list(letters)), consumer="records", position=1)


def test_a_letter_that_can_be_read_becomes_a_row_and_is_a_letter_no_more(store: RecordStoreSql) -> None:
    event = prediction_event(prediction(1))
    bury(store, letter(event))

    retried = retry(store, limit=10, reason=None, now=NOON)

    assert (retried.tried, retried.stored, retried.dead) == (1, 1, 0)
    assert store.stored_event_ids([event.id]) == {event.id}
    assert store.dead_letters(limit=10) == []


def test_a_letter_that_cannot_be_read_stays_as_it_was(store: RecordStoreSql) -> None:
    poison = letter(msgspec.structs.replace(prediction_event(prediction(1)), data=b"?"), reason="undecodable")
    bury(store, poison)

    retried = retry(store, limit=10, reason=None, now=NOON)

    assert (retried.tried, retried.stored, retried.dead) == (1, 0, 1)
    assert store.dead_letters(limit=10) == [poison]


def test_only_letters_of_the_reason_asked_for_are_tried(store: RecordStoreSql) -> None:
    bury(store, letter(prediction_event(prediction(1))), letter(prediction_event(prediction(2)), reason="another"))

    assert retry(store, limit=10, reason="another", now=NOON).tried == 1
    assert [each.reason for each in store.dead_letters(limit=10)] == ["oversized"]


def test_the_command_lists_reason_and_origin_and_retries(store: RecordStoreSql, settings: Settings) -> None:
    event = prediction_event(prediction(1))
    bury(store, letter(event))

    def run(*arguments: str) -> str:
        return CliRunner().invoke(main, ["dead-letters", *arguments, "--home", str(settings.home)]).stdout

    assert f"oversized        forwarder@{event.id}" in run("list")
    assert [each["reason"] for each in json.loads(run("list", "--json"))] == ["oversized"]
    assert json.loads(run("retry", "--json")) == {"tried": 1, "stored": 1, "duplicates": 0, "dead": 0}
    assert run("list") == "no dead letters\n"
