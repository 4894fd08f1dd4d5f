"""However events are repeated, shuffled and delayed on their way, the store has each once and judges by the latest."""

from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from services.adapters.record_store import RecordStoreSql
from services.core.clock import EPOCH
from services.core.events import Event, LoggedEvent, outcome_event, prediction_event
from services.core.outcomes import OutcomeObserved
from services.ingest.apply import apply
from tests.toy import NOON, prediction

DAY = timedelta(days=1)
TRUTHS = ("left", "stayed")


class AnyOrder(RuleBasedStateMachine):
    """Events come into being in their order, and are delivered in any: some often, some late, some never."""

    made: Bundle[int] = Bundle("made")
    events: Bundle[Event] = Bundle("events")

    def __init__(self) -> None:
        super().__init__()
        self._directory = TemporaryDirectory(prefix="bellwether-")
        self.store = RecordStoreSql(f"sqlite:///{Path(self._directory.name) / 'records.sqlite'}")
        self.numbers, self.positions, self.moments = count(1), count(1), count(1)
        self.outcomes: dict[str, OutcomeObserved] = {}
        self.latest: dict[str, tuple[datetime, datetime, str, str]] = {}
        """Of each prediction: when its outcome was observed and recorded, the event's id, and what it was."""
        self.delivered: dict[str, Event] = {}

    @initialize()
    def migrate(self) -> None:
        self.store.migrate()

    @rule(target=made)
    def predict(self) -> int:
        return next(self.numbers)

    @rule(target=events, number=made)
    def record(self, number: int) -> Event:
        return prediction_event(prediction(number))

    @rule(target=events, number=made, value=st.sampled_from(TRUTHS), days=st.integers(0, 2), told=st.booleans())
    def observe(self, number: int, value: str, days: int, told: bool) -> Event:
        """Also a second time with another truth or time: a correction. Earlier versions tell no time of recording."""
        outcome = OutcomeObserved(
            prediction_id=prediction(number).prediction_id,
            model="toy",
            value=value,
            observed_at=NOON + days * DAY,
            recorded_at=NOON + next(self.moments) * DAY if told else None,
        )
        event = outcome_event(outcome)
        self.outcomes[event.id] = outcome
        return event

    @rule(batch=st.lists(events, max_size=8), back=st.integers(0, 3))
    def deliver(self, batch: list[Event], back: int) -> None:
        """In one commit, as often as each stands in it; now and then by somebody who stands behind the others."""
        logged = [LoggedEvent(next(self.positions), event) for event in batch]
        rows = apply(logged, origin="test", now=NOON)
        stored = self.store.commit(rows, consumer="test", position=max(0, next(self.positions) - back))
        new = {event.id: event for event in batch if event.id not in self.delivered}
        assert stored.stored == len(new)
        assert stored.duplicates == len(batch) - len(new)
        self.delivered |= new
        for event_id, outcome in rows.outcomes:
            rank = (outcome.observed_at, outcome.recorded_at or EPOCH, event_id, outcome.value)
            self.latest[outcome.prediction_id] = max(rank, self.latest.get(outcome.prediction_id, rank))

    @invariant()
    def each_is_stored_once(self) -> None:
        assert self.store.stored_event_ids(list(self.delivered)) == set(self.delivered)
        assert self.store.stored_twice() == 0

    @invariant()
    def each_prediction_is_judged_by_its_latest_outcome(self) -> None:
        judged = self.store.judged("toy", made_from=NOON - DAY, made_until=NOON + DAY)
        predicted = self.delivered.keys() - self.outcomes.keys()
        assert {each.prediction.prediction_id for each in judged} == predicted
        for each in judged:
            latest = self.latest.get(each.prediction.prediction_id)
            assert each.outcome == (None if latest is None else latest[-1])

    def teardown(self) -> None:
        self.store.close()
        self._directory.cleanup()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
