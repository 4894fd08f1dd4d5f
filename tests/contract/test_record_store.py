"""What every record store promises."""

import itertools
import random
import threading
from collections import Counter
from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.adapters.record_store import RecordStoreSql
from services.core.clock import EPOCH
from services.core.errors import LostPosition, PositionLost
from services.core.events import outcome_event
from services.core.outcomes import OutcomeObserved
from services.core.ports import RecordStore
from services.core.predictions import ServedBy
from services.core.records import (
    AliasChange,
    Batch,
    DeadLetter,
    EvaluationResult,
    JobState,
    Judged,
    Position,
    ResultKind,
    ResultStatus,
    Stored,
    VersionRecord,
)
from tests.contract.stores import Open
from tests.toy import NOON, prediction


def outcome(
    number: int = 1, value: str = "left", hours: float = 1.0, model: str = "toy", recorded: float | None = None
) -> tuple[str, OutcomeObserved]:
    """`hours` and `recorded` are hours behind noon; without the latter an earlier version has recorded it."""
    fact = OutcomeObserved(
        prediction_id=prediction(number).prediction_id,
        model=model,
        value=value,
        observed_at=NOON + timedelta(hours=hours),
        recorded_at=None if recorded is None else NOON + timedelta(hours=recorded),
    )
    return outcome_event(fact).id, fact


def dead_letter(position: int = 1) -> DeadLetter:
    return DeadLetter(
        event_id=f"event-{position}",
        reason="undecodable",
        detail="no JSON",
        origin=f"event-log@{position}",
        type="bellwether.prediction.made.v1",
        key="key",
        data=b"\xff{",
        at=NOON,
    )


def judged(store: RecordStore, **narrowed: object) -> list[Judged]:
    window = {"made_from": NOON - timedelta(days=1), "made_until": NOON + timedelta(days=1)} | narrowed
    return store.judged("toy", **window)  # type: ignore[arg-type]  # a test's own narrowing


class TestRecords:
    def test_rows_and_position_are_there_together(self, store: RecordStore) -> None:
        stored = store.commit(Batch([prediction(1)], [outcome()], [dead_letter()]), consumer="c", position=3)

        assert (stored.stored, stored.duplicates, stored.dead_lettered) == (2, 0, 1)
        assert store.position("c") == 3
        assert store.position("another") == 0

    def test_a_batch_that_cannot_be_stored_leaves_neither_rows_nor_position(self, store: RecordStore) -> None:
        naive = prediction(2, made_at=datetime(2026, 3, 1))  # noqa: DTZ001 - what must not be stored

        with pytest.raises(Exception, match="without a time zone"):
            store.commit(Batch([prediction(1), naive], [], []), consumer="c", position=2)

        assert judged(store) == []
        assert store.position("c") == 0

    def test_the_same_batch_again_changes_nothing_and_is_counted(self, store: RecordStore) -> None:
        batch = Batch([prediction(1), prediction(2)], [outcome(1)], [dead_letter()])
        store.commit(batch, consumer="c", position=4)

        again = store.commit(batch, consumer="c", position=4)

        assert (again.stored, again.duplicates, again.dead_lettered) == (0, 3, 0)
        assert store.stored_twice() == 0
        assert store.counts("toy").predictions == 2

    def test_a_position_only_moves_forwards_whoever_comes_late(self, store: RecordStore) -> None:
        store.commit(Batch([prediction(2)], [], []), consumer="c", position=9)

        late = store.commit(Batch([prediction(1)], [], []), consumer="c", position=5)

        assert (late.stored, store.position("c")) == (1, 9)

    def test_a_position_carries_the_id_of_the_event_before_it(self, store: RecordStore) -> None:
        store.commit(Batch([prediction(1)], [], []), consumer="c", start=0, position=3, last_event="e3")

        assert store.committed("c") == Position(3, "e3")
        assert store.committed("another") == Position()

    @pytest.mark.parametrize("stored", [None, 3], ids=["a store that is empty", "a store that is an earlier copy"])
    def test_a_batch_that_begins_behind_the_stored_position_is_refused_whole(
        self, stored: int | None, store: RecordStore
    ) -> None:
        if stored is not None:
            store.commit(Batch([], [], []), consumer="c", start=0, position=stored)

        with pytest.raises(PositionLost, match="what was read begins at 7") as lost:
            store.commit(Batch([prediction(1)], [], [dead_letter()]), consumer="c", start=7, position=9)

        assert (lost.value.reason, lost.value.restart_at) == (LostPosition.STORE_BEHIND, None)
        assert store.position("c") == (stored or 0)
        assert (judged(store), store.dead_letters(limit=1)) == ([], [])

    def test_a_batch_that_begins_before_the_stored_position_is_stored_and_moves_it_if_it_reaches_further(
        self, store: RecordStore
    ) -> None:
        store.commit(Batch([], [], []), consumer="c", start=0, position=5, last_event="e5")

        store.commit(Batch([prediction(1)], [], []), consumer="c", start=2, position=4, last_event="e4")
        assert store.committed("c") == Position(5, "e5")
        store.commit(Batch([prediction(2)], [], []), consumer="c", start=2, position=8, last_event="e8")

        assert store.committed("c") == Position(8, "e8")
        assert len(judged(store)) == 2

    def test_a_consumer_that_was_rewound_reads_again_from_there_and_never_further_on(self, store: RecordStore) -> None:
        store.commit(Batch([], [], []), consumer="c", start=0, position=9, last_event="e9")

        store.rewind("c", position=20)
        assert store.committed("c") == Position(9, "e9")
        store.rewind("c", position=4)

        assert store.committed("c") == Position(4)
        with pytest.raises(PositionLost):
            store.commit(Batch([], [], []), consumer="c", start=9, position=12)

    def test_a_letter_that_became_rows_is_a_letter_no_more(self, store: RecordStore) -> None:
        store.commit(Batch([], [], [dead_letter(1), dead_letter(2)]), consumer="c", position=2)

        redeemed = store.redeem(Batch([prediction(1)], [], []), origins=[dead_letter(1).origin])

        assert redeemed.stored == 1
        assert store.dead_letters(limit=5) == [dead_letter(2)]
        assert store.dead_letters(limit=5, reason="another") == []

    def test_letters_of_events_that_had_the_same_position_one_after_the_other_are_both_kept(
        self, store: RecordStore
    ) -> None:
        """A log that is an earlier copy, or has lost its end, gives the positions behind that to others."""
        first = dead_letter(1)
        other = msgspec.structs.replace(first, event_id="another")
        no_event = msgspec.structs.replace(first, data=b"of the same name")

        for letters in ([first], [other, no_event], [first, other, no_event]):
            store.rewind("c", position=0)
            store.commit(Batch([], [], letters), consumer="c", position=1)

        kept = store.dead_letters(limit=5)
        assert {(each.event_id, each.data) for each in kept} == {
            (each.event_id, each.data) for each in (first, other, no_event)
        }
        assert len({each.origin for each in kept}) == len(kept) == 3
        assert first in kept

    def test_letters_of_one_position_in_one_batch_are_all_kept(self, store: RecordStore) -> None:
        letters = [msgspec.structs.replace(dead_letter(1), event_id=f"event-{n}") for n in range(3)]

        for _ in range(2):
            store.commit(Batch([], [], letters), consumer="c", position=1)

        assert {each.event_id for each in store.dead_letters(limit=5)} == {"event-0", "event-1", "event-2"}
        assert store.counts("toy").dead_letters == 3

    def test_a_prediction_comes_back_as_it_was_recorded_with_its_outcome(self, store: RecordStore) -> None:
        store.commit(Batch([prediction(1), prediction(2)], [outcome(1)], []), consumer="c", position=3)

        assert judged(store) == [
            Judged(prediction(1), "left", NOON + timedelta(hours=1)),
            Judged(prediction(2), None, None),
        ]

    def test_an_outcome_that_came_before_its_prediction_is_kept_and_joined(self, store: RecordStore) -> None:
        store.commit(Batch([], [outcome(1)], []), consumer="c", position=1)
        assert store.counts("toy").orphan_outcomes == 1

        store.commit(Batch([prediction(1)], [], []), consumer="c", position=2)

        assert store.counts("toy").orphan_outcomes == 0
        assert [each.outcome for each in judged(store)] == ["left"]

    def test_a_later_observation_corrects_an_earlier_one_and_both_are_kept(self, store: RecordStore) -> None:
        corrected = [outcome(1, "stayed", hours=2), outcome(1, "left", hours=1)]
        store.commit(Batch([prediction(1)], corrected, []), consumer="c", position=3)

        assert [each.outcome for each in judged(store)] == ["stayed"]
        assert (store.counts("toy").outcomes, store.counts("toy").corrections) == (2, 1)

    @pytest.mark.parametrize("truths", list(itertools.permutations(["left", "stayed", "gone"])), ids="-".join)
    @pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
    def test_of_several_at_the_same_moment_the_one_recorded_last_wins_in_whatever_order_they_come(
        self, store: RecordStore, truths: tuple[str, ...], together: bool
    ) -> None:
        seen = [outcome(1, value, recorded=2 + truths.index(value)) for value in ("left", "stayed", "gone")]
        batches = [seen] if together else [[each] for each in seen]

        for position, batch in enumerate([*batches, *reversed(batches)], 1):
            store.commit(Batch([prediction(1)], batch, []), consumer="c", position=position)

        assert [each.outcome for each in judged(store)] == [truths[-1]]
        assert (store.counts("toy").outcomes, store.counts("toy").corrections) == (3, 2)

    def test_one_that_was_recorded_again_behind_another_of_the_same_moment_wins_again(self, store: RecordStore) -> None:
        again = outcome(1, "left", recorded=4)
        seen = [outcome(1, "left", recorded=2), outcome(1, "stayed", recorded=3), again]
        assert again[0] == seen[0][0]

        store.commit(Batch([prediction(1)], seen, []), consumer="c", position=3)

        assert [each.outcome for each in judged(store)] == ["left"]

    @pytest.mark.parametrize(("before", "after"), itertools.permutations(["left", "stayed"]))
    def test_an_outcome_that_does_not_say_when_it_was_recorded_was_recorded_before_all_others(
        self, store: RecordStore, before: str, after: str
    ) -> None:
        told = outcome(1, after, recorded=2)
        for position, each in enumerate([told, outcome(1, before)], 1):
            store.commit(Batch([prediction(1)], [each], []), consumer="c", position=position)

        assert [each.outcome for each in judged(store)] == [after]

    def test_an_outcome_sent_to_the_wrong_model_is_kept_and_judges_nothing(self, store: RecordStore) -> None:
        astray = outcome(1, "left", model="another")
        store.commit(Batch([prediction(1)], [astray], []), consumer="c", position=2)

        assert [each.outcome for each in judged(store)] == [None]
        assert (store.counts("another").outcomes, store.counts("another").orphan_outcomes) == (1, 1)
        assert (store.counts("toy").outcomes, store.counts("toy").orphan_outcomes) == (0, 0)
        assert store.counts().orphan_outcomes == 1
        assert store.stored_event_ids([astray[0]]) == {astray[0]}

    @pytest.mark.parametrize("hours_astray", [0.5, 1.0, 1.5], ids=["before", "at once", "after"])
    def test_an_outcome_sent_to_the_wrong_model_hides_none_that_is_sent_to_the_right_one(
        self, store: RecordStore, hours_astray: float
    ) -> None:
        both = [outcome(1, "stayed", hours=hours_astray, model="another"), outcome(1, "left", hours=1.0)]
        store.commit(Batch([prediction(1)], both, []), consumer="c", position=3)

        assert [(each.outcome, each.observed_at) for each in judged(store)] == [("left", NOON + timedelta(hours=1))]
        assert (store.counts("toy").orphan_outcomes, store.counts("another").orphan_outcomes) == (0, 1)
        assert (store.counts().outcomes, store.counts().corrections) == (2, 0)

    def test_the_same_outcome_sent_to_two_models_is_two_events(self) -> None:
        assert outcome(1)[0] != outcome(1, model="another")[0]

    def test_models_count_their_own_records_alone(self, store: RecordStore) -> None:
        made = [prediction(1), prediction(2), prediction(3, model="another")]
        seen = [outcome(1), outcome(1, "stayed", hours=2), outcome(3, model="another")]
        store.commit(Batch(made, seen, []), consumer="c", position=6)

        counts = {model: store.counts(model) for model in ("toy", "another", "idle")}

        assert {model: each.predictions for model, each in counts.items()} == {"toy": 2, "another": 1, "idle": 0}
        assert {model: each.outcomes for model, each in counts.items()} == {"toy": 2, "another": 1, "idle": 0}
        assert {model: each.corrections for model, each in counts.items()} == {"toy": 1, "another": 0, "idle": 0}

    def test_the_window_includes_its_beginning_and_not_its_end(self, store: RecordStore) -> None:
        made = [prediction(n, made_at=NOON + timedelta(hours=n)) for n in range(4)]
        store.commit(Batch(made, [], []), consumer="c", position=4)

        found = judged(store, made_from=NOON + timedelta(hours=1), made_until=NOON + timedelta(hours=3))

        assert [each.prediction for each in found] == made[1:3]
        assert store.count_made("toy", made_from=made[1].made_at, made_until=made[3].made_at) == 2

    def test_the_first_and_the_last_answer_of_a_model_and_of_a_version_are_known(self, store: RecordStore) -> None:
        made = [prediction(n, made_at=NOON + timedelta(hours=n), version="v1" if n < 3 else "v2") for n in (2, 0, 3, 1)]
        store.commit(Batch(made, [], []), consumer="c", position=4)

        assert (store.first_made_at("toy"), store.last_made_at("toy")) == (NOON, NOON + timedelta(hours=3))
        assert store.last_made_at("toy", version="v1") == NOON + timedelta(hours=2)
        assert store.first_made_at("another") is store.last_made_at("another") is None
        assert store.last_made_at("toy", version="v3") is None

    def test_a_sample_is_of_the_whole_window_and_the_same_each_time(self, store: RecordStore) -> None:
        made = [prediction(n, made_at=NOON + timedelta(seconds=n)) for n in range(2000)]
        store.commit(Batch(made, [], []), consumer="c", position=100)

        sample = judged(store, limit=400)

        tenths = Counter((each.prediction.made_at - NOON) // timedelta(seconds=200) for each in sample)
        # Forty are expected of each tenth, give or take six: a tenth without its part would be six sigmas away.
        assert all(abs(tenths[tenth] - 40) < 24 for tenth in range(10))
        assert judged(store, limit=400) == sample

    def test_windows_that_overlap_sample_the_same_of_what_they_share(self, store: RecordStore) -> None:
        made = [prediction(n, made_at=NOON + timedelta(seconds=n)) for n in range(2000)]
        store.commit(Batch(made, [], []), consumer="c", position=100)

        def sampled(begin: int) -> set[str]:
            start = NOON + timedelta(seconds=begin)
            rows = store.judged("toy", made_from=start, made_until=start + timedelta(seconds=1000), limit=100)
            return {row.prediction.prediction_id for row in rows}

        assert len(sampled(0) & sampled(100)) > 80

    def test_a_smaller_sample_is_part_of_a_larger_one(self, store: RecordStore) -> None:
        store.commit(Batch([prediction(n) for n in range(500)], [], []), consumer="c", position=100)

        sizes = [{each.prediction.prediction_id for each in judged(store, limit=limit)} for limit in (1, 7, 60, 499)]

        assert [len(each) for each in sizes] == [1, 7, 60, 499]
        assert all(small < large for small, large in itertools.pairwise(sizes))

    @pytest.mark.parametrize(("made", "limit"), [(25, 10), (11, 10), (10, 10), (9, 10), (100, 1)])
    def test_a_sample_is_as_large_as_its_limit_allows_in_order_and_of_the_window_alone(
        self, store: RecordStore, made: int, limit: int
    ) -> None:
        inside = [prediction(n, made_at=NOON + timedelta(minutes=n)) for n in range(made)]
        another_version = [prediction(1000 + n, version="v2") for n in range(made)]
        store.commit(Batch(inside + another_version, [], []), consumer="c", position=1)

        sample = [each.prediction for each in judged(store, version="v1", limit=limit)]

        assert len(sample) == min(made, limit)
        assert sample == [each for each in inside if each in sample]

    def test_a_sample_of_the_settled_has_no_place_for_those_without_an_outcome_of_their_model(
        self, store: RecordStore
    ) -> None:
        made = [prediction(n, made_at=NOON + timedelta(seconds=n)) for n in range(2000)]
        seen = [outcome(n) for n in range(0, 2000, 50)] + [outcome(n, model="another") for n in range(1, 2000, 50)]
        store.commit(Batch(made, seen, []), consumer="c", position=1)

        assert [each.prediction for each in judged(store, limit=40, settled=True)] == made[::50]
        assert [each.prediction for each in judged(store, settled=True)] == made[::50]
        assert len(judged(store, limit=7, settled=True)) == 7

    @pytest.mark.parametrize("settled", [False, True])
    @pytest.mark.parametrize("limit", [None, 100, 5000])
    def test_batches_are_what_is_judged_at_once_in_the_same_order(
        self, store: RecordStore, limit: int | None, settled: bool
    ) -> None:
        made = [prediction(n, made_at=NOON + timedelta(seconds=n)) for n in range(1000)]
        store.commit(Batch(made, [outcome(n) for n in range(0, 1000, 2)], []), consumer="c", position=1)
        end = NOON + timedelta(seconds=900)

        batches = list(
            store.judged_in_batches("toy", made_from=NOON, made_until=end, limit=limit, settled=settled, at_once=70)
        )

        assert all(0 < len(batch) <= 70 for batch in batches)
        at_once = store.judged("toy", made_from=NOON, made_until=end, limit=limit, settled=settled)
        assert [row for batch in batches for row in batch] == at_once
        assert list(store.judged_in_batches("another", made_from=NOON, made_until=end)) == []

    def test_batches_may_be_of_one_version(self, store: RecordStore) -> None:
        made = [prediction(n, version=f"v{n % 2}") for n in range(100)]
        store.commit(Batch(made, [], []), consumer="c", position=1)
        window = {"made_from": NOON, "made_until": NOON + timedelta(1)}
        batches = store.judged_in_batches("toy", **window, version="v1", at_once=30)  # type: ignore[arg-type]
        assert [row for batch in batches for row in batch] == store.judged("toy", **window, version="v1")  # type: ignore[arg-type]

    def test_who_leaves_batches_untaken_holds_up_nobody(self, store: RecordStore) -> None:
        store.commit(Batch([prediction(n) for n in range(100)], [], []), consumer="c", position=1)
        batches = iter(store.judged_in_batches("toy", made_from=NOON, made_until=NOON + timedelta(1), at_once=10))
        next(batches)
        store.commit(Batch([prediction(100)], [], []), consumer="c", position=2)
        batches.close()  # type: ignore[attr-defined]  # a generator
        store.commit(Batch([prediction(101)], [], []), consumer="c", position=3)
        assert len(judged(store)) == 102

    def test_what_can_be_learnt_from_is_counted_up_to_a_number(self, store: RecordStore) -> None:
        made = [prediction(n, action="call" if n % 4 == 0 else "none") for n in range(40)]
        seen = [outcome(n) for n in range(20)] + [outcome(n, "stayed", hours=2) for n in range(20)]
        store.commit(Batch(made, [*seen, outcome(30, model="another")], []), consumer="c", position=1)
        window = {"made_from": NOON, "made_until": NOON + timedelta(seconds=1)}

        assert store.count_settled("toy", **window, at_most=1000) == 15
        assert store.count_settled("toy", **window, at_most=4) == 4
        assert store.count_settled("toy", made_from=NOON + timedelta(1), made_until=NOON + timedelta(2), at_most=9) == 0
        assert store.count_settled("another", **window, at_most=9) == 0

    def test_each_entity_counts_once_by_its_newest_answer_of_the_window(self, store: RecordStore) -> None:
        """One that is asked about all the time takes nobody's place."""
        made = [
            prediction(n, entity_id=f"user-{n % 3 if n < 60 else 3}", made_at=NOON + timedelta(seconds=n))
            for n in range(2000)
        ]
        beyond = [prediction(3000, entity_id="user-0", made_at=NOON + timedelta(days=2))]
        store.commit(Batch(made + beyond, [], []), consumer="c", position=1)
        window = {"made_from": NOON, "made_until": NOON + timedelta(days=1)}

        assert store.newest_of_entities("toy", **window, limit=10) == [*made[57:60], made[-1]]
        assert len(store.newest_of_entities("toy", **window, limit=2)) == 2
        assert store.newest_of_entities("another", **window, limit=2) == []

    def test_a_version_and_who_answered_can_be_told_apart(self, store: RecordStore) -> None:
        made = [prediction(1), prediction(2, version="v2"), prediction(3, served_by=ServedBy.RULE)]
        store.commit(Batch(made, [], []), consumer="c", position=3)

        assert [each.prediction for each in judged(store, version="v2")] == [made[1]]
        assert store.count_made("toy", made_from=NOON, made_until=NOON + timedelta(days=1), version="v2") == 1
        assert store.counts("toy").predictions_by == {"model": 2, "rule": 1}

    def test_ids_are_found_where_they_lie(self, store: RecordStore) -> None:
        store.commit(Batch([prediction(1)], [outcome(2)], [dead_letter()]), consumer="c", position=3)
        ids = [prediction(1).prediction_id, outcome(2)[0], "event-1", "nowhere"]

        assert store.stored_event_ids(ids) == set(ids[:2])
        assert store.dead_event_ids(ids) == {"event-1"}
        assert store.dead_letters(limit=5) == [dead_letter()]

    def test_two_stores_on_one_database_see_each_other_and_migrate_once(self, open_store: Open) -> None:
        store, other = open_store(), open_store()
        store.commit(Batch([prediction(1)], [], []), consumer="c", position=1)

        assert len(judged(other)) == 1
        other.close()


def test_consumers_that_commit_the_same_events_at_once_store_each_once_and_wait_for_nobody_for_ever(
    open_store: Open,
) -> None:
    """As after a rebalance: each delivers what the other does, in another order."""
    made = [prediction(number) for number in range(300)]
    seen = [outcome(number) for number in range(300)]
    counted: list[Stored] = []

    def deliver(store: RecordStore, chance: random.Random, consumer: str) -> None:
        for position in range(1, 11):
            batch = Batch(chance.sample(made, 200), chance.sample(seen, 200), [])
            counted.append(store.commit(batch, consumer=consumer, position=position))

    threads = [
        threading.Thread(target=deliver, args=(open_store(), random.Random(number), f"c{number}"))  # noqa: S311 - a shuffle
        for number in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    store = open_store()
    assert len(counted) == 30
    assert sum(each.stored for each in counted) == store.counts().predictions + store.counts().outcomes
    assert store.stored_twice() == 0
    assert [store.position(f"c{number}") for number in range(3)] == [10, 10, 10]


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), values=st.lists(st.sampled_from(["left", "stayed"]), min_size=1, max_size=5))
def test_shuffled_repeated_and_corrected_events_always_end_in_the_same_rows(
    seed: int, values: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    order = random.Random(seed)  # noqa: S311 - a shuffle
    facts = [
        outcome(1, value, hours=order.randint(0, 3), recorded=order.choice([None, 4, place]))
        for place, value in enumerate(values)
    ]
    expected = max(facts, key=lambda each: (each[1].observed_at, each[1].recorded_at or EPOCH, each[0]))
    deliveries = [Batch([], [fact], []) for fact in facts] * 2 + [Batch([prediction(1)], [], [])] * 2
    order.shuffle(deliveries)
    store = RecordStoreSql(f"sqlite:///{tmp_path_factory.mktemp('store') / 'records.sqlite'}")
    store.migrate()

    for position, batch in enumerate(deliveries):
        store.commit(batch, consumer="c", position=position)

    assert [(each.prediction, each.outcome) for each in judged(store)] == [(prediction(1), expected[1].value)]
    assert store.counts().outcomes == len({event_id for event_id, _ in facts})
    assert store.stored_twice() == 0
    store.close()


class TestResults:
    def result(self, hours: int, kind: ResultKind = ResultKind.DRIFT) -> EvaluationResult:
        return EvaluationResult(
            model="toy",
            version="v1",
            kind=kind,
            window_start=NOON,
            window_end=NOON + timedelta(hours=hours),
            n=7,
            status=ResultStatus.NOT_ENOUGH_DATA,
            body={"needed": 300, "features": {"amount": {"score": None}}},
            computed_at=NOON,
        )

    def test_the_newest_results_come_back_oldest_first(self, store: RecordStore) -> None:
        store.save_results([self.result(3), self.result(1), self.result(2), self.result(9, ResultKind.BUSINESS)])

        assert store.results("toy", ResultKind.DRIFT, limit=2) == [self.result(2), self.result(3)]
        assert store.results("another", ResultKind.DRIFT, limit=2) == []


class TestOfAllModels:
    def test_aliases_and_open_jobs_are_told_of_all_models_at_once(self, store: RecordStore) -> None:
        assert (store.all_aliases(), store.with_open_job()) == ({}, set())
        for model, version in (("toy", "v1"), ("toy", "v2"), ("another", "v1")):
            store.move_alias(
                AliasChange(model=model, alias="champion", version=version, previous="", at=NOON, reason="test")
            )
        opened = {
            model: store.open_job(model=model, trigger="drift", dedupe_key="k", since=NOON, opened_at=NOON, note="")
            for model in ("toy", "another")
        }
        ended = opened["another"]
        assert ended is not None
        store.update_job(ended.id, state=JobState.REFUSED, note="no better", closed_at=NOON)

        assert store.all_aliases() == {"toy": {"champion": "v2"}, "another": {"champion": "v1"}}
        assert store.with_open_job() == {"toy"}


class TestJobs:
    def open(self, store: RecordStore, model: str = "toy") -> int | None:
        job = store.open_job(
            model=model, trigger="drift", dedupe_key="k", since=NOON, opened_at=NOON, note="drift in amount"
        )
        return None if job is None else job.id

    def test_a_model_has_one_open_job_at_most(self, store: RecordStore) -> None:
        assert self.open(store)
        assert self.open(store) is None
        assert self.open(store, "another")

    def test_a_closed_job_makes_room_for_the_next_and_keeps_its_evidence(self, store: RecordStore) -> None:
        first = self.open(store) or 0
        closed = store.update_job(
            first, state=JobState.REFUSED, note="no better", evidence={"auc": 0.7}, closed_at=NOON
        )
        second = self.open(store) or 0

        assert (closed.state, closed.evidence, closed.closed_at) == (JobState.REFUSED, {"auc": 0.7}, NOON)
        assert [job.id for job in store.jobs("toy", limit=5)] == [second, first]
        assert store.jobs("toy", limit=5)[1] == closed

    def test_a_change_without_evidence_leaves_the_evidence(self, store: RecordStore) -> None:
        job = self.open(store) or 0
        store.update_job(job, state=JobState.RUNNING, note="trains", evidence={"rows": 7})

        assert store.update_job(job, state=JobState.WAITING, note="again").evidence == {"rows": 7}


class TestVersions:
    def change(self, version: str, previous: str) -> AliasChange:
        return AliasChange(
            model="toy", alias="champion", version=version, previous=previous, at=NOON, reason="passed the gate"
        )

    def test_an_alias_means_its_last_version_and_its_history_is_kept(self, store: RecordStore) -> None:
        changes = [self.change("v1", ""), self.change("v2", "v1")]
        for change in changes:
            store.move_alias(change)

        assert store.aliases("toy") == {"champion": "v2"}
        assert store.alias_changes("toy") == changes
        assert store.aliases("another") == {}

    def test_a_registered_version_comes_back_with_its_evidence(self, store: RecordStore) -> None:
        version = VersionRecord(
            model="toy",
            version="v1",
            registered_at=NOON,
            training_set="toy.parquet",
            training_set_sha256="00",
            training_rows=3,
            evidence={"reasons": ["better"]},
        )
        store.add_version(version)

        assert store.versions("toy") == [version]

    def test_the_hashes_of_manifests_are_known_of_the_versions_that_have_one(self, store: RecordStore) -> None:
        registered = [("toy", "v1", ""), ("toy", "v2", "ab12"), ("other", "v2", "cd34")]
        for model, version, sha256 in registered:
            store.add_version(
                VersionRecord(
                    model=model,
                    version=version,
                    registered_at=NOON,
                    training_set="toy.parquet",
                    training_set_sha256="00",
                    training_rows=3,
                    evidence={},
                    manifest_sha256=sha256,
                )
            )

        assert store.manifests("toy") == {"v2": "ab12"}
        assert store.manifests("nobody") == {}
