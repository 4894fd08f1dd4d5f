"""What the lifecycle removes and what it never does, on real files."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from monitoring.entrypoints.prune import prune_now
from monitoring.lifecycle.retention import PORTION, PORTIONS_A_ROUND, Upkeep, horizon, needed
from monitoring.lifecycle.retrain import first_version
from services import bootstrap
from services.core.errors import SettingsError
from services.core.predictions import PredictionMade
from services.core.records import Batch
from services.core.spec import RetrainingPolicy
from services.settings import KAFKA, Settings
from tests.toy import NOON, prediction, toy_spec
from tests.toy_traffic import toy_rows
from tests.workshop import SPEC, Bench, open_bench, past_cases, record

DAY = timedelta(days=1)
KEEP = timedelta(days=400)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = open_bench(tmp_path)
    yield bench
    bench.store.close()


def made(bench: Bench) -> int:
    return bench.store.counts("toy").predictions


def of_churn(made_at: datetime) -> PredictionMade:
    name = made_at.isoformat()
    return msgspec.structs.replace(prediction(1), model="churn", prediction_id=name, made_at=made_at)


def test_what_a_spec_needs_is_kept_however_short_the_settings_are() -> None:
    spec = toy_spec(retraining=RetrainingPolicy(history=timedelta(days=90), patience=timedelta(days=120)))

    assert needed(spec) == timedelta(days=120) + spec.drift.window
    assert horizon(spec, keep=DAY, now=NOON) == NOON - needed(spec)
    assert horizon(spec, keep=KEEP, now=NOON) == NOON - KEEP


def test_a_retraining_learns_the_same_before_and_after_a_pruning(bench: Bench) -> None:
    long_ago = NOON - needed(SPEC)
    record(bench.store, toy_rows(600, begin=long_ago - 2 * DAY, every=timedelta(minutes=10)))

    Upkeep(DAY).attend(SPEC, bench.workshop)

    assert bench.store.first_made_at("toy") == long_ago


def test_a_backlog_goes_a_little_at_each_call_so_that_jobs_are_looked_at_in_between(bench: Bench) -> None:
    rows = [prediction(number) for number in range(PORTION * PORTIONS_A_ROUND + 7)]
    bench.store.commit(Batch(rows, [], []), consumer="test", position=1)
    upkeep = Upkeep(KEEP)
    bench.at(NOON + KEEP + DAY)

    upkeep.attend(SPEC, bench.workshop)
    left = made(bench)
    upkeep.attend(SPEC, bench.workshop)

    assert (left, made(bench)) == (7, 0)


def test_there_is_one_pruning_a_day(bench: Bench) -> None:
    upkeep, day = Upkeep(KEEP), NOON + KEEP + DAY
    upkeep.attend(SPEC, bench.at(day).workshop)
    bench.store.commit(Batch([prediction(1)], [], []), consumer="test", position=1)

    upkeep.attend(SPEC, bench.at(day + DAY / 2).workshop)
    assert made(bench) == 1
    upkeep.attend(SPEC, bench.at(day + DAY).workshop)
    assert made(bench) == 0


def test_old_training_sets_go_unless_a_version_was_made_of_them(bench: Bench) -> None:
    first_version(SPEC, bench.workshop, cases=past_cases(800, seed=1))
    directory = bench.workshop.training_directory
    refused, of_another = directory / "toy_2026-03-01_f4_r9_0123456789ab.parquet", directory / "notes.parquet"
    refused.touch()
    of_another.touch()
    (version,) = bench.store.versions("toy")

    Upkeep(KEEP).attend(SPEC, bench.at(NOON + KEEP / 2).workshop)
    assert refused.exists()
    Upkeep(KEEP).attend(SPEC, bench.at(NOON + KEEP + DAY).workshop)

    assert sorted(directory.iterdir()) == sorted([directory / version.training_set, of_another])


def test_an_event_that_could_be_read_again_is_never_too_old(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, records_keep_days=7, outbox_keep_hours=24)

    assert bootstrap.retention(settings) == timedelta(days=7)
    with pytest.raises(SettingsError, match="BELLWETHER_RECORDS_KEEP_DAYS is 7, and events are kept for 7 days"):
        bootstrap.retention(replace(settings, outbox_keep_hours=168.0))
    with pytest.raises(SettingsError, match="BELLWETHER_KAFKA_RETENTION_HOURS"):
        bootstrap.retention(replace(settings, event_log=KAFKA, kafka="127.0.0.1:9"))


def test_a_dry_run_says_how_much_would_go_and_removes_nothing(tmp_path: Path) -> None:
    settings, now = Settings(home=tmp_path), datetime.now(NOON.tzinfo)
    store = bootstrap.record_store(settings)
    store.commit(Batch([of_churn(now - 2 * KEEP), of_churn(now)], [], []), consumer="test", position=1)

    told = prune_now(settings, dry_run=True)
    assert told["models"]["churn"]["predictions"] == 1
    assert store.counts("churn").predictions == 2

    assert prune_now(settings, dry_run=False)["models"]["churn"]["predictions"] == 1
    assert store.counts("churn").predictions == 1
    store.close()
