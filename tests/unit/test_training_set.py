import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.lifecycle.training_set import (
    MADE_AT,
    METADATA,
    TARGET,
    WEIGHT,
    TooFewRows,
    keep,
    past_rows,
    served_rows,
    usable,
)
from services.adapters.record_store import RecordStoreSql
from services.core.features import FeatureVerdict, Status
from services.core.records import Judged
from services.core.spec import Unavailable
from tests.fakes import StoreInMemory
from tests.toy import NOON, toy_spec
from tests.toy_traffic import toy_rows
from tests.workshop import SPEC, past_cases, record

DELAY = SPEC.task.outcome_delay


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStoreSql]:
    store = RecordStoreSql(f"sqlite:///{tmp_path / 'records.sqlite'}")
    store.migrate()
    yield store
    store.close()


def without(row: Judged, name: str, status: Status = Status.STALE) -> Judged:
    features = row.prediction.features | {name: FeatureVerdict(status)}
    return msgspec.structs.replace(row, prediction=msgspec.structs.replace(row.prediction, features=features))


@pytest.mark.parametrize(("name", "value"), [("amount", "many"), ("amount", 1e39), ("mood", -1e308), ("plan", 3.0)])
def test_a_value_that_the_feature_cannot_have_now_leaves_its_row_out_and_keeps_nobody_from_learning(
    store: RecordStoreSql, name: str, value: float | str
) -> None:
    """A feature may have been of another kind when it was recorded, and others write events too."""
    rows = [row for row in toy_rows(200, begin=NOON - timedelta(days=9)) if row.outcome is not None]
    odd = rows[0].prediction.features | {name: FeatureVerdict(Status.OK, value)}
    rows[0] = msgspec.structs.replace(rows[0], prediction=msgspec.structs.replace(rows[0].prediction, features=odd))

    record(store, rows)

    frame = served_rows(SPEC, store, made_from=NOON - timedelta(days=30), now=NOON + DELAY)

    assert len(frame) == len(rows) - 1


def test_nothing_is_learnt_from_an_outcome_that_is_none_of_the_classes(store: RecordStoreSql) -> None:
    rows = [row for row in toy_rows(200, begin=NOON - timedelta(days=9)) if row.outcome is not None]
    rows[0] = msgspec.structs.replace(rows[0], outcome="Left!")

    record(store, rows)

    frame = served_rows(SPEC, store, made_from=NOON - timedelta(days=30), now=NOON + DELAY)

    assert len(frame) == len(rows) - 1


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    matured=st.integers(0, 60),
    unknown=st.sets(st.integers(0, 59)),
    incomplete=st.sets(st.integers(0, 59)),
)
def test_what_is_learnt_from_was_matured_known_complete_and_not_acted_on(
    seed: int, matured: int, unknown: set[int], incomplete: set[int]
) -> None:
    rows = toy_rows(60, seed=seed, every=timedelta(hours=1))
    rows = [msgspec.structs.replace(row, outcome=None) if i in unknown else row for i, row in enumerate(rows)]
    rows = [without(row, "visits") if i in incomplete else row for i, row in enumerate(rows)]
    now = NOON + DELAY + matured * timedelta(hours=1)

    found = usable(served_rows(SPEC, StoreInMemory(rows).port, made_from=NOON, now=now))

    allowed = [
        row.prediction.made_at
        for i, row in enumerate(rows)
        if row.prediction.made_at < now - DELAY
        and i not in unknown | incomplete
        and not row.prediction.acted
        and row.outcome is not None
    ]
    assert list(found[MADE_AT]) == allowed
    assert (found[WEIGHT] > 0).all()


def test_an_imputed_value_is_learnt_from_as_it_was_served(store: RecordStoreSql) -> None:
    (row,) = toy_rows(1)
    verdict = FeatureVerdict(Status.STALE, 7.0, imputed=0.0)
    made = msgspec.structs.replace(row.prediction, features=row.prediction.features | {"mood": verdict})
    record(store, [msgspec.structs.replace(row, prediction=made)])

    found = served_rows(SPEC, store, made_from=NOON, now=NOON + 2 * DELAY)

    assert list(found["mood"]) == [0.0]


def test_a_gap_is_learnt_from_where_the_model_takes_one(store: RecordStoreSql) -> None:
    spec = toy_spec(features=tuple(replace(each, if_unavailable=Unavailable.OPTIONAL) for each in SPEC.features))
    (row,) = toy_rows(1)
    record(store, [without(without(row, "visits"), "plan")])

    found = served_rows(spec, store, made_from=NOON, now=NOON + 2 * DELAY)

    assert found["visits"].isna().all()
    assert list(found["plan"]) == [""]


def test_answers_from_before_a_feature_was_declared_are_left_out_even_where_gaps_are_taken(
    store: RecordStoreSql,
) -> None:
    spec = toy_spec(features=tuple(replace(each, if_unavailable=Unavailable.OPTIONAL) for each in SPEC.features))
    old, new = toy_rows(2)
    known = {name: each for name, each in old.prediction.features.items() if name != "mood"}
    old = msgspec.structs.replace(old, prediction=msgspec.structs.replace(old.prediction, features=known))
    record(store, [old, new])

    found = served_rows(spec, store, made_from=NOON, now=NOON + 2 * DELAY)

    assert list(found[MADE_AT]) == [new.prediction.made_at]


def test_served_rows_come_oldest_first_however_they_were_stored(store: RecordStoreSql) -> None:
    rows = toy_rows(50)
    record(store, rows[::-1])

    found = served_rows(SPEC, store, made_from=NOON, now=NOON + 2 * DELAY)

    assert list(found[MADE_AT]) == [row.prediction.made_at for row in rows]


def test_an_answer_whose_action_was_withheld_stands_for_those_that_were_acted_on(store: RecordStoreSql) -> None:
    rows = toy_rows(50)
    record(store, rows)

    weights = served_rows(SPEC, store, made_from=NOON, now=NOON + 2 * DELAY)[WEIGHT]

    assert list(weights) == [row.prediction.weight for row in rows]
    assert set(weights) == {0.0, 1.0, 4.0}


def test_past_cases_whose_words_are_numpys_are_learnt_from_as_text() -> None:
    cases = [
        msgspec.structs.replace(case, features=case.features | {"plan": np.str_(case.features["plan"])})
        for case in past_cases(20, seed=1)
    ]
    pd.testing.assert_frame_equal(past_rows(SPEC, cases), past_rows(SPEC, past_cases(20, seed=1)))
    assert {type(each) for each in past_rows(SPEC, cases)["plan"]} == {str}


def test_the_gate_gets_the_newest_rows_and_training_the_others(tmp_path: Path) -> None:
    frame = past_rows(SPEC, past_cases(100, seed=1))

    training, held_out = keep(SPEC, frame, directory=tmp_path, at=NOON).split(SPEC)

    assert (len(training.target), len(held_out.target)) == (70, 30)
    pd.testing.assert_frame_equal(training.features, frame[list(SPEC.feature_names)].head(70))


def test_rows_that_were_acted_on_are_kept_in_the_file_and_in_no_part_of_the_split(tmp_path: Path) -> None:
    frame = past_rows(SPEC, past_cases(100, seed=1))
    frame.loc[::2, WEIGHT] = 0.0

    snapshot = keep(SPEC, frame, directory=tmp_path, at=NOON)
    training, held_out = snapshot.split(SPEC)

    assert len(snapshot.frame) == 100
    assert (len(training.target), len(held_out.target)) == (35, 15)
    assert (training.weights > 0).all()
    assert (held_out.weights > 0).all()


def test_the_file_is_named_for_what_it_holds_and_its_hash_is_that_of_its_bytes(tmp_path: Path) -> None:
    frame = past_rows(SPEC, past_cases(100, seed=1))

    snapshot = keep(SPEC, frame, directory=tmp_path, at=NOON)

    assert snapshot.sha256 == hashlib.sha256(snapshot.path.read_bytes()).hexdigest()
    assert snapshot.path.name == f"toy_2026-03-01_f4_r100_{snapshot.sha256[:12]}.parquet"
    assert [each.name for each in tmp_path.iterdir()] == [snapshot.path.name]
    pd.testing.assert_frame_equal(pd.read_parquet(snapshot.path), frame)


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = (keep(SPEC, past_rows(SPEC, past_cases(50, seed=1)), directory=tmp_path, at=NOON) for _ in range(2))

    assert one.path == other.path


def test_other_rows_give_another_file(tmp_path: Path) -> None:
    one, other = (keep(SPEC, past_rows(SPEC, past_cases(50, seed=n)), directory=tmp_path, at=NOON) for n in (1, 2))

    assert one.path != other.path
    assert one.path.exists()


def test_the_file_says_by_itself_what_its_rows_are(tmp_path: Path) -> None:
    snapshot = keep(SPEC, past_rows(SPEC, past_cases(50, seed=1)), directory=tmp_path, at=NOON)

    said = msgspec.json.decode(pq.read_schema(snapshot.path).metadata[METADATA])

    assert (said["model"], said["rows"], said["task"]["positive"]) == ("toy", 50, "left")
    assert [each["name"] for each in said["features"]] == list(SPEC.feature_names)
    assert said["first_made_at"] < said["last_made_at"] < said["taken_at"]


@pytest.mark.parametrize("kept", ["left", "stayed", "nobody"])
def test_rows_of_one_class_are_no_training_set_and_leave_no_file(kept: str, tmp_path: Path) -> None:
    cases = [case for case in past_cases(50, seed=1) if case.value == kept]

    with pytest.raises(TooFewRows, match="needs rows of both classes"):
        keep(SPEC, past_rows(SPEC, cases), directory=tmp_path, at=NOON)
    assert list(tmp_path.iterdir()) == []


def test_a_class_that_only_acted_on_rows_have_is_not_there(tmp_path: Path) -> None:
    frame = past_rows(SPEC, past_cases(50, seed=1))
    frame.loc[frame[TARGET] == 1, WEIGHT] = 0.0

    with pytest.raises(TooFewRows, match="'left': 0"):
        keep(SPEC, frame, directory=tmp_path, at=NOON)


def test_a_class_that_only_the_newest_rows_have_cannot_be_learnt(tmp_path: Path) -> None:
    frame = past_rows(SPEC, past_cases(100, seed=1))
    frame[TARGET] = [0] * 70 + [1] * 30

    with pytest.raises(TooFewRows, match="the older part of a training set"):
        keep(SPEC, frame, directory=tmp_path, at=NOON).split(SPEC)
