"""The monitor's rounds: when it judges, what it keeps, and what it hands over."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from monitoring.evaluation.judges import Judges
from monitoring.evaluation.report_files import ReportFiles
from monitoring.evaluation.unknown import NotEnoughData
from monitoring.metrics.table import LAST_SUCCESS
from services.core.errors import LeaseLost, StoreUnavailable
from services.core.ports import RecordStore
from services.core.records import EvaluationResult, ResultKind, ResultStatus
from services.core.spec import ModelSpec
from tests.fakes import StoreInMemory
from tests.monitoring import SPEC, ToyMonitor
from tests.toy import NOON
from tests.toy_traffic import toy_rows
from tests.waiting import eventually

DAY = timedelta(days=1)


class LostDesk(StoreInMemory):
    """Of a monitor that does not know yet that another judges its model."""

    def save_results(self, results: Iterable[EvaluationResult]) -> None:
        raise LeaseLost("another process has it")


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[ToyMonitor]:
    toy = ToyMonitor(tmp_path)
    yield toy
    toy.monitor.close()


def test_a_round_judges_and_keeps_once_while_event_time_stands(toy: ToyMonitor) -> None:
    for _ in range(3):
        toy.monitor.round()
    assert len(toy.store.saved) == len(ResultKind)


def test_between_kept_judgements_the_gauges_are_refreshed(toy: ToyMonitor) -> None:
    toy.monitor.round()
    toy.now += timedelta(minutes=10)
    toy.monitor.round()
    assert len(toy.store.saved) == len(ResultKind)
    assert {result.computed_at for result in toy.monitor.newest("toy")} == {toy.now}
    toy.now += timedelta(hours=6)
    toy.monitor.round()
    assert len(toy.store.saved) == 2 * len(ResultKind)


def test_confirmed_drift_is_handed_over_and_drawn_once_and_kept(toy: ToyMonitor) -> None:
    toy.promote("v1")
    toy.store.rows = toy_rows(2000, begin=NOON - 5 * DAY, every=DAY / 200, richer=1.0)
    for _ in range(4):
        toy.monitor.round()
        toy.now += DAY
    # The rows behind a find confirm it by themselves, once there are enough.
    assert len(toy.alerts) == 2
    assert len({alert["alerts"][0]["startsAt"] for alert in toy.alerts}) == 1
    toy.monitor.close()
    assert len(toy.monitor.files.names("toy")) == 1
    assert toy.metrics.registry.get_sample_value("bellwether_drift_detected", {"model": "toy"}) == 1


def test_looks_between_counted_windows_add_nothing_to_the_streak(toy: ToyMonitor) -> None:
    toy.promote("v1")
    toy.store.rows = toy_rows(1200, begin=NOON - 5 * DAY, every=DAY / 200, richer=1.0)
    for _ in range(5):
        toy.monitor.round()
        toy.now += timedelta(hours=4)
    assert toy.alerts == []


def test_a_promotion_changes_the_reference_and_forgets_the_streak(toy: ToyMonitor) -> None:
    toy.promote("v1")
    toy.store.rows = toy_rows(1200, begin=NOON - 5 * DAY, every=DAY / 200, richer=1.0)
    toy.monitor.round()
    toy.promote("v2")
    toy.now += DAY
    toy.monitor.round()
    (drift,) = [result for result in toy.monitor.newest("toy") if result.kind is ResultKind.DRIFT]
    assert (drift.version, drift.body["streaks"]["amount"]["in_a_row"]) == ("v2", 1)
    assert toy.alerts == []


def test_a_version_whose_reference_is_gone_fails_the_drift_alone(toy: ToyMonitor) -> None:
    toy.promote("v1")
    (toy.versions.directory("toy", "v1") / "reference.parquet").unlink()
    toy.monitor.round()
    status = {result.kind: result.status for result in toy.monitor.newest("toy")}
    assert status[ResultKind.DRIFT] is ResultStatus.FAILED
    assert ResultStatus.FAILED not in {each for kind, each in status.items() if kind is not ResultKind.DRIFT}
    labels = {"model": "toy", "kind": "drift"}
    assert toy.metrics.registry.get_sample_value("bellwether_evaluation_failures_total", labels) == 1


def test_a_store_that_fails_does_not_end_the_monitor_and_is_asked_again(toy: ToyMonitor) -> None:
    toy.store.failure = StoreUnavailable("the disk is gone")
    toy.monitor.round()
    assert toy.monitor.newest("toy") == []
    toy.store.failure = None
    toy.monitor.round()
    assert len(toy.monitor.newest("toy")) == len(ResultKind)


def test_those_who_ask_at_once_get_the_same_report(toy: ToyMonitor) -> None:
    toy.promote("v1")
    toy.store.rows = toy_rows(800, begin=NOON - 5 * DAY)
    first, second = toy.monitor.report_soon(SPEC), toy.monitor.report_soon(SPEC)
    assert first is second
    path = first.result(60)
    assert isinstance(path, Path)
    assert "amount" in path.read_text()


def test_without_a_champion_or_rows_there_is_no_report_and_it_says_why(toy: ToyMonitor) -> None:
    assert isinstance(toy.monitor.report_soon(SPEC).result(60), NotEnoughData)
    toy.promote("v1")
    assert isinstance(toy.monitor.report_soon(SPEC).result(60), NotEnoughData)


def test_the_oldest_reports_are_deleted(tmp_path: Path) -> None:
    files = ReportFiles(tmp_path, kept=2)
    for day in (3, 1, 2):
        files.add("toy", at=NOON + day * DAY, html=str(day))
    assert files.names("toy") == ["20260304T120000Z.html", "20260303T120000Z.html"]
    assert files.names("other") == []


def test_a_report_from_ahead_of_the_clock_takes_no_other_ones_place(tmp_path: Path) -> None:
    files = ReportFiles(tmp_path, kept=2)
    for day in (500, 501, 1, 2):
        files.add("toy", at=NOON + day * DAY, html=str(day))
    assert files.names("toy") == ["20260303T120000Z.html", "20260302T120000Z.html"]


def test_the_present_is_judged_again_once_a_clock_that_was_ahead_is_right(toy: ToyMonitor) -> None:
    toy.promote("v1")
    toy.store.rows = toy_rows(2000, begin=NOON - 5 * DAY, every=DAY / 200, richer=1.0)
    toy.monitor.round()
    toy.now = NOON + 500 * DAY
    toy.monitor.round()
    toy.now = NOON + timedelta(minutes=1)
    toy.monitor.round()

    assert {result.window_end for result in toy.monitor.newest("toy") if result.kind is ResultKind.DRIFT} == {toy.now}
    assert not toy.alerts
    for _ in range(3):
        toy.now += DAY
        toy.monitor.round()
    assert toy.alerts  # drift is confirmed as it would have been


def test_a_monitor_that_starts_anew_goes_on_from_the_present_and_not_from_ahead(toy: ToyMonitor) -> None:
    toy.monitor.round()
    toy.now = NOON + 500 * DAY
    toy.monitor.round()
    toy.now = NOON + timedelta(minutes=1)

    anew = replace(toy.monitor, _newest={}, _kept_until={})

    assert {result.computed_at for result in anew.newest("toy")} == {NOON}


@pytest.mark.parametrize(
    "name", ["../secret.html", "secret.html", "", "20260304T120000Z.html/..", "20990101T000000Z.html"]
)
def test_only_names_of_reports_lead_to_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.html").write_text("secret")
    files = ReportFiles(tmp_path, kept=2)
    files.add("toy", at=NOON, html="x")
    assert files.path("toy", name) is None


def test_a_monitor_that_stands_by_judges_nothing_and_shows_what_the_other_kept(toy: ToyMonitor) -> None:
    toy.monitor.round()
    kept = list(toy.store.saved)
    toy.desk = None
    toy.now += DAY
    toy.monitor.round()
    assert toy.store.saved == kept
    assert sorted(toy.monitor.newest("toy"), key=by_kind) == sorted(kept, key=by_kind)


def test_a_monitor_whose_model_went_to_another_shows_no_gauge_of_it(toy: ToyMonitor) -> None:
    labels = {"model": "toy", "kind": "drift"}
    toy.monitor.round()
    assert toy.metrics.registry.get_sample_value(LAST_SUCCESS, labels) is not None
    toy.desk = None
    toy.monitor.round()
    assert toy.metrics.registry.get_sample_value(LAST_SUCCESS, labels) is None


def test_a_monitor_that_takes_over_judges_at_once(toy: ToyMonitor) -> None:
    toy.desk = None
    toy.monitor.round()
    toy.desk = toy.store.port
    toy.monitor.round()
    assert len(toy.store.saved) == len(ResultKind)


def test_a_monitor_whose_model_another_judges_by_now_keeps_and_hands_over_nothing(toy: ToyMonitor) -> None:
    toy.promote("v1")
    toy.store.rows = toy_rows(1000, begin=NOON - 5 * DAY, every=DAY / 200, richer=1.0)
    toy.desk = LostDesk().port
    for _ in range(3):
        toy.monitor.round()
        toy.now += DAY
    assert toy.store.saved == []
    assert toy.alerts == []


def by_kind(result: EvaluationResult) -> str:
    return result.kind.value


def test_a_model_whose_judgement_takes_long_holds_up_no_other(tmp_path: Path) -> None:
    """The reference of the one comes from a disk that answers nobody."""
    toy, stuck = ToyMonitor(tmp_path), Event()
    slow = replace(SPEC, name="slow")
    judged = list[str]()

    def observe(spec: ModelSpec, results: list[EvaluationResult]) -> None:
        judged.append(spec.name)

    def desk(model: str) -> RecordStore:
        return toy.store.port

    monitor = replace(
        toy.monitor,
        specs={"slow": slow, "toy": SPEC},
        store=StuckStore("slow", stuck).port,
        desk=desk,
        observe=observe,
        judges=Judges(patience=0.1),
    )
    monitor.round()
    eventually(lambda: judged == ["toy"], what="the other is judged")
    toy.now += DAY
    monitor.round()
    eventually(lambda: judged == ["toy", "toy"], what="the other is judged again")
    stuck.set()
    monitor.close()
    assert sorted(judged) == ["slow", "toy", "toy"]
    toy.monitor.close()


class StuckStore(StoreInMemory):
    """Gives the rows of one model only once it is let go."""

    def __init__(self, model: str, until: Event) -> None:
        super().__init__()
        self.model, self.until = model, until

    def aliases(self, model: str) -> dict[str, str]:
        if model == self.model:
            self.until.wait(60)
        return super().aliases(model)
