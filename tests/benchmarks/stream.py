"""Events as a busy service makes them, and the ways that they take."""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Final

from services import bootstrap
from services.core.clock import wall_clock
from services.core.events import Event, new_prediction_id, outcome_event, prediction_event
from services.core.features import FeatureVerdict, Status
from services.core.outcomes import OutcomeObserved
from services.core.ports import EventLog, Settled
from services.core.predictions import NO_ACTION, Arm, PredictionMade, ServedBy
from services.core.spec import Categorical, Feature, ModelSpec
from services.ingest.consume import consume_once
from services.ingest.forward import forward_once
from services.settings import Settings
from tests.consuming import Heard

BEGAN: Final = datetime(2026, 1, 5, tzinfo=UTC)
EVERY: Final = timedelta(milliseconds=1)
"""Between two predictions."""
TOGETHER: Final = 32
"""Events of one hand-over to the log, as a busy worker makes them."""
UNDER_WAY: Final = 2
"""Hand-overs that wait for the log at the same time."""


def append_all(log: EventLog, made: Sequence[Event]) -> int:
    """Hand them over as a busy worker does; returns how many are in the log."""
    waiting: deque[Future[list[Settled]]] = deque()
    for start in range(0, len(made), TOGETHER):
        waiting.append(log.append(*made[start : start + TOGETHER]))
        if len(waiting) > UNDER_WAY:
            waiting.popleft().result(60)
    for each in waiting:
        each.result(60)
    return len(log.ids(after=0, limit=len(made) + 1))


def forward_all(settings: Settings) -> int:
    """Carry to Kafka whatever waits; returns how many events."""
    delivered = 0
    with closing(bootstrap.outbox(settings)) as outbox, closing(bootstrap.event_sink(settings)) as sink:
        while some := forward_once(outbox, sink, limit=settings.forward_batch):
            delivered += some
    return delivered


def consume_all(settings: Settings, events: int) -> int:
    """A consumer's whole work, its start and its joining of the group included."""
    heard = Heard()
    with closing(bootstrap.record_store(settings)) as store, closing(bootstrap.event_source(settings, store)) as source:
        while sum(heard.stored) < events:
            consume_once(source, store, limit=settings.consume_batch, now=wall_clock, observer=heard)
    return sum(heard.stored)


def sample_events(spec: ModelSpec) -> Iterator[Event]:
    """A prediction of every feature, and its outcome, again and again: about 1.5 kB and 0.2 kB."""
    verdicts = {feature.name: FeatureVerdict(Status.OK, _value(feature), 3600.0) for feature in spec.features}
    for number in itertools.count():
        made = PredictionMade(
            prediction_id=new_prediction_id(),
            model=spec.name,
            version="v1",
            entity_id=f"customer-{number}",
            served_by=ServedBy.MODEL,
            arm=Arm.TREATMENT,
            control_share=0.1,
            score=0.25,
            label=spec.task.negative,
            action=NO_ACTION,
            intended_action=NO_ACTION,
            features=verdicts,
            reasons=[],
            made_at=BEGAN + number * EVERY,
        )
        yield prediction_event(made)
        truth = OutcomeObserved(
            prediction_id=made.prediction_id, model=spec.name, value=spec.task.negative, observed_at=made.made_at
        )
        yield outcome_event(truth)


def _value(feature: Feature) -> float | str:
    return feature.kind.categories[0] if isinstance(feature.kind, Categorical) else 12.5
