"""What the lifecycle removes and what it never does, on real files."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from monitoring.entrypoints.prune import prune_now
from monitoring.lifecycle.observed_time import Jump
from monitoring.lifecycle.retention import LETTERS_A_DAY, PORTION, PORTIONS_A_ROUND, Upkeep, horizon, needed
from monitoring.lifecycle.retrain import first_version
from services import bootstrap
from services.adapters.record_store import RecordStoreSql
from services.core.clock import DAY
from services.core.errors import SettingsError
from services.core.ports import ALL_MODELS
from services.core.predictions import PredictionMade
from services.core.records import Batch, DeadLetter
from services.core.spec import RetrainingPolicy
from services.settings import Settings
from tests.toy import NOON, prediction, toy_spec
from tests.toy_traffic import toy_rows
from tests.workshop import SPEC, Bench, open_bench, past_cases, record

KEEP = timedelta(days=400)
TODAY = NOON.replace(hour=0)
AHEAD = timedelta(days=500)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = open_bench(tmp_path)
    yield bench
    bench.store.close()


def upkeep(keep: timedelta = KEEP) -> Upkeep:
    return Upkeep(keep, models=("toy",))


def ask(store: RecordStoreSql, *moments: datetime, model: str = "toy", first: int = 0) -> None:
    rows = [
        msgspec.structs.replace(
            prediction(first + place), model=model, prediction_id=f"{model}-{first + place}-{at}", made_at=at
        )
        for place, at in enumerate(moments)
    ]
    store.commit(Batch(rows, [], []), consumer="test", position=1)


def daily(first: int, last: int, *, a_day: int = 1) -> list[datetime]:
    """Moments on every day from so many days from today until so many."""
    return [NOON + day * DAY for day in range(first, last + 1) for _ in range(a_day)]


def made(bench: Bench) -> int:
    return bench.store.counts("toy").predictions


def of_churn(made_at: datetime) -> PredictionMade:
    name = made_at.isoformat()
    return msgspec.structs.replace(prediction(1), model="churn", prediction_id=name, made_at=made_at)


def test_what_a_spec_needs_is_kept_however_short_the_settings_are() -> None:
    spec = toy_spec(retraining=RetrainingPolicy(history=timedelta(days=90), patience=timedelta(days=120)))

    assert needed(spec) == timedelta(days=120) + spec.drift.window
    assert horizon(spec, keep=DAY, as_of=NOON) == NOON - needed(spec)
    assert horizon(spec, keep=KEEP, as_of=NOON) == NOON - KEEP


def test_a_retraining_learns_the_same_before_and_after_a_pruning(bench: Bench) -> None:
    record(bench.store, toy_rows(600, begin=NOON - needed(SPEC) - 5 * DAY, every=timedelta(minutes=20)))
    ask(bench.store, *daily(-int(needed(SPEC) / DAY), 0))

    upkeep(DAY).attend(SPEC, bench.workshop)

    assert bench.store.first_made_at("toy") >= TODAY - 2 * DAY - needed(SPEC)  # type: ignore[operator]
    assert bench.store.removed("toy").before == TODAY - 2 * DAY - needed(SPEC)
    assert bench.store.removed("toy").predictions > 0


def test_what_is_older_than_the_days_that_were_seen_goes_and_nothing_else(bench: Bench) -> None:
    ask(bench.store, *daily(-450, 0))

    assert upkeep().attend(SPEC, bench.workshop) is None

    # Time has surely come to the day before yesterday.
    assert bench.store.first_made_at("toy") == NOON - 402 * DAY
    assert bench.store.removed("toy").predictions == 48


def test_a_clock_that_is_ahead_for_a_moment_removes_nothing_and_is_told(bench: Bench) -> None:
    ask(bench.store, *daily(-399, 0))
    attending = upkeep()
    attending.attend(SPEC, bench.workshop)
    ask(bench.store, *[NOON + AHEAD] * 50, first=1000)

    jump = attending.attend(SPEC, bench.at(NOON + AHEAD).workshop)
    left = made(bench)
    back = attending.attend(SPEC, bench.at(NOON + DAY).workshop)

    assert jump == Jump(TODAY, TODAY + AHEAD)
    assert (left, made(bench), back) == (450, 450, None)
    assert bench.store.removed("toy").predictions == 0


@pytest.mark.parametrize("ahead", [30, 100, 5000])
def test_a_clock_that_is_ahead_for_weeks_removes_nothing_either(bench: Bench, ahead: int) -> None:
    ask(bench.store, *daily(-399, 0))
    ask(bench.store, *daily(ahead + 36, ahead + 60), first=1000)

    for day in range(ahead + 36, ahead + 60):
        assert upkeep().attend(SPEC, bench.at(NOON + day * DAY).workshop) is not None

    assert made(bench) == 425


def test_pruning_goes_on_from_where_it_was_once_the_clock_is_right_again(bench: Bench) -> None:
    ask(bench.store, *daily(-402, 0))
    attending = upkeep()
    attending.attend(SPEC, bench.workshop)
    attending.attend(SPEC, bench.at(NOON + AHEAD).workshop)
    ask(bench.store, *daily(1, 2), first=1000)

    attending.attend(SPEC, bench.at(NOON + 2 * DAY).workshop)

    assert bench.store.first_made_at("toy") == NOON - 400 * DAY


def test_a_model_that_nobody_asks_any_more_is_pruned_by_the_time_of_the_others(bench: Bench) -> None:
    ask(bench.store, *daily(-900, -890))
    ask(bench.store, *daily(-30, 0), model="other", first=1000)

    Upkeep(KEEP, models=("toy", "other")).attend(SPEC, bench.workshop)

    assert made(bench) == 0


def test_no_more_than_a_share_goes_as_of_one_day_however_often_it_is_tried(bench: Bench) -> None:
    ask(bench.store, *daily(-450, -440, a_day=2 * PORTION), *daily(-420, 0))
    before = made(bench)

    for _ in range(5):
        upkeep().attend(SPEC, bench.workshop)
    assert before - made(bench) == before // 10
    ask(bench.store, NOON + DAY, first=100_000)
    upkeep().attend(SPEC, bench.at(NOON + DAY).workshop)

    assert before - made(bench) > before // 10


def test_a_share_of_few_is_a_portion(bench: Bench) -> None:
    ask(bench.store, *daily(-480, 0))

    upkeep().attend(SPEC, bench.workshop)

    assert bench.store.removed("toy").predictions == 78


def test_a_backlog_goes_a_little_at_each_call_so_that_jobs_are_looked_at_in_between(bench: Bench) -> None:
    many = PORTION * PORTIONS_A_ROUND
    ask(bench.store, *[NOON - 450 * DAY] * (many + 500), *[NOON - 440 * DAY] * 9 * many, *daily(-420, 0))
    attending = upkeep()

    attending.attend(SPEC, bench.workshop)
    first = bench.store.removed("toy").predictions
    attending.attend(SPEC, bench.workshop)

    assert first == many
    assert bench.store.removed("toy").predictions == (10 * many + 500 + 421) // 10


def test_there_is_one_pruning_a_day(bench: Bench) -> None:
    attending = upkeep()
    ask(bench.store, *daily(-10, 0))
    attending.attend(SPEC, bench.workshop)
    ask(bench.store, NOON - 450 * DAY, first=1000)

    attending.attend(SPEC, bench.at(NOON + DAY / 3).workshop)
    assert made(bench) == 12
    attending.attend(SPEC, bench.at(NOON + DAY).workshop)
    assert made(bench) == 11


def test_dead_letters_go_by_the_same_day_and_not_all_at_once(bench: Bench) -> None:
    ask(bench.store, *daily(-10, 0))
    letters = [letter(number, NOON - 500 * DAY) for number in range(LETTERS_A_DAY + 5)]
    bench.store.commit(Batch([], [], letters), consumer="test", position=1)

    upkeep().attend(SPEC, bench.workshop)
    upkeep().attend(SPEC, bench.workshop)
    assert bench.store.counts().dead_letters == 5
    ask(bench.store, NOON + DAY, first=1000)
    upkeep().attend(SPEC, bench.at(NOON + DAY).workshop)

    assert bench.store.counts().dead_letters == 0
    assert bench.store.removed(ALL_MODELS).dead_letters == LETTERS_A_DAY + 5


def test_old_training_sets_go_unless_a_version_was_made_of_them(bench: Bench) -> None:
    first_version(SPEC, bench.workshop, cases=past_cases(800, seed=1))
    directory = bench.workshop.training_directory
    refused, of_another = directory / "toy_2026-03-01_f4_r9_0123456789ab.parquet", directory / "notes.parquet"
    refused.touch()
    of_another.touch()
    (version,) = bench.store.versions("toy")
    ask(bench.store, *daily(-2, 300))

    upkeep().attend(SPEC, bench.at(NOON + 300 * DAY).workshop)
    upkeep().attend(SPEC, bench.at(NOON + 3000 * DAY).workshop)
    assert refused.exists()
    ask(bench.store, *daily(301, 404), first=1000)
    upkeep().attend(SPEC, bench.at(NOON + 404 * DAY).workshop)

    assert sorted(directory.iterdir()) == sorted([directory / version.training_set, of_another])


@pytest.mark.parametrize("days", [0.0, -1.0, 0.5, 1e9, float("nan"), float("inf")])
def test_records_are_kept_for_a_day_at_least_and_for_a_number_of_days(tmp_path: Path, days: float) -> None:
    assert bootstrap.retention(Settings(home=tmp_path, records_keep_days=7)) == timedelta(days=7)
    with pytest.raises(SettingsError, match=r"BELLWETHER_RECORDS_KEEP_DAYS is .*; expected 1 to 36,500"):
        bootstrap.retention(Settings(home=tmp_path, records_keep_days=days))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home whose simulated clock stands at noon, as a world that plays there leaves it."""
    settings = Settings(home=tmp_path)
    bootstrap.world_clock(settings.with_flags(clock_file=str(settings.world_clock_path)), start=NOON).close()
    return settings


def churn(settings: Settings, *moments: datetime) -> RecordStoreSql:
    store = bootstrap.record_store(settings)
    assert isinstance(store, RecordStoreSql)
    store.commit(Batch([of_churn(at) for at in moments], [], []), consumer="test", position=1)
    return store


def test_a_dry_run_says_how_much_would_go_and_removes_nothing(settings: Settings) -> None:
    store = churn(settings, *daily(-403, 0))

    told = prune_now(settings, dry_run=True)
    assert (told["models"]["churn"]["predictions"], told["refused"]) == (1, None)
    assert store.counts("churn").predictions == 404

    assert prune_now(settings, dry_run=False)["models"]["churn"]["predictions"] == 1
    assert store.counts("churn").predictions == 403
    store.close()


def test_a_person_is_asked_to_confirm_a_jump_before_anything_goes(settings: Settings) -> None:
    store = churn(settings, *daily(-503, -100), NOON)

    told = prune_now(settings, dry_run=False)
    assert told["refused"].startswith("time jumped by 100 days, from 2025-11-21 to 2026-03-01")
    assert "--confirm-jump" in told["refused"]
    assert store.counts("churn").predictions == 405

    assert prune_now(settings, dry_run=True, confirm_jump=True)["models"]["churn"]["predictions"] == 103
    assert prune_now(settings, dry_run=False, confirm_jump=True)["models"]["churn"]["predictions"] == 103
    assert prune_now(settings, dry_run=False)["refused"] is None
    store.close()


def test_a_confirmed_jump_is_the_lifecycles_too(bench: Bench) -> None:
    ask(bench.store, *daily(-503, -100))
    attending = upkeep()
    assert attending.attend(SPEC, bench.workshop) is not None

    bench.store.prune_dead_letters(before=NOON - KEEP, as_of=TODAY, limit=1)

    assert attending.attend(SPEC, bench.workshop) is None
    assert bench.store.removed("toy").predictions == 103


def test_a_model_that_is_asked_on_one_day_a_quarter_is_told_of_and_pruned_once_somebody_confirmed(bench: Bench) -> None:
    ask(bench.store, *[NOON - 90 * quarter * DAY for quarter in range(20)])
    attending = upkeep()

    assert attending.attend(SPEC, bench.workshop) == Jump(TODAY - 90 * DAY, TODAY)
    assert made(bench) == 20
    bench.store.prune_dead_letters(before=NOON - KEEP, as_of=TODAY, limit=1)
    assert attending.attend(SPEC, bench.workshop) is None

    assert made(bench) == 5


def test_a_command_says_what_a_model_that_is_rarely_asked_needs(settings: Settings) -> None:
    churn(settings, *[NOON - 90 * quarter * DAY for quarter in range(20)]).close()

    assert "--confirm-jump" in prune_now(settings, dry_run=False)["refused"]
    assert prune_now(settings, dry_run=False, confirm_jump=True)["models"]["churn"]["predictions"] > 10


def test_a_store_that_nothing_tells_the_time_of_has_nothing_to_remove(settings: Settings) -> None:
    churn(settings, NOON - 90 * DAY, NOON).close()

    told = prune_now(settings, dry_run=False)

    assert told == {"dry_run": False, "as_of": None, "refused": None}


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
