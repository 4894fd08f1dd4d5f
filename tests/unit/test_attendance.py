"""What the lifecycle's process shows of its rounds."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitoring.entrypoints.lifecycle import Attendance
from monitoring.entrypoints.tenure import Tenure
from services.adapters.record_store import RecordStoreSql
from services.core.errors import StoreUnavailable
from services.models.discovery import discover
from tests.workshop import open_bench

TROUBLED, *OTHERS = sorted(discover())


class TroubledStore(RecordStoreSql):
    """Raises `trouble`, while there is any, when it is asked what serves of the troubled model."""

    trouble: Exception | None = None

    def aliases(self, model: str) -> dict[str, str]:
        if self.trouble is not None and model == TROUBLED:
            raise self.trouble
        return super().aliases(model)


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


def test_a_process_without_the_lease_tells_no_time(attends: Attendance) -> None:
    attends.round()
    assert last_round(attends, TROUBLED) is None
    with attends.tenure:
        attends.round()
        assert last_round(attends, TROUBLED)
    attends.round()
    assert last_round(attends, TROUBLED) is None
