"""What a store cannot keep: it is refused for good, keeps nobody else out, and becomes a letter that can be found."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.core.errors import ContentRefused, StoreFailed, StoreUnavailable
from services.core.events import (
    OUTCOME_OBSERVED,
    OUTCOMES_TOPIC,
    PREDICTION_MADE,
    Event,
    LoggedEvent,
    outcome_event,
    prediction_event,
)
from services.core.letters import findable
from services.core.outcomes import OutcomeObserved
from services.core.ports import RecordStore
from services.core.records import (
    AliasChange,
    Batch,
    DeadLetter,
    EvaluationResult,
    JobState,
    Position,
    ResultKind,
    ResultStatus,
    VersionRecord,
)
from services.core.transport import Portion
from services.ingest.keep import REFUSED, SUSPECT_SECONDS, SUSPECTS, Evidence, TakesTooLong, keep
from services.ingest.redeem import retry
from tests.contract.poison import EVERY, FAILS, REFUSES, PoisonedStore, Told, labelled, poisoned, portion
from tests.toy import NOON, prediction

__all__ = ["poisoned"]

NAIVE = datetime(2026, 3, 1)  # noqa: DTZ001 - what must not be stored
SURROGATE = "\ud800"
AWFUL = [
    "a\x00b",
    f"a{SURROGATE}b",
    "x" * 9_000,
    "".join(chr(0x4E00 + n % 20_000) for n in range(9_000)),
    "",
    "\x1b[2J",
]


def letter(**changes: Any) -> DeadLetter:
    sound = DeadLetter(
        event_id="event", reason="refused", detail="", origin="log@1", type="t", key="k", data=b"\x00\xff", at=NOON
    )
    return msgspec.structs.replace(sound, **changes)


class TestCommit:
    @pytest.mark.parametrize(
        "changes",
        [{"made_at": NAIVE}, {"label": SURROGATE}, {"prediction_id": f"p{SURROGATE}"}, {"entity_id": SURROGATE}],
        ids=["time", "text", "id", "entity"],
    )
    def test_a_row_that_cannot_be_kept_is_refused_and_not_called_an_outage(
        self, store: RecordStore, changes: dict[str, Any]
    ) -> None:
        with pytest.raises(ContentRefused, match="refuses what it was given"):
            store.commit(Batch([prediction(1), prediction(2, **changes)], [], []), consumer="c", position=2)

        assert (store.counts().predictions, store.position("c")) == (0, 0)
        assert store.commit(Batch([prediction(1)], [], []), consumer="c", position=2).stored == 1

    def test_the_last_event_before_a_position_may_have_any_id(self, store: RecordStore) -> None:
        for place, awful in enumerate(AWFUL, start=1):
            store.commit(Batch([], [], []), consumer="c", start=place - 1, position=place, last_event=awful)

            assert store.committed("c") == Position(place, awful and findable(awful))

    def test_a_position_that_is_no_number_of_any_database_is_refused(self, store: RecordStore) -> None:
        with pytest.raises(ContentRefused):
            store.commit(Batch([], [], []), consumer="c", position=2**63)

    @pytest.mark.parametrize("field", ["event_id", "reason", "detail", "type", "key"])
    def test_a_dead_letter_is_always_taken(self, store: RecordStore, field: str) -> None:
        letters = [letter(origin=f"log@{place}", **{field: awful}) for place, awful in enumerate(AWFUL)]
        times = [NAIVE, NAIVE.replace(year=1), datetime.max.replace(tzinfo=UTC)]
        letters += [letter(at=at, origin=f"{awful}{at}") for at, awful in itertools.product(times, AWFUL)]

        stored = store.commit(Batch([], [], letters), consumer="c", position=1)

        assert stored.dead_lettered == len(letters)
        assert {each.data for each in store.dead_letters(limit=50)} == {b"\x00\xff"}

    def test_a_dead_letter_is_found_by_the_id_that_its_event_has_in_the_log(self, store: RecordStore) -> None:
        letters = [letter(event_id=each, origin=f"log@{place}") for place, each in enumerate(AWFUL)]
        store.commit(Batch([], [], letters), consumer="c", position=1)
        near = [f"{each}!" for each in AWFUL]

        assert store.dead_event_ids([*AWFUL, *near, "another"]) == set(AWFUL)

    def test_ids_that_no_row_can_have_are_nowhere_and_trouble_nobody(self, store: RecordStore) -> None:
        store.commit(Batch([prediction(1)], [], []), consumer="c", position=1)
        known = prediction(1).prediction_id

        assert store.stored_event_ids([*AWFUL, known]) == {known}


class TestOtherWriters:
    def test_a_note_or_a_reason_that_a_database_refuses_is_kept_with_marks(self, store: RecordStore) -> None:
        job = store.open_job(
            model="toy",
            trigger="drift",
            dedupe_key="k",
            since=NOON,
            opened_at=NOON,
            note=f"a\x00b{SURROGATE}",
            evidence={f"a{SURROGATE}": [f"\x00{SURROGATE}", 1.0]},
        )
        assert job is not None
        store.move_alias(AliasChange(model="toy", alias="a", version="v1", previous="", at=NOON, reason="a\x00b"))

        assert job.note == "a\ufffdb\ufffd"
        assert job.evidence == {"a?": ["\x00?", 1.0]}
        assert store.update_job(job.id, state=JobState.FAILED, note="\x00").note == "\ufffd"
        assert [each.reason for each in store.alias_changes("toy")] == ["a\ufffdb"]

    def test_a_judgement_with_texts_of_callers_and_numbers_that_are_none_is_kept(self, store: RecordStore) -> None:
        body = {"seen": {f"a{SURROGATE}": float("nan"), "\x00": float("inf")}}
        store.save_results([result(body=body)])

        assert [each.body for each in store.results("toy", ResultKind.DRIFT, limit=1)] == [
            {"seen": {"a?": None, "\x00": None}}
        ]

    def test_a_judgement_that_is_no_json_is_refused_and_not_called_an_outage(self, store: RecordStore) -> None:
        with pytest.raises(ContentRefused):
            store.save_results([result(body={"a": object()})])

    def test_a_version_that_is_there_already_is_refused_and_not_called_an_outage(self, store: RecordStore) -> None:
        version = VersionRecord(
            model="toy",
            version="v1",
            registered_at=NOON,
            training_set="t",
            training_set_sha256="00",
            training_rows=1,
            evidence={},
        )
        store.add_version(version)

        with pytest.raises(ContentRefused):
            store.add_version(version)


class TestAPortionTakenApart:
    @pytest.mark.parametrize("place", [0, 3, 6])
    def test_a_refused_event_becomes_a_letter_and_keeps_no_other_from_the_store(
        self, poisoned: PoisonedStore, place: int
    ) -> None:
        poisoned.poison(REFUSES)
        made = [labelled(n) if n == place else prediction(n) for n in range(7)]
        told = Told()

        stored, batch = keep(portion(*made), store=poisoned, bury=told.bury, now=NOON, evidence=Evidence())

        (buried,) = poisoned.dead_letters(limit=5)
        assert (stored.stored, stored.duplicates, stored.dead_lettered) == (6, 0, 1)
        assert (buried.reason, buried.origin) == (REFUSED, f"log@{place + 1}")
        assert (buried.event_id, buried.data) == (made[place].prediction_id, prediction_event(made[place]).data)
        assert "refuses what it was given" in buried.detail
        assert told.letters == batch.dead_letters == [buried]
        assert poisoned.position("p") == 7

    def test_a_portion_of_refused_events_alone_is_passed(self, poisoned: PoisonedStore) -> None:
        poisoned.poison(REFUSES)

        stored, _ = keep(
            portion(*map(labelled, range(5))), store=poisoned, bury=Told().bury, now=NOON, evidence=Evidence()
        )

        assert (stored.stored, stored.dead_lettered, poisoned.position("p")) == (0, 5, 5)

    def test_one_refused_event_among_many_costs_transactions_by_the_logarithm_of_their_number(
        self, poisoned: PoisonedStore
    ) -> None:
        poisoned.poison(REFUSES)
        made = [labelled(n) if n == 700 else prediction(n) for n in range(1000)]

        stored, _ = keep(portion(*made), store=poisoned, bury=Told().bury, now=NOON, evidence=Evidence())

        assert stored.stored == 999
        assert poisoned.commits <= 2 + 2 * 10

    def test_many_refused_events_cost_transactions_by_their_number(self, poisoned: PoisonedStore) -> None:
        poisoned.poison(REFUSES)

        keep(portion(*map(labelled, range(64))), store=poisoned, bury=Told().bury, now=NOON, evidence=Evidence())

        assert poisoned.commits <= 2 * 64 + 1

    def test_a_portion_that_is_interrupted_between_its_parts_comes_again_and_is_stored_once(
        self, poisoned: PoisonedStore
    ) -> None:
        poisoned.poison(REFUSES)
        made = [labelled(n) if n in {2, 5} else prediction(n) for n in range(8)]
        whole = portion(*made)
        for interrupted_at in range(1, 14):
            poisoned.commits, poisoned.before_commit = 0, _away_at(interrupted_at)
            try:
                keep(whole, store=poisoned, bury=Told().bury, now=NOON, evidence=Evidence())
            except StoreUnavailable:
                assert poisoned.position("p") == 0
            else:
                break
        else:
            pytest.fail("the portion is never passed")

        assert (poisoned.counts().predictions, poisoned.counts().dead_letters) == (6, 2)
        assert (poisoned.stored_twice(), poisoned.position("p")) == (0, 8)

    def test_an_event_that_the_store_chokes_on_for_no_known_reason_is_buried_when_its_neighbours_go_in(
        self, poisoned: PoisonedStore
    ) -> None:
        poisoned.poison(FAILS)
        made = [labelled(n) if n in {0, 4} else prediction(n) for n in range(7)]
        with pytest.raises(StoreFailed):
            poisoned.commit(Batch(made, [], []), consumer="p", position=7)

        stored, _ = keep(portion(*made), store=poisoned, bury=Told().bury, now=NOON, evidence=Evidence())

        assert (stored.stored, stored.dead_lettered, poisoned.position("p")) == (5, 2, 7)
        assert poisoned.dead_event_ids([each.prediction_id for each in made]) == {
            made[0].prediction_id,
            made[4].prediction_id,
        }

    def test_a_store_that_fails_on_everything_of_a_type_is_an_outage_and_buries_nothing(
        self, poisoned: PoisonedStore
    ) -> None:
        poisoned.poison(FAILS, when=EVERY)
        seen = OutcomeObserved(prediction_id="q", model="toy", value="left", observed_at=NOON)
        both = portion(*map(prediction, range(40)))
        both = msgspec.structs.replace(both, events=[*both.events, LoggedEvent(41, outcome_event(seen))], position=41)

        with pytest.raises(StoreFailed):
            keep(both, store=poisoned, bury=Told().bury, now=NOON, evidence=Evidence())

        assert (poisoned.counts().dead_letters, poisoned.position("p")) == (0, 0)
        assert poisoned.commits <= 2 * (SUSPECTS + 6)

        poisoned.heal()
        assert keep(both, store=poisoned, bury=Told().bury, now=NOON, evidence=Evidence()).stored.dead_lettered == 0
        assert (poisoned.counts().predictions, poisoned.counts().outcomes, poisoned.position("p")) == (40, 1, 41)

    def test_a_table_that_is_away_buries_nothing_however_long_others_go_in(self, poisoned: PoisonedStore) -> None:
        seen = OutcomeObserved(prediction_id="q", model="toy", value="left", observed_at=NOON)
        both = portion(labelled(0))
        both = msgspec.structs.replace(both, events=[*both.events, LoggedEvent(2, outcome_event(seen))], position=2)
        clock = [0.0]
        evidence = Evidence(monotonic=lambda: clock[0])
        poisoned.execute("ALTER TABLE outcomes RENAME TO outcomes_elsewhere")

        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                keep(both, store=poisoned, bury=Told().bury, now=NOON, evidence=evidence)
            clock[0] += SUSPECT_SECONDS
        poisoned.execute("ALTER TABLE outcomes_elsewhere RENAME TO outcomes")
        kept = keep(both, store=poisoned, bury=Told().bury, now=NOON, evidence=evidence)

        assert (kept.stored.stored, kept.stored.dead_lettered, poisoned.position("p")) == (2, 0, 2)

    def test_an_event_that_fails_alone_for_ten_minutes_is_buried_if_others_of_any_type_go_in(
        self, poisoned: PoisonedStore
    ) -> None:
        poisoned.poison(FAILS)
        seen = OutcomeObserved(prediction_id="q", model="toy", value="left", observed_at=NOON)
        alone = portion(labelled(0))
        alone = msgspec.structs.replace(alone, events=[*alone.events, LoggedEvent(2, outcome_event(seen))], position=2)
        clock = [0.0]
        evidence = Evidence(monotonic=lambda: clock[0])

        with pytest.raises(StoreFailed):
            keep(alone, store=poisoned, bury=Told().bury, now=NOON, evidence=evidence)
        assert (poisoned.counts().dead_letters, poisoned.position("p")) == (0, 0)
        clock[0] = SUSPECT_SECONDS
        kept = keep(alone, store=poisoned, bury=Told().bury, now=NOON, evidence=evidence)

        assert (kept.stored.dead_lettered, poisoned.position("p")) == (1, 2)

    def test_a_portion_that_cannot_be_taken_apart_in_time_is_given_up_for_a_smaller_one(
        self, poisoned: PoisonedStore
    ) -> None:
        poisoned.poison(REFUSES)
        steps = itertools.count()
        slow = Evidence(monotonic=lambda: next(steps) * 1.0)

        with pytest.raises(TakesTooLong, match="going on with fewer at once"):
            keep(portion(*map(labelled, range(64))), store=poisoned, bury=Told().bury, now=NOON, evidence=slow)

        assert poisoned.position("p") == 0
        assert keep(
            portion(labelled(0)), store=poisoned, bury=Told().bury, now=NOON, evidence=slow
        ).stored.dead_lettered

    def test_somebody_hears_that_work_goes_on_between_two_parts(self, poisoned: PoisonedStore) -> None:
        poisoned.poison(REFUSES)
        heard: list[int] = []
        evidence = Evidence(alive=lambda: heard.append(1))

        keep(portion(*map(labelled, range(8))), store=poisoned, bury=Told().bury, now=NOON, evidence=evidence)

        assert len(heard) >= 8

    def test_a_failure_that_passes_while_the_portion_is_taken_apart_buries_nothing(
        self, poisoned: PoisonedStore
    ) -> None:
        poisoned.poison(FAILS)
        made = [prediction(0), labelled(1), prediction(2), prediction(3)]

        def heal_late(number: int) -> None:
            # Behind the whole, its halves and the single events of the first one, which fail.
            if number == 6:
                poisoned.heal()

        poisoned.before_commit = heal_late
        stored, _ = keep(portion(*made), store=poisoned, bury=Told().bury, now=NOON, evidence=Evidence())

        assert (stored.stored, stored.dead_lettered, poisoned.position("p")) == (4, 0, 4)

    def test_letters_that_the_store_takes_by_now_become_rows_and_the_others_stay(self, poisoned: PoisonedStore) -> None:
        poisoned.poison(REFUSES, when="NEW.label IN ('poison', 'venom')")
        made = [labelled(0), labelled(1, "venom"), labelled(2)]
        keep(portion(*made), store=poisoned, bury=Told().bury, now=NOON, evidence=Evidence())
        poisoned.heal()
        poisoned.poison(REFUSES)

        retried = retry(poisoned, limit=10, reason=REFUSED, now=NOON)

        assert (retried.tried, retried.stored, retried.dead) == (3, 1, 2)
        assert poisoned.stored_event_ids([each.prediction_id for each in made]) == {made[1].prediction_id}
        assert poisoned.counts().dead_letters == 2


def _away_at(number: int) -> Any:
    def away(commit: int) -> None:
        if commit == number:
            raise StoreUnavailable("record store: away")

    return away


def result(*, body: dict[str, Any]) -> EvaluationResult:
    return EvaluationResult(
        model="toy",
        version="v1",
        kind=ResultKind.DRIFT,
        window_start=NOON,
        window_end=NOON + timedelta(hours=1),
        n=7,
        status=ResultStatus.OK,
        body=body,
        computed_at=NOON,
    )


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300) | st.sampled_from(AWFUL)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(width=64) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
GOOD = msgspec.json.decode(prediction_event(prediction(1)).data)
ANY_FACT = st.dictionaries(st.sampled_from(sorted(GOOD)), ANY_JSON, max_size=3).map(lambda some: GOOD | some)
ESCAPES = st.sampled_from([b"\\ud800", b"\\u0000", b"\xed\xa0\x80", b"\x00", b"\\ud83d\\ude00", b"1e999", b"9" * 400])
ANY_DATA = (
    st.binary(max_size=200)
    | st.builds(msgspec.json.encode, ANY_FACT)
    | ESCAPES.map(lambda escape: prediction_event(prediction(1)).data.replace(b'"user-1"', b'"' + escape + b'"'))
    | st.sampled_from([b"[" * 50_000, b'{"a":' * 50_000, b"{}", b""])
)


@st.composite
def any_event(draw: st.DrawFn) -> Event:
    """Whose data speak of itself or of anything."""
    identity = draw(ANY_TEXT)
    data = draw(ANY_DATA)
    if draw(st.booleans()):
        made = prediction(1, **{draw(st.sampled_from(["entity_id", "label", "version", "model"])): draw(st.text())})
        data = msgspec.json.encode(msgspec.to_builtins(made) | {"prediction_id": _json_text(identity)})
    return Event(
        id=identity,
        type=draw(st.sampled_from([PREDICTION_MADE, OUTCOME_OBSERVED]) | ANY_TEXT),
        source="",
        topic=OUTCOMES_TOPIC,
        key=draw(ANY_TEXT),
        time=NOON,
        data=data,
    )


def _json_text(text: str) -> str:
    return text.encode(errors="replace").decode()


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(any_event(), min_size=1, max_size=4, unique_by=lambda event: event.id))
def test_any_event_whatever_is_in_it_becomes_a_row_or_a_letter_that_its_id_finds(
    events: list[Event], store: RecordStore
) -> None:
    position = store.position("p")
    logged = [LoggedEvent(place, event) for place, event in enumerate(events, start=position + 1)]
    end = position + len(events)
    read = Portion(
        partition="p",
        origin="log",
        events=logged,
        dead_letters=[],
        start=position,
        position=end,
        last_event=events[-1].id,
    )
    keep(read, store=store, bury=Told().bury, now=NOON, evidence=Evidence())

    ids = [event.id for event in events]
    assert store.stored_event_ids(ids) | store.dead_event_ids(ids) == set(ids)
    assert store.position("p") == end
