"""What the monitor shows on /metrics. The only place where its metric names and labels stand.

Gauges are written out from the newest results at each scrape, so a version that is gone, or a figure that is no longer
known, has no line: nothing freezes at its last value. Labels are closed sets.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from services.core.ports import RecordCounts
from services.core.records import EvaluationResult, Job, ResultKind, ResultStatus

SCORE_LABEL: Final = "score"
"""The `feature` label of the model's own answers."""

LAST_SUCCESS: Final = "bellwether_evaluation_last_success_timestamp_seconds"


class Described(NamedTuple):
    meaning: str
    labels: tuple[str, ...]
    family: type[GaugeMetricFamily] | type[CounterMetricFamily] = GaugeMetricFamily


METRICS: Final[Mapping[str, Described]] = {
    "bellwether_drift_score": Described(
        "Distance of the newest window from the training reference.", ("model", "feature", "method")
    ),
    "bellwether_drift_threshold": Described(
        "Distance above which the feature has drifted at the window's number of rows.", ("model", "feature", "method")
    ),
    "bellwether_drift_detected": Described(
        "1 while drift is confirmed, 0 while it is not; absent while that is unknown.", ("model",)
    ),
    "bellwether_performance": Described(
        "Figures of a version on its newest matured answers, as if nobody had acted.", ("model", "version", "metric")
    ),
    "bellwether_outcome_coverage_ratio": Described("Share of matured answers whose outcome is known.", ("model",)),
    "bellwether_business_total": Described(
        "A measure's total over the matured window, in its own unit.", ("model", "arm", "measure")
    ),
    "bellwether_business_effect": Described(
        "Treatment minus control per entity to be acted on, with the ends of its 90 % interval.",
        ("model", "measure", "bound"),
    ),
    "bellwether_feature_status_ratio": Described(
        "Share of the newest window's answers by the status of a feature.", ("model", "feature", "status")
    ),
    "bellwether_answered_by_ratio": Described(
        "Share of the newest window's answers by who gave them.", ("model", "served_by")
    ),
    "bellwether_window_rows": Described("Rows that the newest judgement rests on.", ("model", "kind", "version")),
    LAST_SUCCESS: Described("When a judgement last ended without failing, by the machine's clock.", ("model", "kind")),
    "bellwether_evaluation_failures": Described(
        "Judgements that failed since the monitor started.", ("model", "kind"), CounterMetricFamily
    ),
    "bellwether_retraining_runs": Described(
        "Retraining jobs that ended, of the newest thousand.", ("model", "trigger", "result"), CounterMetricFamily
    ),
    "bellwether_retraining_open": Described("Retraining jobs that wait or run.", ("model",)),
    "bellwether_model_info": Described("1 for the version that an alias means.", ("model", "version", "alias")),
    "bellwether_records": Described(
        "Rows of the record store: predictions, outcomes, corrections, orphan outcomes.", ("model", "what")
    ),
    "bellwether_dead_letters": Described("Events that could not become rows, of all models.", ()),
    "bellwether_alerts_received": Described(
        "Alerts, and deliveries that could not be read, by what became of them and why.",
        ("result", "reason"),
        CounterMetricFamily,
    ),
}

PERFORMANCE_METRICS: Final = ("log_loss", "brier", "precision", "recall", "positive_share")
AUC_METRICS: Final = ("auc", "rule_auc")


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


@dataclass(eq=False)
class MonitorMetrics(Collector):
    """Of the monitor's process. Every method may be called from any thread."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _observed: dict[str, Observed] = field(default_factory=dict)
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

    def forget(self, model: str) -> None:
        """Show nothing of a model that another process judges now; it tells the ages, too."""
        with self._lock:
            self._observed.pop(model, None)
            for key in [key for key in self._succeeded if key[0] == model]:
                del self._succeeded[key]

    def alert(self, result: str, reason: str) -> None:
        """Count an alert. `reason` is one of the intake's codes, or an error's for a delivery that it never saw."""
        with self._lock:
            self._alerts[result, reason] += 1

    def collect(self) -> Iterator[Any]:
        """One family per metric, those without a sample included: their help says what would be there."""
        families = {name: each.family(name, each.meaning, labels=each.labels) for name, each in METRICS.items()}
        for name, labels, value in self._samples():
            families[name].add_metric(labels, value)
        yield from families.values()

    def _count(self, result: EvaluationResult) -> None:
        key = (result.model, result.kind.value)
        if result.status is ResultStatus.FAILED:
            self._failures[key] += 1
        else:
            self._succeeded[key] = result.computed_at.timestamp()

    def _samples(self) -> list[Sample]:
        with self._lock:
            observed = [sample for model, each in self._observed.items() for sample in _of_model(model, each)]
            return [
                *observed,
                *_dead_letters(self._observed.values()),
                *(Sample(LAST_SUCCESS, key, moment) for key, moment in self._succeeded.items()),
                *(Sample("bellwether_evaluation_failures", key, count) for key, count in self._failures.items()),
                *(Sample("bellwether_alerts_received", key, count) for key, count in self._alerts.items()),
            ]


def _of_model(model: str, observed: Observed) -> Iterator[Sample]:
    for result in observed.results:
        yield Sample("bellwether_window_rows", (model, result.kind.value, result.version), result.n)
        if result.status is ResultStatus.OK:
            yield from _OF_KIND[result.kind](result)
    yield from _coverage(model, observed.results)
    yield from _jobs(model, observed.jobs)
    for alias, version in observed.aliases.items():
        yield Sample("bellwether_model_info", (model, version, alias), 1)
    for what in ("predictions", "outcomes", "corrections", "orphan_outcomes"):
        yield Sample("bellwether_records", (model, what), getattr(observed.counts, what))


def _dead_letters(observed: Iterable[Observed]) -> Iterator[Sample]:
    """Each model was observed at its own time, and there are never fewer than before."""
    counts = [each.counts.dead_letters for each in observed]
    if counts:
        yield Sample("bellwether_dead_letters", (), max(counts))


def _drift(result: EvaluationResult) -> Iterator[Sample]:
    columns = result.body["features"] | {SCORE_LABEL: result.body["model_score"]}
    for name, found in columns.items():
        if found["status"] == ResultStatus.OK:
            labels = (result.model, name, found["method"])
            yield Sample("bellwether_drift_score", labels, found["score"])
            yield Sample("bellwether_drift_threshold", labels, found["threshold"])
    yield Sample("bellwether_drift_detected", (result.model,), float(result.body["confirmed"]))


def _performance(result: EvaluationResult) -> Iterator[Sample]:
    def sample(metric: str, value: float) -> Sample:
        return Sample("bellwether_performance", (result.model, result.version, metric), value)

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
            yield Sample("bellwether_business_total", (result.model, arm, name), found["total"])
        if measured["effect"]["status"] == ResultStatus.OK:
            for bound, value in measured["effect"]["per_entity"].items():
                yield Sample("bellwether_business_effect", (result.model, name, bound), value)


def _availability(result: EvaluationResult) -> Iterator[Sample]:
    for name, shares in result.body["features"].items():
        for status, share in shares.items():
            yield Sample("bellwether_feature_status_ratio", (result.model, name, status), share)
    for who, share in result.body["served_by"].items():
        yield Sample("bellwether_answered_by_ratio", (result.model, who), share)


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
        yield Sample("bellwether_outcome_coverage_ratio", (model,), known / matured)


def _jobs(model: str, jobs: Iterable[Job]) -> Iterator[Sample]:
    ended: Counter[tuple[str, str, str]] = Counter()
    waiting = 0
    for job in jobs:
        if job.state.open:
            waiting += 1
        else:
            ended[model, job.trigger, job.state.value] += 1
    for labels, count in ended.items():
        yield Sample("bellwether_retraining_runs", labels, count)
    yield Sample("bellwether_retraining_open", (model,), waiting)
