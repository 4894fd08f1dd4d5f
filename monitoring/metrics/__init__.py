"""What the monitor and the lifecycle show on /metrics. Names, labels and meanings stand in table.py.

The monitor's gauges are written out from the newest results at each scrape, so a version that is gone, or a figure that
is no longer known, has no line: nothing freezes at its last value. Labels are closed sets.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from monitoring.evaluation.outcome_checks import Kind as Doubted
from monitoring.evaluation.standing import standing_doubts
from monitoring.metrics import table
from monitoring.metrics.table import LIFECYCLE, MONITOR
from services.core.ports import RecordCounts
from services.core.records import EvaluationResult, Job, JobState, ResultKind, ResultStatus
from services.core.spec import Objectives
from services.metrics.table import MODEL_INFO, Described, Kind

SCORE_LABEL: Final = "score"
"""The `feature` label of the model's own answers."""

PERFORMANCE_METRICS: Final = ("log_loss", "brier", "precision", "recall", "positive_share")
AUC_METRICS: Final = ("auc", "rule_auc")


UNKNOWN_AFTER_SECONDS: Final = 60.0
"""A store that is away for a moment takes no gauge with it, and with the gauge an alert that would fire anew. After
this the gauges are gone, and the age of the last success goes on growing."""

TRIGGERS: Final = ("drift", "by hand")
"""Of retraining jobs."""

_FAMILY: Final = {Kind.COUNTER: CounterMetricFamily, Kind.GAUGE: GaugeMetricFamily}


class Sample(NamedTuple):
    name: str
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Observed:
    """What there is to show of one model."""

    results: list[EvaluationResult]
    aliases: Mapping[str, str]
    jobs: list[Job]
    counts: RecordCounts
    objectives: Objectives
    rollbacks: int
    awaiting_approval: int = 0
    promotions: int = 0


@dataclass(eq=False)
class MonitorMetrics(Collector):
    """Of the monitor's process. Every method may be called from any thread."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    monotonic: Callable[[], float] = time.monotonic
    _observed: dict[str, Observed] = field(default_factory=dict)
    _failing_since: dict[str, float] = field(default_factory=dict)
    _succeeded: dict[tuple[str, str], float] = field(default_factory=dict)
    _failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    _alerts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.registry.register(self)

    def observe(self, model: str, observed: Observed) -> None:
        """Show this from now on, and count what failed in it."""
        with self._lock:
            for result in observed.results:
                self._count(result)
            self._observed[model] = observed
            self._failing_since.pop(model, None)

    def not_observed(self, model: str) -> None:
        """Looking failed: what was seen before is soon shown no more, and the ages stay."""
        with self._lock:
            since = self._failing_since.setdefault(model, self.monotonic())
            if self.monotonic() - since >= UNKNOWN_AFTER_SECONDS:
                self._observed.pop(model, None)

    def forget(self, model: str) -> None:
        """Show nothing of a model that another process judges now; it tells the ages, too."""
        with self._lock:
            self._observed.pop(model, None)
            self._failing_since.pop(model, None)
            for key in [key for key in self._succeeded if key[0] == model]:
                del self._succeeded[key]

    def expect_alerts(self, result: str, reasons: Iterable[str]) -> None:
        """Show these as 0 before the first one comes, so that it is a rise."""
        with self._lock:
            for reason in reasons:
                self._alerts.setdefault((result, reason), 0)

    def alert(self, result: str, reason: str) -> None:
        """Count an alert. `reason` is one of the intake's codes, or an error's for a delivery that it never saw."""
        with self._lock:
            self._alerts[result, reason] += 1

    def collect(self) -> Iterator[Any]:
        yield from _families(MONITOR, self._samples())

    def _count(self, result: EvaluationResult) -> None:
        key = (result.model, result.kind.value)
        if result.status is ResultStatus.FAILED:
            self._failures[key] += 1
        else:
            # Shown as 0 before it failed for the first time, so that this is a rise.
            self._failures.setdefault(key, 0)
            self._succeeded[key] = result.computed_at.timestamp()

    def _samples(self) -> list[Sample]:
        with self._lock:
            observed = [sample for model, each in self._observed.items() for sample in _of_model(model, each)]
            return [
                *observed,
                *_dead_letters(self._observed.values()),
                *(Sample(table.LAST_SUCCESS, key, moment) for key, moment in self._succeeded.items()),
                *(Sample(table.EVALUATION_FAILURES, key, count) for key, count in self._failures.items()),
                *(Sample(table.ALERTS_RECEIVED, key, count) for key, count in self._alerts.items()),
            ]


@dataclass(eq=False)
class LifecycleMetrics(Collector):
    """Of the lifecycle's process. Every method may be called from any thread."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _attended: dict[str, float] = field(default_factory=dict)
    _standing_still: dict[str, bool] = field(default_factory=dict)
    _failures: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.registry.register(self)

    def attended(self, model: str, *, at: datetime) -> None:
        """Its jobs were looked after; that it has not failed yet is shown as 0, so that a first failure is a rise."""
        with self._lock:
            self._attended[model] = at.timestamp()
            self._failures.setdefault(model, 0)

    def left(self, model: str) -> None:
        """Another process attends to it, and tells when."""
        with self._lock:
            self._attended.pop(model, None)
            self._standing_still.pop(model, None)

    def pruning_stands_still(self, model: str, is_so: bool) -> None:
        with self._lock:
            self._standing_still[model] = is_so

    def failed(self, model: str) -> None:
        """What was known of it before may be over by now."""
        with self._lock:
            self._failures[model] += 1
            self._standing_still.pop(model, None)

    def collect(self) -> Iterator[Any]:
        with self._lock:
            samples = [
                *(Sample(table.LIFECYCLE_LAST_ROUND, (model,), at) for model, at in self._attended.items()),
                *(Sample(table.PRUNING_STANDS_STILL, (model,), is_so) for model, is_so in self._standing_still.items()),
                *(Sample(table.LIFECYCLE_FAILURES, (model,), count) for model, count in self._failures.items()),
            ]
        yield from _families(LIFECYCLE, samples)


def _families(described: Mapping[str, Described], samples: Iterable[Sample]) -> Iterator[Any]:
    """One family per metric, those without a sample included: their help says what would be there."""
    families = {name: _FAMILY[each.kind](name, each.meaning, labels=each.labels) for name, each in described.items()}
    for name, labels, value in samples:
        families[name].add_metric(labels, value)
    yield from families.values()


def _of_model(model: str, observed: Observed) -> Iterator[Sample]:
    for result in observed.results:
        yield Sample(table.WINDOW_ROWS, (model, result.kind.value, result.version), result.n)
        if result.status is ResultStatus.OK:
            yield from _OF_KIND[result.kind](result)
    yield from _coverage(model, observed.results)
    yield from _jobs(model, observed.jobs)
    yield from _objectives(model, observed.objectives)
    yield from _doubts(model, observed)
    yield Sample(table.ROLLBACKS, (model,), observed.rollbacks)
    yield Sample(table.PROMOTIONS, (model,), observed.promotions)
    yield Sample(table.AWAITING_APPROVAL, (model,), observed.awaiting_approval)
    for alias, version in observed.aliases.items():
        yield Sample(MODEL_INFO, (model, version, alias), 1)
    for what in ("predictions", "outcomes", "corrections", "orphan_outcomes", "pruned"):
        yield Sample(table.RECORDS, (model, what), getattr(observed.counts, what))


def _doubts(model: str, observed: Observed) -> Iterator[Sample]:
    standing = standing_doubts(observed.results, observed.jobs)
    if standing is not None:
        found = {doubt["kind"] for doubt in standing}
        yield from (Sample(table.OUTCOMES_DOUBTED, (model, kind.value), kind in found) for kind in Doubted)


def _objectives(model: str, objectives: Objectives) -> Iterator[Sample]:
    yield Sample(table.OBJECTIVE, (model, "p99_seconds"), objectives.p99.total_seconds())
    yield Sample(table.OBJECTIVE, (model, "answered_ratio"), objectives.answered)
    yield Sample(table.OBJECTIVE, (model, "answered_by_model_ratio"), objectives.answered_by_model)
    yield Sample(table.OBJECTIVE, (model, "outcome_coverage_ratio"), objectives.outcome_coverage)


def _dead_letters(observed: Iterable[Observed]) -> Iterator[Sample]:
    """Each model was observed at its own time, and there are never fewer than before."""
    counts = [each.counts.dead_letters for each in observed]
    if counts:
        yield Sample(table.DEAD_LETTERS, (), max(counts))


def _drift(result: EvaluationResult) -> Iterator[Sample]:
    columns = result.body["features"] | {SCORE_LABEL: result.body["model_score"]}
    for name, found in columns.items():
        if found["status"] == ResultStatus.OK:
            labels = (result.model, name, found["method"])
            yield Sample(table.DRIFT_SCORE, labels, found["score"])
            yield Sample(table.DRIFT_THRESHOLD, labels, found["threshold"])
    yield Sample(table.DRIFT_DETECTED, (result.model,), float(result.body["confirmed"]))


def _performance(result: EvaluationResult) -> Iterator[Sample]:
    def sample(metric: str, value: float) -> Sample:
        return Sample(table.PERFORMANCE, (result.model, result.version, metric), value)

    for metric in AUC_METRICS:
        yield sample(metric, result.body[metric]["value"])
    yield sample("auc_low", result.body["auc"]["low"])
    yield sample("auc_high", result.body["auc"]["high"])
    for metric in PERFORMANCE_METRICS:
        if (value := result.body[metric]) is not None:
            yield sample(metric, value)


def _business(result: EvaluationResult) -> Iterator[Sample]:
    for name, measured in result.body["measures"].items():
        for arm, found in measured["arms"].items():
            yield Sample(table.BUSINESS_AMOUNT, (result.model, arm, name), found["total"])
        for gauge, of_whom in ((table.BUSINESS_EFFECT, "effect"), (table.BUSINESS_BEYOND_RULE, "beyond_rule")):
            if measured[of_whom]["status"] == ResultStatus.OK:
                for bound, value in measured[of_whom]["per_entity"].items():
                    yield Sample(gauge, (result.model, name, bound), value)


def _availability(result: EvaluationResult) -> Iterator[Sample]:
    for name, shares in result.body["features"].items():
        for status, share in shares.items():
            yield Sample(table.FEATURE_STATUS_RATIO, (result.model, name, status), share)
    for who, share in result.body["served_by"].items():
        yield Sample(table.ANSWERED_BY_RATIO, (result.model, who), share)


_OF_KIND: Final = {
    ResultKind.DRIFT: _drift,
    ResultKind.PERFORMANCE: _performance,
    ResultKind.BUSINESS: _business,
    ResultKind.AVAILABILITY: _availability,
}


def _coverage(model: str, results: Iterable[EvaluationResult]) -> Iterator[Sample]:
    """Of all the model's matured answers, whichever version gave them."""
    judged = [
        result
        for result in results
        if result.kind is ResultKind.PERFORMANCE and result.body.get("coverage") is not None
    ]
    if matured := sum(result.n for result in judged):
        known = sum(result.body["coverage"] * result.n for result in judged)
        yield Sample(table.OUTCOME_COVERAGE, (model,), known / matured)


def _jobs(model: str, jobs: Iterable[Job]) -> Iterator[Sample]:
    """An end that has not come yet is shown as 0, so that the first one is a rise."""
    ends = [state.value for state in JobState if not state.open]
    ended = Counter({(model, trigger, end): 0 for trigger in TRIGGERS for end in ends})
    waiting = 0
    for job in jobs:
        if job.state.open:
            waiting += 1
        else:
            ended[model, job.trigger, job.state.value] += 1
    for labels, count in ended.items():
        yield Sample(table.RETRAINING_RUNS, labels, count)
    yield Sample(table.RETRAINING_OPEN, (model,), waiting)
