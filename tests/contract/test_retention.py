"""What every record store promises of removing what has become too old."""

from datetime import datetime, timedelta

import msgspec
import pytest

from services.core.errors import LeaseLost
from services.core.events import outcome_event
from services.core.outcomes import OutcomeObserved
from services.core.ports import ALL_MODELS, Pruned, RecordStore, Removed
from services.core.records import Batch, DeadLetter, Judged, ResultKind
from tests.toy import NOON, drift_result, prediction

DAY = timedelta(days=1)
ALWAYS = timedelta(days=3650)


def recorded(
    store: RecordStore, days: list[int], *, model: str = "toy", outcome_after: timedelta = timedelta(hours=1)
) -> None:
    """A prediction at noon of each of these days, numbered by its day, and its outcome."""
    made = [
        msgspec.structs.replace(prediction(day), model=model, prediction_id=f"{model}-{day}", made_at=NOON + day * DAY)
        for day in days
    ]
    seen = [observed(each.prediction_id, each.made_at + outcome_after, model=model) for each in made]
    store.commit(Batch(made, seen, []), consumer="c", position=1)


def observed(
    prediction_id: str, at: datetime, *, value: str = "left", model: str = "toy"
) -> tuple[str, OutcomeObserved]:
    fact = OutcomeObserved(prediction_id=prediction_id, model=model, value=value, observed_at=at)
    return outcome_event(fact).id, fact


def kept(store: RecordStore, model: str = "toy") -> list[Judged]:
    return store.judged(model, made_from=NOON - ALWAYS, made_until=NOON + ALWAYS)


def test_what_is_older_goes_with_its_outcomes_and_what_is_not_stays_as_it_was(store: RecordStore) -> None:
    recorded(store, [0, 1, 2, 3])
    before = kept(store)

    gone = store.prune("toy", before=NOON + 2 * DAY, as_of=NOON, limit=100)

    assert gone == Pruned(predictions=2, outcomes=2)
    assert kept(store) == before[2:]
    counts = store.counts("toy")
    assert (counts.predictions, counts.outcomes, counts.corrections, counts.orphan_outcomes) == (2, 2, 0, 0)
    assert store.prune("toy", before=NOON + 2 * DAY, as_of=NOON, limit=100) == Pruned()


def test_an_outcome_goes_with_its_prediction_however_late_it_was(store: RecordStore) -> None:
    recorded(store, [0], outcome_after=30 * DAY)

    assert store.prune("toy", before=NOON + DAY, as_of=NOON, limit=100) == Pruned(predictions=1, outcomes=1)
    assert store.counts("toy").orphan_outcomes == 0


def test_one_call_removes_no_more_than_its_limit_and_the_oldest_first(store: RecordStore) -> None:
    recorded(store, [3, 0, 2, 1])

    assert store.prune("toy", before=NOON + 9 * DAY, as_of=NOON, limit=3).predictions == 3
    assert [row.prediction.prediction_id for row in kept(store)] == ["toy-3"]
    assert store.prune("toy", before=NOON + 9 * DAY, as_of=NOON, limit=3).predictions == 1


def test_other_models_lose_nothing(store: RecordStore) -> None:
    recorded(store, [0])
    recorded(store, [0], model="other")

    store.prune("toy", before=NOON + DAY, as_of=NOON, limit=100)

    assert len(kept(store, "other")) == 1
    assert store.counts("other").outcomes == 1


def test_no_prediction_that_stays_loses_its_outcome(store: RecordStore) -> None:
    recorded(store, [0, 1, 2, 3, 4])

    first = store.prune("toy", before=NOON + 9 * DAY, as_of=NOON, limit=2)

    assert first == Pruned(predictions=2, outcomes=2)
    assert [(row.prediction.prediction_id, row.outcome) for row in kept(store)] == [
        ("toy-2", "left"),
        ("toy-3", "left"),
        ("toy-4", "left"),
    ]


def test_an_outcome_that_was_observed_long_before_its_prediction_stays_with_it(store: RecordStore) -> None:
    recorded(store, [5, 6], outcome_after=-30 * DAY)
    store.commit(Batch([], [observed("nobody", NOON)], []), consumer="c", position=2)

    assert store.prune("toy", before=NOON + DAY, as_of=NOON, limit=1) == Pruned(outcomes=1)
    assert store.prune("toy", before=NOON + DAY, as_of=NOON, limit=1) == Pruned()
    assert [row.outcome for row in kept(store)] == ["left", "left"]


def test_an_outcome_that_was_sent_to_another_model_than_its_prediction_goes_in_its_time(store: RecordStore) -> None:
    recorded(store, [5])
    store.commit(Batch([], [observed("toy-5", NOON, model="other")], []), consumer="c", position=2)

    assert store.prune("other", before=NOON + DAY, as_of=NOON, limit=9) == Pruned(outcomes=1)
    assert [row.outcome for row in kept(store)] == ["left"]


def test_an_outcome_whose_prediction_never_came_goes_in_its_time(store: RecordStore) -> None:
    strays = [observed("nobody", NOON), observed("nobody", NOON + 5 * DAY, value="stayed"), observed("early", NOON)]
    store.commit(Batch([], strays, []), consumer="c", position=1)

    assert store.prune("toy", before=NOON + DAY, as_of=NOON, limit=100) == Pruned(outcomes=2)
    counts = store.counts("toy")
    assert (counts.outcomes, counts.corrections, counts.orphan_outcomes) == (1, 0, 1)


def test_results_go_by_the_end_of_their_window(store: RecordStore) -> None:
    store.save_results([drift_result(window_end=NOON), drift_result(window_end=NOON + 2 * DAY)])

    assert store.prune("toy", before=NOON + DAY, as_of=NOON, limit=100) == Pruned(results=1)
    assert [each.window_end for each in store.results("toy", ResultKind.DRIFT, limit=9)] == [NOON + 2 * DAY]


def test_dead_letters_go_by_the_time_of_their_burial(store: RecordStore) -> None:
    letters = [letter(number, NOON + number * DAY) for number in range(4)]
    store.commit(Batch([], [], letters), consumer="c", position=1)

    assert store.prune_dead_letters(before=NOON + 3 * DAY, as_of=NOON, limit=2) == 2
    assert store.prune_dead_letters(before=NOON + 3 * DAY, as_of=NOON, limit=2) == 1
    assert store.dead_letters(limit=9) == letters[3:]


def test_an_event_that_went_and_is_read_again_comes_back_once_and_goes_again(store: RecordStore) -> None:
    recorded(store, [0])
    store.prune("toy", before=NOON + DAY, as_of=NOON, limit=100)

    recorded(store, [0])
    recorded(store, [0])

    assert len(kept(store)) == 1
    assert store.prune("toy", before=NOON + DAY, as_of=NOON, limit=100) == Pruned(predictions=1, outcomes=1)


def test_who_has_lost_the_lease_removes_nothing(store: RecordStore) -> None:
    recorded(store, [0])
    lease = store.acquire("lifecycle/toy", holder="asleep", lasts=timedelta(0))
    assert lease is not None
    store.acquire("lifecycle/toy", holder="awake", lasts=DAY)

    with pytest.raises(LeaseLost):
        store.fenced(lease).prune("toy", before=NOON + DAY, as_of=NOON, limit=100)
    assert len(kept(store)) == 1


def test_what_was_removed_is_counted_for_ever_with_how_far_it_went(store: RecordStore) -> None:
    recorded(store, [0, 1, 2])
    assert store.removed("toy") == Removed(before=None)

    store.prune("toy", before=NOON + DAY, as_of=NOON + 9 * DAY, limit=100)
    store.prune("toy", before=NOON + 2 * DAY, as_of=NOON + 10 * DAY, limit=100)

    assert store.removed("toy") == Removed(before=NOON + 2 * DAY, predictions=2, outcomes=2)
    assert store.removed("toy", as_of=NOON + 9 * DAY) == Removed(before=NOON + DAY, predictions=1, outcomes=1)
    assert store.removed("other") == Removed(before=None)
    assert store.counts("toy").pruned == store.counts().pruned == 4
    assert store.counts("other").pruned == 0


def test_portions_of_one_day_are_counted_together_and_a_horizon_does_not_go_back(store: RecordStore) -> None:
    recorded(store, [0, 1, 2])

    store.prune("toy", before=NOON + 2 * DAY, as_of=NOON, limit=1)
    store.prune("toy", before=NOON + DAY, as_of=NOON, limit=1)
    store.prune("toy", before=NOON + 2 * DAY, as_of=NOON, limit=1)

    assert store.removed("toy") == Removed(before=NOON + 2 * DAY, predictions=2, outcomes=2)


def test_dead_letters_that_were_removed_are_counted_for_all_models(store: RecordStore) -> None:
    store.commit(Batch([], [], [letter(1, NOON)]), consumer="c", position=1)

    store.prune_dead_letters(before=NOON + DAY, as_of=NOON, limit=9)

    assert store.removed(ALL_MODELS) == Removed(before=NOON + DAY, dead_letters=1)


def test_who_has_lost_the_lease_notes_nothing_either(store: RecordStore) -> None:
    lease = store.acquire("lifecycle/toy", holder="asleep", lasts=timedelta(0))
    assert lease is not None
    store.acquire("lifecycle/toy", holder="awake", lasts=DAY)

    with pytest.raises(LeaseLost):
        store.fenced(lease).prune("toy", before=NOON + DAY, as_of=NOON, limit=100)
    assert store.removed("toy") == Removed(before=None)


def test_the_day_of_a_removal_is_known_whether_or_not_anything_went(store: RecordStore) -> None:
    assert store.removed_as_of(until=NOON) is None

    store.prune("toy", before=NOON - 9 * DAY, as_of=NOON, limit=100)
    store.prune("other", before=NOON - 9 * DAY, as_of=NOON + 500 * DAY, limit=100)

    assert store.removed_as_of(until=NOON + DAY) == NOON
    assert store.removed_as_of(until=NOON + 600 * DAY) == NOON + 500 * DAY


def test_room_that_nothing_needs_is_given_back_a_little_at_each_call(store: RecordStore) -> None:
    """PostgreSQL gives it to later rows by itself."""
    assert store.give_room_back() == 0
    recorded(store, list(range(6000)))
    while store.prune("toy", before=NOON + ALWAYS * 3, as_of=NOON, limit=1000).rows:
        pass

    given = []
    while bytes_ := store.give_room_back():
        given.append(bytes_)

    assert all(each <= 2**20 for each in given)
    assert kept(store) == []
    recorded(store, [1])
    assert len(kept(store)) == 1


def test_predictions_are_counted_of_one_model(store: RecordStore) -> None:
    recorded(store, [0, 1, 2])
    recorded(store, [0], model="other")

    assert store.predictions_kept("toy") == 3
    assert store.predictions_kept("nobody") == 0


def test_days_on_which_a_model_was_asked_are_told_once_each_and_oldest_first(store: RecordStore) -> None:
    recorded(store, [5, 0, 2, 700])
    again = msgspec.structs.replace(prediction(1), prediction_id="again", made_at=NOON + 2 * DAY + DAY / 4)
    store.commit(Batch([again], [], []), consumer="c", position=2)
    recorded(store, [3], model="other")
    midnight = NOON.replace(hour=0)

    assert store.days_made("toy", since=NOON - ALWAYS, until=NOON + 600 * DAY) == [
        midnight + number * DAY for number in (0, 2, 5)
    ]
    assert store.days_made("toy", since=NOON + DAY, until=NOON + 2 * DAY) == [midnight + 2 * DAY]
    assert store.days_made("toy", since=NOON + 6 * DAY, until=NOON + 600 * DAY) == []
    assert store.days_made("nobody", since=NOON - ALWAYS, until=NOON) == []


def test_results_and_answers_from_ahead_of_a_clock_are_not_its_newest(store: RecordStore) -> None:
    recorded(store, [0, 500])
    store.save_results([drift_result(window_end=NOON), drift_result(window_end=NOON + 500 * DAY)])

    (newest,) = store.results("toy", ResultKind.DRIFT, limit=1, until=NOON + DAY)

    assert newest.window_end == NOON
    assert store.last_made_at("toy", until=NOON + DAY) == NOON
    assert store.last_made_at("toy") == NOON + 500 * DAY


def letter(number: int, at: datetime) -> DeadLetter:
    return DeadLetter(
        event_id=f"event-{number}",
        reason="undecodable",
        detail="no JSON",
        origin=f"event-log@{number}",
        type="bellwether.prediction.made.v1",
        key="key",
        data=b"{",
        at=at,
    )
