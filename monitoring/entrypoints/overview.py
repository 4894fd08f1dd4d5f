"""The present state of one model, as the overview page draws it and /status tells it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from monitoring.evaluation.standing import standing_doubts
from monitoring.lifecycle.promote import awaiting
from services.core.artifacts import WorkerReport
from services.core.ports import Fleet, RecordCounts, RecordStore
from services.core.records import (
    CHAMPION,
    AliasChange,
    EvaluationResult,
    Job,
    ResultKind,
    ResultStatus,
    VersionRecord,
)
from services.core.spec import ModelSpec

JOBS_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """`results` are those of the newest evaluation; `now` is event time, `wall_now` the machine's."""

    spec: ModelSpec
    now: datetime
    wall_now: datetime
    aliases: dict[str, str]
    versions: Sequence[VersionRecord]
    changes: Sequence[AliasChange]
    workers: Sequence[WorkerReport]
    jobs: Sequence[Job]
    counts: RecordCounts
    results: Sequence[EvaluationResult]
    silent: Sequence[WorkerReport] = ()
    """Workers whose process is there and that do not work: they hang, or were stopped."""

    @property
    def champion(self) -> str | None:
        return self.aliases.get(CHAMPION)

    @property
    def unasked(self) -> bool:
        """Whether nobody has ever asked this model anything."""
        return self.counts.predictions == 0

    @property
    def rows(self) -> int:
        """Answers in the newest window; 0 before the first judgement."""
        return sum(result.n for result in self.of(ResultKind.AVAILABILITY))

    @property
    def not_converted(self) -> str:
        """Why scikit-learn serves the champion, "" when ONNX does."""
        evidence = next((each.evidence for each in self.versions if each.version == self.champion), {})
        return str(evidence.get("not_converted", ""))

    @property
    def open_job(self) -> Job | None:
        return next((job for job in self.jobs if job.state.open), None)

    @property
    def doubts(self) -> list[Mapping[str, Any]]:
        """Why outcomes cannot be believed, and so what rests on them."""
        return standing_doubts(self.results, self.jobs) or []

    @property
    def awaiting_approval(self) -> Job | None:
        """The job whose version waits for a person."""
        return awaiting(self.jobs, self.changes)

    def of(self, kind: ResultKind) -> list[EvaluationResult]:
        return [result for result in self.results if result.kind is kind]

    def one(self, kind: ResultKind) -> EvaluationResult | None:
        """The newest result of a kind that has one per evaluation, when it could be computed."""
        return next((result for result in self.of(kind) if result.status is ResultStatus.OK), None)


def overview(
    spec: ModelSpec,
    *,
    store: RecordStore,
    fleet: Fleet,
    counts: RecordCounts,
    results: Sequence[EvaluationResult],
    now: datetime,
    wall_now: datetime,
) -> Overview:
    return Overview(
        spec=spec,
        now=now,
        wall_now=wall_now,
        aliases=store.aliases(spec.name),
        versions=store.versions(spec.name),
        changes=store.alias_changes(spec.name),
        workers=fleet.workers(spec.name),
        jobs=store.jobs(spec.name, limit=JOBS_SHOWN),
        counts=counts,
        results=results,
        silent=fleet.silent(spec.name),
    )


def by_traffic(states: Iterable[Overview]) -> list[Overview]:
    """Models that are being asked first, then those that once were, then those that never were; else as they came."""
    return sorted(states, key=lambda state: (state.rows == 0, state.unasked))


def as_json(state: Overview) -> dict[str, Any]:
    """JSON-ready. `age_seconds` is how long ago, by the machine's clock, a kind was last judged."""
    found: dict[str, Any] = msgspec.to_builtins(
        {
            "champion": state.champion,
            "aliases": state.aliases,
            "not_converted": state.not_converted or None,
            "now": state.now,
            "workers": list(state.workers),
            "silent_workers": list(state.silent),
            "availability": _judgement(state, ResultKind.AVAILABILITY),
            "drift": _judgement(state, ResultKind.DRIFT),
            "performance": {result.version: _told(result) for result in state.of(ResultKind.PERFORMANCE)},
            "business": _judgement(state, ResultKind.BUSINESS),
            "doubts": state.doubts,
            "awaiting_approval": state.awaiting_approval,
            "jobs": list(state.jobs),
            "alias_changes": list(state.changes),
            "records": state.counts,
            "age_seconds": {
                result.kind.value: round((state.wall_now - result.computed_at).total_seconds(), 3)
                for result in state.results
            },
        }
    )
    return found


def _judgement(state: Overview, kind: ResultKind) -> dict[str, Any] | None:
    newest = state.of(kind)
    return _told(newest[-1]) if newest else None


def _told(result: EvaluationResult) -> dict[str, Any]:
    return {
        "status": result.status,
        "version": result.version,
        "window_start": result.window_start,
        "window_end": result.window_end,
        "n": result.n,
        **result.body,
    }
