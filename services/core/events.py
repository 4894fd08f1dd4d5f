"""CloudEvents 1.0 envelopes of the two facts that Bellwether records."""

import os
import time
import uuid
from datetime import datetime
from typing import Final

import msgspec

from services.core.errors import UNDECODABLE, MalformedEvent
from services.core.outcomes import OutcomeObserved
from services.core.predictions import PredictionMade

PREDICTIONS_TOPIC: Final = "bellwether.predictions"
OUTCOMES_TOPIC: Final = "bellwether.outcomes"
DEAD_LETTERS_TOPIC: Final = "bellwether.dead-letters"
PREDICTION_MADE: Final = "bellwether.prediction.made.v1"
OUTCOME_OBSERVED: Final = "bellwether.outcome.observed.v1"

# Ids that must come out the same for the same content are named inside these namespaces, one for each kind of event:
# whatever a caller sends as one kind's content, the other's ids are out of reach.
PREDICTION_NAMESPACE: Final = uuid.UUID("6f1c2f0e-7c55-5d0a-9b0a-3f4f5e1f7a10")
OUTCOME_NAMESPACE: Final = uuid.uuid5(PREDICTION_NAMESPACE, "outcomes")

_encode = msgspec.json.Encoder().encode
_decoders: dict[str, msgspec.json.Decoder[PredictionMade] | msgspec.json.Decoder[OutcomeObserved]] = {
    PREDICTION_MADE: msgspec.json.Decoder(PredictionMade),
    OUTCOME_OBSERVED: msgspec.json.Decoder(OutcomeObserved),
}


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One envelope. `key` is the prediction id; `data` is the JSON of the fact.

    The prediction's event id is its prediction id; an outcome's id is named by its content and its model, so that
    the same outcome sent twice is one event, and one that was sent to the wrong model first can still reach the right.
    See docs/decisions/receipts.md.
    """

    id: str
    type: str
    source: str
    topic: str
    key: str
    time: datetime
    data: bytes


class LoggedEvent(msgspec.Struct, frozen=True):
    """An event and its position in the log; positions rise strictly, in the order of commits."""

    position: int
    event: Event


def prediction_event(made: PredictionMade) -> Event:
    return Event(
        id=made.prediction_id,
        type=PREDICTION_MADE,
        source=source_of(made.model),
        topic=PREDICTIONS_TOPIC,
        key=made.prediction_id,
        time=made.made_at,
        data=_encode(made),
    )


def outcome_event(outcome: OutcomeObserved, *, instead_of: str = "") -> Event:
    """`instead_of` is the id of the event whose place it takes, where the same outcome was recorded before that one."""
    content = (outcome.model, outcome.prediction_id, outcome.value, outcome.observed_at.isoformat(), instead_of)
    return Event(
        id=str(uuid.uuid5(OUTCOME_NAMESPACE, "".join(f"{len(part)}:{part}" for part in content))),
        type=OUTCOME_OBSERVED,
        source=source_of(outcome.model),
        topic=OUTCOMES_TOPIC,
        key=outcome.prediction_id,
        time=outcome.observed_at,
        data=_encode(outcome),
    )


def source_of(model: str) -> str:
    """The `source` of every event of this model."""
    return f"/bellwether/models/{model}"


def new_prediction_id() -> str:
    """A UUID of version 7 (RFC 9562): new ids sort behind older ones, so indexes of them grow at one end."""
    milliseconds, chance = time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10))
    value = milliseconds << 80 | 0x7 << 76 | (chance >> 64 & 0xFFF) << 64 | 0b10 << 62 | chance & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def requested_prediction_id(model: str, request_id: str) -> str:
    """The prediction id that a caller's own request id always leads to.

    A model's name has no control character, so the first one ends it, whatever is in the request id.
    """
    return str(uuid.uuid5(PREDICTION_NAMESPACE, f"{model}\x1f{request_id}"))


def fact_of(event: Event) -> PredictionMade | OutcomeObserved:
    """Decode an event's data.

    Raises:
        MalformedEvent: reason `unknown_type` or `undecodable`, of JSON that is nested too deeply as well.
    """
    decoder = _decoders.get(event.type)
    if decoder is None:
        raise MalformedEvent("unknown_type", f"found {event.type!r}, expected one of {', '.join(_decoders)}")
    try:
        return decoder.decode(event.data)
    except UNDECODABLE as error:
        raise MalformedEvent("undecodable", f"{event.type} {event.id}: {error}") from error
