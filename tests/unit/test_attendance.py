"""What the lifecycle's process shows of its rounds."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.event import listen

from monitoring.entrypoints.lifecycle import Attendance
from monitoring.entrypoints.tenure import Tenure
from monitoring.lifecycle.retention import Upkeep
from services.adapters.record_store import RecordStoreSql
from services.adapters.record_store.database import engine_of
from services.core.clock import DAY
from services.core.errors import StoreUnavailable
from services.core.records import CHAMPION, AliasChange, Batch, Job, VersionRecord
from services.models.discovery import discover
from tests.toy import NOON, prediction
from tests.workshop import open_bench

TROUBLED, *OTHERS = sorted(discover())


class TroubledStore(RecordStoreSql):
    """Raises `trouble`, while there is any, when it is asked for the jobs of the troubled model."""

    trouble: Exception | None = None
    away = False

    def jobs(self, model: str, *, limit: int) -> list[Job]:
        if self.trouble is not None and model == TROUBLED:
            raise self.trouble
        return super().jobs(model, limit=limit)

    def all_aliases(self) -> dict[str, dict[str, str]]:
        if self.away:
            raise StoreUnavailable("away")
        return super().all_aliases()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TroubledStore]:
    store = TroubledStore(f"sqlite:///{tmp_path / 'records.sqlite'}")
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def attends(store: TroubledStore, tmp_path: Path) -> Iterator[Attendance]:
    """Before it has asked for its models' leases."""
    bench = open_bench(tmp_path)
    tenure = Tenure(store, work="lifecycle", models=discover(), lasts=timedelta(minutes=1))
    yield Attendance(replace(bench.workshop, store=store), tenure)
    bench.store.close()


def registered(version: str, *, manifest_sha256: str) -> VersionRecord:
    return VersionRecord(
        model=TROUBLED,
        version=version,
        registered_at=NOON,
        training_set="",
        training_set_sha256="",
        training_rows=0,
        evidence={},
        manifest_sha256=manifest_sha256,
    )


def last_round(attends: Attendance, model: str) -> float | None:
    return attends.metrics.registry.get_sample_value(
        "bellwether_lifecycle_last_round_timestamp_seconds", {"model": model}
    )


def failures(attends: Attendance, model: str) -> float | None:
    return attends.metrics.registry.get_sample_value("bellwether_lifecycle_failures_total", {"model": model})


@pytest.mark.parametrize("trouble", [StoreUnavailable("away"), RuntimeError("a bug")])
def test_trouble_with_one_model_is_counted_and_the_others_are_attended_to(
    store: TroubledStore, attends: Attendance, trouble: Exception
) -> None:
    store.trouble = trouble
    with attends.tenure:
        attends.round()
        assert (last_round(attends, TROUBLED), failures(attends, TROUBLED)) == (None, 1)
        assert all(last_round(attends, model) and failures(attends, model) == 0 for model in OTHERS)

        store.trouble = None
        attends.round()
    assert last_round(attends, TROUBLED)
    assert failures(attends, TROUBLED) == 1


def test_while_the_store_is_away_every_model_has_failed_and_afterwards_all_are_attended_to(
    store: TroubledStore, attends: Attendance
) -> None:
    with attends.tenure:
        store.away = True
        attends.round()
        assert [failures(attends, model) for model in (TROUBLED, *OTHERS)] == [1] * (1 + len(OTHERS))
        store.away = False
        attends.round()
    assert all(last_round(attends, model) for model in (TROUBLED, *OTHERS))


def test_a_round_without_work_asks_the_store_no_oftener_for_many_models_than_for_one(
    store: TroubledStore, attends: Attendance
) -> None:
    with attends.tenure:
        attends.round()
        asked = list[str]()
        listen(engine_of(store._database), "before_cursor_execute", lambda *event: asked.append(event[2]))
        attends.round()
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 2


@pytest.mark.parametrize("manifests", [{}, {"v1": "another"}], ids=["none, as before any were recorded", "another"])
def test_workers_are_told_the_hash_of_the_manifest_that_was_registered_whatever_their_file_says(
    store: TroubledStore, attends: Attendance, manifests: dict[str, str]
) -> None:
    store.add_version(registered("v1", manifest_sha256="registered"))
    first = AliasChange(model=TROUBLED, alias=CHAMPION, version="v1", previous="", at=NOON, reason="test")
    store.move_alias(first)
    fleet = attends.workshop.fleet
    with attends.tenure:
        for _ in range(2):
            fleet.publish(TROUBLED, {CHAMPION: "v1"}, manifests=manifests)
            attends.round()
            assert fleet.manifests(TROUBLED) == {"v1": "registered"}


def test_a_process_without_the_lease_tells_no_time(attends: Attendance) -> None:
    attends.round()
    assert last_round(attends, TROUBLED) is None
    with attends.tenure:
        attends.round()
        assert last_round(attends, TROUBLED)
    attends.round()
    assert last_round(attends, TROUBLED) is None


def test_a_jump_of_time_is_shown_while_nothing_is_pruned_for_it(attends: Attendance, store: TroubledStore) -> None:
    days = [prediction(day, model=TROUBLED, made_at=NOON - day * DAY) for day in range(5)]
    store.commit(Batch(days, [], []), consumer="test", position=1)
    moment = [NOON]
    workshop = replace(attends.workshop, now=lambda: moment[0])
    pruning = replace(attends, workshop=workshop, upkeep=Upkeep(400 * DAY, tuple(discover())))

    def stands_still() -> list[float | None]:
        pruning.round()
        gauge = "bellwether_pruning_stands_still"
        return [pruning.metrics.registry.get_sample_value(gauge, {"model": each}) for each in (TROUBLED, OTHERS[0])]

    with attends.tenure:
        assert stands_still() == [0, 0]
        moment[0] = NOON + 500 * DAY
        assert stands_still() == [1, 1]
        moment[0] = NOON
        assert stands_still() == [0, 0]
    assert stands_still() == [None, None]
