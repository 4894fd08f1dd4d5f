"""Tells a person what is happening: a line per world day, and a line for each thing that matters."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from services.core.ports import RecordStore
from services.core.predictions import ServedBy
from services.core.records import CHAMPION, EvaluationResult, Job, ResultKind, ResultStatus
from services.core.spec import Good, ModelSpec
from services.core.world import WorldEvent
from services.traffic.simulate import DayReport

HEADER: Final = (
    "  day  req/s  model  rule   drift: worst feature (limit)          AUC [90 %]               an action earns"
    "     lifecycle"
)
HEADER_EVERY: Final = 20


@dataclass
class Narrator:
    """Reads the store after each world day and says what is new in it."""

    spec: ModelSpec
    store: RecordStore
    origin: datetime
    events: tuple[WorldEvent, ...]
    meanings: dict[str, str]
    say: Callable[[str], None]
    lines: int = 0
    jobs: dict[int, str] = field(default_factory=dict)
    changes: int = 0

    def tell(self, report: DayReport, *, requests: int) -> None:
        """The news first, then the day's line."""
        self._world(report.day)
        self._lifecycle()
        if self.lines % HEADER_EVERY == 0:
            self.say(HEADER)
        self.lines += 1
        self.say(self._line(report, requests).rstrip())

    def _line(self, report: DayReport, requests: int) -> str:
        answered = max(1, sum(report.served_by.values()))
        model = report.served_by.get(ServedBy.MODEL.value, 0) / answered
        return (
            f"{report.day:5d}  {requests / max(report.seconds, 1e-6):5.0f}  {model:5.0%}  {1 - model:4.0%}"
            f"   {self._drift():36s}  {self._performance():23s}  {self._money():18s}  {self._doing()}"
        )

    def _newest(self, kind: ResultKind) -> EvaluationResult | None:
        results = self.store.results(self.spec.name, kind, limit=1)
        return results[-1] if results else None

    def _drift(self) -> str:
        result = self._newest(ResultKind.DRIFT)
        if result is None or result.status is not ResultStatus.OK:
            return "not enough data"
        name, worst = max(
            result.body["features"].items(), key=lambda each: _excess(each[1]), default=("none", {"score": None})
        )
        if worst.get("score") is None:
            return "not enough data"
        return f"{name} {worst['score']:.2f} ({worst['threshold']:.2f})"

    def _performance(self) -> str:
        result = self._newest(ResultKind.PERFORMANCE)
        if result is None or result.status is not ResultStatus.OK:
            return "waits for outcomes"
        auc = result.body["auc"]
        return f"{result.version} {auc['value']:.2f} [{auc['low']:.2f}, {auc['high']:.2f}]"

    def _money(self) -> str:
        result = self._newest(ResultKind.BUSINESS)
        if result is None or result.status is not ResultStatus.OK:
            return "waits for outcomes"
        return self._acting(result.body["measures"])

    def _acting(self, measures: dict[str, Any]) -> str:
        """What acting brings per entity to act on: the effects on what should rise, less those on what should fall."""
        net = 0.0
        for measure in self.spec.measures:
            effect = measures[measure.name]["effect"].get("per_entity")
            if effect is None:
                return "waits for outcomes"
            net += effect["value"] if measure.good is Good.UP else -effect["value"]
        return f"{net:+.{0 if abs(net) >= 10 else 1}f} {self.spec.measures[0].unit}"

    def _doing(self) -> str:
        newest = self.store.jobs(self.spec.name, limit=1)
        return newest[0].note if newest and newest[0].state.open else ""

    def _world(self, day: int) -> None:
        for event in self.events:
            if int(event.starts) == day:
                self.say(f"  >> day {day}: the world changes: {event.name}. {self.meanings[event.name]}.")
            if event.ends is not None and int(event.ends) == day:
                self.say(f"  >> day {day}: {event.name} is over.")

    def _lifecycle(self) -> None:
        for job in reversed(self.store.jobs(self.spec.name, limit=20)):
            self._job(job)
        changes = self.store.alias_changes(self.spec.name)
        for change in changes[self.changes :]:
            if change.alias == CHAMPION and change.previous:
                self.say(f"  >> day {self._day(change.at)}: {self.spec.name} {change.version} serves. {change.reason}")
        self.changes = len(changes)

    def _job(self, job: Job) -> None:
        known = self.jobs.get(job.id)
        if known is None:
            found = ", ".join(job.evidence.get("features", []))
            self.say(f"  >> day {self._day(job.opened_at)}: drift found in {found}; job {job.id} is opened")
        elif known != job.state.value:
            self.say(f"  >> job {job.id} is {job.state.value}: {job.note}")
        self.jobs[job.id] = job.state.value

    def _day(self, moment: datetime) -> int:
        return int((moment - self.origin) / timedelta(days=1))


def _excess(feature: dict[str, float | None]) -> float:
    score, threshold = feature.get("score"), feature.get("threshold")
    return -1.0 if score is None or not threshold else score / threshold
