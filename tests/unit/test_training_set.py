import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.lifecycle.causes import broken_sources
from monitoring.lifecycle.training_set import MADE_AT, WEIGHT, TooFewRows, keep, past_rows, served_rows, usable
from services.adapters.record_store import RecordStoreSql
from services.core.features import FeatureVerdict, Status
from services.core.records import Judged
from tests.fakes import StoreInMemory
from tests.toy import NOON, prediction
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


def test_the_gate_gets_the_newest_rows_and_training_the_others(tmp_path: Path) -> None:
    frame = past_rows(SPEC, past_cases(100, seed=1))

    training, held_out = keep(SPEC, frame, directory=tmp_path, at=NOON).split(SPEC)

    assert (len(training.target), len(held_out.target)) == (70, 30)
    pd.testing.assert_frame_equal(training.features, frame[list(SPEC.feature_names)].head(70))


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


def test_rows_of_one_class_are_no_training_set(tmp_path: Path) -> None:
    cases = [case for case in past_cases(50, seed=1) if case.value == "stayed"]

    with pytest.raises(TooFewRows, match="needs rows of both classes"):
        keep(SPEC, past_rows(SPEC, cases), directory=tmp_path, at=NOON)


def test_a_feature_that_was_mostly_unusable_has_a_broken_source() -> None:
    rows = [without(row, "visits") if i % 2 else row for i, row in enumerate(toy_rows(20))]

    assert broken_sources(SPEC, ["amount", "visits"], rows) == (
        "visits was unusable in 50% of the answers, limit 20%: mend its source",
    )


def test_a_world_that_changed_is_no_broken_source() -> None:
    assert broken_sources(SPEC, ["amount"], toy_rows(20, richer=3.0)) == ()
    assert broken_sources(SPEC, ["amount"], []) == ()
    assert broken_sources(SPEC, ["amount"], [Judged(prediction(features={}))]) == ()
