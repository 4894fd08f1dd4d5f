"""Events that no row can be made of, put where the consumer reads as an older version or another producer could."""

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

import msgspec

from monitoring.entrypoints.reports import event_account
from services import bootstrap
from services.core.events import Event, outcome_event, prediction_event
from services.core.outcomes import OutcomeObserved
from services.core.ports import RecordStore
from tests.faults.stage import Stage
from tests.toy import NOON, prediction
from tests.waiting import eventually

BURIED_SECONDS: Final = 60.0
LARGE: Final = secrets.token_hex(4_500)
"""Of chance: an index keeps a text that compresses well where it refuses one that does not."""
_DATA: Final[dict[str, tuple[bytes, bytes]]] = {
    "lone surrogate": (b'"user-1"', b'"\\ud800"'),
    "bytes of a surrogate": (b'"user-1"', b'"\xed\xa0\x80"'),
    "NUL": (b'"user-1"', b'"user\\u0000"'),
    "large text": (b'"user-1"', f'"{LARGE}"'.encode()),
    "before all time": (b'"2026-03-01T12:00:00Z"', b'"0001-01-01T00:00:00+23:00"'),
    "behind all time": (b'"2026-03-01T12:00:00Z"', b'"9999-12-31T23:59:59-23:00"'),
    "no zone": (b'"2026-03-01T12:00:00Z"', b'"2026-03-01T12:00:00"'),
    "wrong type": (b'"user-1"', b"[1]"),
    "huge number": (b'"control_share":', b'"control_share":1e999,"x":'),
    "impossible share": (b'"control_share":', b'"control_share":-1.0,"x":'),
    "deep": (b'"user-1"', b"[" * 100_000),
}
"""What of a sound prediction's data is replaced, and by what."""


def poison(where: str) -> list[Event]:
    """`where` is part of the ids."""
    outcome = outcome_event(_outcome(f"{where} x\x00y"))
    return [
        *(_changed(f"{where} {name}", *change) for name, change in _DATA.items()),
        outcome,
        outcome_event(_outcome(f"{where} {LARGE}")),
        msgspec.structs.replace(outcome_event(_outcome(where)), id=f"{where} {LARGE}"),
        prediction_event(prediction(1, prediction_id=f"{where} a\x00b")),
        prediction_event(prediction(1, prediction_id=f"{where} b{LARGE}")),
        msgspec.structs.replace(outcome, id=f"{where} type", type="a\x00b", data=b""),
    ]


@contextmanager
def poison_events(stage: Stage) -> Iterator[None]:
    """Some in the local log, to be forwarded, and some in Kafka at once."""
    settings = stage.serving.settings
    with closing(bootstrap.event_log(settings)) as log:
        log.append(*poison("logged")).result(10)
    with closing(bootstrap.event_sink(settings)) as sink:
        sink.deliver(poison("foreign"))
    yield


def poison_not_buried(stage: Stage) -> Iterator[str]:
    """Every one should be a letter that the audit's id finds, and nothing on its way or unaccounted for."""
    ids = [event.id for where in ("logged", "foreign") for event in poison(where)]
    with stage.store() as store:
        eventually(
            lambda: _buried(store, ids), what=f"all is buried, see the logs in {stage.home}", seconds=BURIED_SECONDS
        )
    account = event_account(stage.serving.settings)
    for name in ("in_flight", "unaccounted"):
        if account[name]:
            yield f"{account[name]} {name}: {account['examples']}"


def _buried(store: RecordStore, ids: list[str]) -> bool:
    return store.dead_event_ids(ids) == set(ids)


def _changed(identity: str, found: bytes, put: bytes) -> Event:
    event = prediction_event(prediction(1, prediction_id=identity, entity_id="user-1"))
    assert found in event.data, f"{identity}: nothing was changed"
    return msgspec.structs.replace(event, data=event.data.replace(found, put, 1))


def _outcome(prediction_id: str) -> OutcomeObserved:
    return OutcomeObserved(prediction_id=prediction_id, model="toy", value="left", observed_at=NOON)
