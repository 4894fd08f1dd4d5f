"""The monitor's gauges."""

from datetime import timedelta

import msgspec
import pytest
from prometheus_client import generate_latest

from monitoring.evaluation.business import business
from monitoring.evaluation.unknown import NotEnoughData
from monitoring.metrics import LifecycleMetrics, MonitorMetrics, Observed
from monitoring.metrics.table import LIFECYCLE, MONITOR, PRUNING_STANDS_STILL
from services.core.records import JobState, ResultKind, ResultStatus
from services.metrics.table import CONSUMER, FORWARDER, SERVING
from tests.fake_run import FakeRun, fake_run
from tests.toy import NOON, toy_spec
from tests.toy_traffic import toy_rows

ALL = {**MONITOR, **LIFECYCLE, **SERVING, **CONSUMER, **FORWARDER}
PROMISED = toy_spec().objectives


@pytest.fixture(scope="module")
def run() -> FakeRun:
    return fake_run(days=30)


def test_every_figure_of_an_evaluation_is_shown(run: FakeRun) -> None:
    metrics = _shown(run)
    value = metrics.registry.get_sample_value
    drift = run.state.one(ResultKind.DRIFT)
    assert drift is not None
    amount = {"model": "toy", "feature": "amount", "method": "wasserstein"}
    assert value("bellwether_drift_score", amount) == drift.body["features"]["amount"]["score"]
    assert value("bellwether_drift_threshold", amount) == drift.body["features"]["amount"]["threshold"]
    assert value("bellwether_drift_score", amount | {"feature": "score"}) is not None
    assert value("bellwether_drift_detected", {"model": "toy"}) == 1
    assert 0.7 < (value("bellwether_performance", {"model": "toy", "version": "v1", "metric": "auc"}) or 0) < 0.9
    assert value("bellwether_outcome_coverage_ratio", {"model": "toy"}) == 1
    assert (value("bellwether_business_amount", {"model": "toy", "arm": "control", "measure": "kept"}) or 0) > 0
    assert value("bellwether_model_info", {"model": "toy", "version": "v1", "alias": "champion"}) == 1
    assert value("bellwether_retraining_open", {"model": "toy"}) == 1
    assert value("bellwether_rollbacks_total", {"model": "toy"}) == 2
    assert value("bellwether_objective", {"model": "toy", "objective": "p99_seconds"}) == 0.05
    at = run.state.now.timestamp()
    for kind in ResultKind:
        labels = {"model": "toy", "kind": kind.value}
        assert value("bellwether_evaluation_last_success_timestamp_seconds", labels) == at


def test_the_effect_of_acting_is_shown_for_all_and_for_those_whom_only_the_model_picks(run: FakeRun) -> None:
    body = business(toy_spec(), toy_rows(4000))
    assert not isinstance(body, NotEnoughData)
    judged = [
        msgspec.structs.replace(each, body=body) for each in run.state.results if each.kind is ResultKind.BUSINESS
    ]
    metrics = MonitorMetrics()
    metrics.observe("toy", _observed(run, results=judged))
    for of_whom in ("effect", "beyond_rule"):
        labels = {"model": "toy", "measure": "kept", "bound": "low"}
        shown = metrics.registry.get_sample_value(f"bellwether_business_{of_whom}", labels)
        assert shown == body["measures"]["kept"][of_whom]["per_entity"]["low"]


def test_what_is_no_longer_known_has_no_line_instead_of_its_last_value(run: FakeRun) -> None:
    metrics = _shown(run)
    unknown = [
        msgspec.structs.replace(result, status=ResultStatus.NOT_ENOUGH_DATA, body={"reason": "too few"})
        for result in run.state.results
    ]
    metrics.observe("toy", _observed(run, results=unknown))
    text = generate_latest(metrics.registry).decode()
    assert "bellwether_drift_detected{" not in text
    assert "bellwether_performance{" not in text


def test_while_nothing_can_be_seen_the_figures_go_and_the_ages_stay(run: FakeRun) -> None:
    clock = [0.0]
    metrics = MonitorMetrics(monotonic=lambda: clock[0])
    metrics.observe("toy", _observed(run))
    lines = []
    for clock[0] in (1.0, 59.0, 61.0):
        metrics.not_observed("toy")
        text = generate_latest(metrics.registry).decode()
        lines.append(("bellwether_drift_detected{" in text, "bellwether_evaluation_last_success_timestamp_" in text))
    metrics.observe("toy", _observed(run))
    assert lines == [(True, True), (True, True), (False, True)]
    assert "bellwether_drift_detected{" in generate_latest(metrics.registry).decode()


def test_a_lifecycle_that_fails_does_not_say_that_pruning_goes_on() -> None:
    metrics = LifecycleMetrics()
    metrics.attended("toy", at=NOON)
    metrics.pruning_stands_still("toy", False)
    assert metrics.registry.get_sample_value(PRUNING_STANDS_STILL, {"model": "toy"}) == 0
    metrics.failed("toy")
    assert metrics.registry.get_sample_value(PRUNING_STANDS_STILL, {"model": "toy"}) is None


def test_a_failure_is_counted_and_the_age_of_the_last_success_grows(run: FakeRun) -> None:
    metrics = _shown(run)
    failed = [
        msgspec.structs.replace(
            result, status=ResultStatus.FAILED, body={"reason": "x"}, computed_at=NOON + timedelta(days=900)
        )
        for result in run.state.results
        if result.kind is ResultKind.DRIFT
    ]
    metrics.observe("toy", _observed(run, results=failed))
    labels = {"model": "toy", "kind": "drift"}
    value = metrics.registry.get_sample_value
    assert value("bellwether_evaluation_failures_total", labels) == 1
    success = value("bellwether_evaluation_last_success_timestamp_seconds", labels)
    assert success == run.state.now.timestamp()


def test_ended_retrainings_are_counted_by_trigger_and_result(run: FakeRun) -> None:
    metrics = MonitorMetrics()
    (job,) = run.state.jobs
    jobs = [msgspec.structs.replace(job, id=i, state=state) for i, state in enumerate([JobState.REFUSED] * 2)]
    metrics.observe("toy", Observed([], {}, jobs, run.state.counts, PROMISED, rollbacks=0))
    labels = {"model": "toy", "trigger": "drift", "result": "refused"}
    assert metrics.registry.get_sample_value("bellwether_retraining_runs_total", labels) == 2


def test_what_has_not_happened_yet_is_shown_as_none_so_that_the_first_time_is_a_rise(run: FakeRun) -> None:
    value = _shown(run).registry.get_sample_value
    failed = {"model": "toy", "trigger": "drift", "result": "failed"}
    assert value("bellwether_retraining_runs_total", failed) == 0
    assert value("bellwether_evaluation_failures_total", {"model": "toy", "kind": "drift"}) == 0


def test_every_metric_has_a_sentence_and_no_id_among_its_labels() -> None:
    assert all(each.meaning.endswith(".") for each in ALL.values())
    labels = {label for each in ALL.values() for label in each.labels}
    assert labels.isdisjoint({"entity", "entity_id", "prediction_id", "path", "job"})


def test_dead_letters_are_counted_once_however_many_models_there_are(run: FakeRun) -> None:
    metrics = MonitorMetrics()
    for model, dead in (("toy", 7), ("another", 8)):
        counts = msgspec.structs.replace(run.state.counts, dead_letters=dead)
        metrics.observe(model, Observed([], {}, [], counts, PROMISED, rollbacks=0))
    assert metrics.registry.get_sample_value("bellwether_dead_letters") == 8
    assert 'what="dead_letters"' not in generate_latest(metrics.registry).decode()


def _shown(run: FakeRun) -> MonitorMetrics:
    metrics = MonitorMetrics()
    metrics.observe("toy", _observed(run))
    return metrics


def _observed(run: FakeRun, results: object = None) -> Observed:
    shown = run.state.results if results is None else results
    return Observed(
        list(shown),  # type: ignore[call-overload]
        run.state.aliases,
        list(run.state.jobs),
        run.state.counts,
        PROMISED,
        rollbacks=2,
    )
