"""The panels of the overview page: from stored results to charts. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from monitoring.entrypoints.charts import Between, Chart, Marker, Point, Span, nice_ticks
from monitoring.entrypoints.overview import Overview
from services.core.ports import RecordStore
from services.core.predictions import Arm, ServedBy
from services.core.records import CHAMPION, EvaluationResult, JobState, ResultKind, ResultStatus
from services.core.spec import Measure

HISTORY: Final = 400
"""Results per kind on the page: twenty windows at the pace at which they are kept."""

FEATURES_DRAWN: Final = 4
VERSION_STYLES: Final = 5
HALF: Final = 512


@dataclass(frozen=True, slots=True)
class History:
    """The newest results of a model that could be computed, oldest first."""

    availability: list[EvaluationResult]
    drift: list[EvaluationResult]
    performance: list[EvaluationResult]
    business: list[EvaluationResult]

    @classmethod
    def of(cls, state: Overview, store: RecordStore) -> "History":
        def known(kind: ResultKind, limit: int) -> list[EvaluationResult]:
            kept = store.results(state.spec.name, kind, limit=limit, until=state.now)
            last = kept[-1].window_end if kept else None
            newer = [result for result in state.of(kind) if last is None or result.window_end > last]
            return [result for result in (*kept, *newer) if result.status is ResultStatus.OK]

        return cls(
            known(ResultKind.AVAILABILITY, HISTORY),
            known(ResultKind.DRIFT, HISTORY),
            # Around a promotion two versions are judged at once.
            known(ResultKind.PERFORMANCE, 2 * HISTORY),
            known(ResultKind.BUSINESS, HISTORY),
        )

    def span(self, now: datetime) -> Span:
        """From the first result of any kind to `now`, and never shorter than a day."""
        every = (*self.availability, *self.drift, *self.performance, *self.business)
        first = min((result.window_end for result in every), default=now)
        return Span(min(first, now - timedelta(days=1)), now)


def markers(state: Overview, history: History) -> list[Marker]:
    """When drift was found, a retraining ended without a new version, and a version began to serve."""
    return [
        *_found(history.drift),
        *(
            Marker(job.closed_at, f"retraining {job.state.value.replace('_', ' ')}", "ended")
            for job in state.jobs
            if job.closed_at is not None and job.state is not JobState.PROMOTED
        ),
        *(
            Marker(change.at, f"{change.version} serves", "promoted")
            for change in state.changes
            if change.alias == CHAMPION and change.previous
        ),
    ]


def _found(drift: Sequence[EvaluationResult]) -> Iterable[Marker]:
    before = False
    for result in drift:
        if result.body["confirmed"] and not before:
            yield Marker(result.window_end, f"drift found: {_few(result.body['confirmed_features'])}", "found")
        before = result.body["confirmed"]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def auc_panel(state: Overview, history: History, span: Span, marks: Sequence[Marker]) -> str:
    """AUC over the time of the answers, per version with its 90 % interval, and the rule's on the same answers."""
    results = history.performance
    bounds = [result.body["auc"][end] for result in results for end in ("low", "high")]
    rule = _rule(results)
    ticks = nice_ticks(min([0.5, *bounds]), max([0.9, *bounds]))
    chart = Chart("AUC by version", span, ticks[0], min(ticks[-1], 1.0), height=210)
    chart.grid([tick for tick in ticks if tick <= 1], ".1f")
    chart.later(state.now - state.spec.task.outcome_delay, "outcomes still open")
    chart.markers(marks, named=True)
    chart.line(rule, "rule")
    if rule:
        chart.label(rule[-1].value, f"the rule {rule[-1].value:.2f}", "rule")
    for version, judged in _by_version(results).items():
        _version_line(chart, version, judged, version_style(version, state), ended=judged[-1].window_end < rule[-1].at)
    return chart.svg()


def _version_line(chart: Chart, version: str, judged: Sequence[EvaluationResult], style: str, *, ended: bool) -> None:
    """One version's AUC; the name of a version that answers no more stands where its line ends."""
    aucs = [(each.window_end, each.body["auc"]) for each in judged]
    chart.band([Between(at, auc["low"], auc["high"]) for at, auc in aucs], style)
    line = [Point(at, auc["value"]) for at, auc in aucs]
    chart.line(line, style)
    if ended:
        chart.note(line[-1], version, style)
    else:
        chart.label(line[-1].value, f"{version} {line[-1].value:.2f}", style)


def _rule(results: Sequence[EvaluationResult]) -> list[Point]:
    """The rule's AUC; where two versions were judged at once, on the answers of the one that gave more."""
    largest: dict[datetime, EvaluationResult] = {}
    for result in results:
        if result.window_end not in largest or result.body["n"] > largest[result.window_end].body["n"]:
            largest[result.window_end] = result
    return [Point(at, result.body["rule_auc"]["value"]) for at, result in sorted(largest.items())]


def drift_panel(history: History, span: Span, marks: Sequence[Marker]) -> str:
    """The distances of the features that moved most, each as a multiple of its own threshold."""
    lines = {name: _ratios(name, history.drift) for name in _most_moved(history.drift)}
    highest = max((point.value for line in lines.values() for point in line), default=1.0)
    ticks = nice_ticks(0, max(highest, 1.5), 3)
    chart = Chart("Drift of the inputs", span, 0, ticks[-1])
    chart.grid(ticks, "g")
    chart.level(1, "threshold")
    chart.markers(marks, named=True)
    for number, (name, line) in enumerate(lines.items()):
        chart.line(line, f"feature{number}")
        chart.label(line[-1].value, name, f"feature{number}")
    return chart.svg()


def answered_panel(history: History, span: Span, marks: Sequence[Marker]) -> str:
    """Who answered, as shares that add up to one."""
    chart = Chart("Who answered", span, 0, 1, height=120)
    chart.grid((0, 0.5, 1), ".0%")
    below = [0.0] * len(history.availability)
    for who in ServedBy:
        shares = [result.body["served_by"].get(who.value, 0.0) for result in history.availability]
        above = [low + share for low, share in zip(below, shares, strict=True)]
        moments = [result.window_end for result in history.availability]
        chart.band([Between(*each) for each in zip(moments, below, above, strict=True)], who.value)
        if shares and shares[-1]:
            chart.label((below[-1] + above[-1]) / 2, f"{who.value.replace('_', ' ')} {shares[-1]:.0%}", who.value)
        below = above
    chart.markers(marks, named=True)
    return chart.svg()


def money_panel(state: Overview, measure: Measure, history: History, span: Span, marks: Sequence[Marker]) -> str:
    """A measure per answer in each arm, over the time of the answers."""
    lines = {arm: _means(measure, arm, history.business) for arm in Arm}
    values = [point.value for line in lines.values() for point in line] or [0.0, 1.0]
    # From zero where zero is near; money that hardly moves is drawn closer.
    lowest = min(0.0, *values) if min(values) < max(values) / 2 else min(values)
    ticks = nice_ticks(lowest, max(values), 3)
    chart = Chart(measure.name, span, ticks[0], ticks[-1], height=150, width=HALF)
    chart.grid(ticks, "g")
    chart.later(state.now - state.spec.task.outcome_delay, "outcomes still open")
    chart.markers(marks, named=False)
    for arm, line in lines.items():
        chart.line(line, arm.value)
        if line:
            chart.label(line[-1].value, f"{arm.value} {money(line[-1].value)} {measure.unit}", arm.value)
    return chart.svg()


def ratio(found: Mapping[str, Any]) -> float | None:
    """A column's distance as a multiple of its threshold; None while it is unknown."""
    return found["score"] / found["threshold"] if found["status"] == ResultStatus.OK and found["threshold"] else None


def money(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:,.2f}"


def version_style(version: str, state: Overview) -> str:
    """The class of a version's colour: the versions that served, in their order, take turns."""
    served = list(dict.fromkeys(change.version for change in state.changes if change.alias == CHAMPION))
    return f"version{served.index(version) % VERSION_STYLES if version in served else 0}"


def _by_version(results: Iterable[EvaluationResult]) -> dict[str, list[EvaluationResult]]:
    versions: dict[str, list[EvaluationResult]] = {}
    for result in results:
        versions.setdefault(result.version, []).append(result)
    return versions


def _most_moved(drift: Sequence[EvaluationResult]) -> list[str]:
    highest: dict[str, float] = {}
    for result in drift:
        for name, found in result.body["features"].items():
            highest[name] = max(highest.get(name, 0.0), ratio(found) or 0.0)
    return sorted((name for name in highest if highest[name]), key=lambda name: -highest[name])[:FEATURES_DRAWN]


def _ratios(name: str, drift: Sequence[EvaluationResult]) -> list[Point]:
    every = ((result.window_end, ratio(result.body["features"].get(name, {"status": ""}))) for result in drift)
    return [Point(at, value) for at, value in every if value is not None]


def _means(measure: Measure, arm: Arm, business: Sequence[EvaluationResult]) -> list[Point]:
    every = ((result.window_end, result.body["measures"].get(measure.name, {}).get("arms", {})) for result in business)
    return [Point(at, arms[arm.value]["mean"]) for at, arms in every if arm.value in arms]
