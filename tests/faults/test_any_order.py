"""However events are repeated, shuffled and delayed on their way, the store has each once and judges by the latest."""

from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from services.adapters.record_store import RecordStoreSql
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
        self.numbers, self.positions = count(1), count(1)
        self.outcomes: dict[str, OutcomeObserved] = {}
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

    @rule(target=events, number=made, value=st.sampled_from(TRUTHS), days=st.integers(0, 5))
    def observe(self, number: int, value: str, days: int) -> Event:
        """Also a second time with another truth or time: a correction."""
        at = NOON + days * DAY
        outcome = OutcomeObserved(
            prediction_id=prediction(number).prediction_id, model="toy", value=value, observed_at=at
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
            assert each.outcome == self._latest(each.prediction.prediction_id)

    def _latest(self, prediction_id: str) -> str | None:
        """Of several at the same moment the larger event id wins, so that every order of delivery ends alike."""
        known: list[tuple[datetime, str, str]] = [
            (outcome.observed_at, event_id, outcome.value)
            for event_id, outcome in self.outcomes.items()
            if outcome.prediction_id == prediction_id and event_id in self.delivered
        ]
        return max(known)[2] if known else None

    def teardown(self) -> None:
        self.store.close()
        self._directory.cleanup()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
