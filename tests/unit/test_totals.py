"""Counting is renewed as seldom as it takes long."""

from monitoring.entrypoints.totals import Totals
from services.core.ports import RecordCounts


class SlowStore:
    """Each count takes so many seconds of its own clock, and finds one prediction more."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.found = 0

    def counts(self, _model: str) -> RecordCounts:
        self.now += self.seconds
        self.found += 1
        return RecordCounts(
            predictions=self.found,
            predictions_by={"model": self.found},
            outcomes=0,
            corrections=0,
            orphan_outcomes=0,
            dead_letters=0,
        )


def test_a_count_that_takes_a_second_is_renewed_once_in_a_minute() -> None:
    store = SlowStore(seconds=1.0)
    totals = Totals(store.counts, monotonic=lambda: store.now)

    found = []
    for _ in range(200):
        found.append(totals.of("toy").predictions)
        store.now += 1.0

    assert found[:50] == [1] * 50
    assert store.found == 4


def test_a_count_that_takes_no_time_is_always_new() -> None:
    store = SlowStore(seconds=0.0)
    totals = Totals(store.counts, monotonic=lambda: store.now)

    assert [totals.of("toy").predictions for _ in range(3)] == [1, 2, 3]


def test_each_model_is_counted_by_itself() -> None:
    store = SlowStore(seconds=1.0)
    totals = Totals(store.counts, monotonic=lambda: store.now)

    assert [totals.of(model).predictions for model in ("toy", "other", "toy")] == [1, 2, 1]
