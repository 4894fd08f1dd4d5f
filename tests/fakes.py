"""Stand-ins for ports, in memory, for tests of what is built on them."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, cast

from services.core.ports import RecordCounts, RecordStore
from services.core.records import AliasChange, EvaluationResult, Job, JobState, Judged, ResultKind, VersionRecord


class StoreInMemory:
    """Holds what the monitor reads and writes. Predictions and outcomes are put in as judged rows."""

    def __init__(self, rows: Iterable[Judged] = ()) -> None:
        self.rows = list(rows)
        self.saved: list[EvaluationResult] = []
        self.opened: list[Job] = []
        self.changes: list[AliasChange] = []
        self.registered: list[VersionRecord] = []
        self.failure: Exception | None = None
        """Raised instead of reading rows or aliases."""

    @property
    def port(self) -> RecordStore:
        """This store where the whole port is asked for; what it lacks nobody here calls."""
        return cast("RecordStore", self)

    def judged(
        self,
        model: str,
        *,
        made_from: datetime,
        made_until: datetime,
        version: str | None = None,
        limit: int | None = None,
        settled: bool = False,
    ) -> list[Judged]:
        self._fail()
        found = [
            row
            for row in self.rows
            if row.prediction.model == model
            and made_from <= row.prediction.made_at < made_until
            and version in (None, row.prediction.version)
            and (row.outcome is not None or not settled)
        ]
        found.sort(key=lambda row: row.prediction.made_at)
        return found if limit is None or len(found) <= limit else found[:: -(-len(found) // limit)]

    def judged_in_batches(
        self,
        model: str,
        *,
        made_from: datetime,
        made_until: datetime,
        version: str | None = None,
        limit: int | None = None,
        settled: bool = False,
        at_once: int = 2000,
    ) -> Iterator[list[Judged]]:
        found = self.judged(
            model, made_from=made_from, made_until=made_until, version=version, limit=limit, settled=settled
        )
        for start in range(0, len(found), at_once):
            yield found[start : start + at_once]

    def save_results(self, results: Iterable[EvaluationResult]) -> None:
        self.saved += results

    def results(
        self, model: str, kind: ResultKind, *, limit: int, until: datetime | None = None
    ) -> list[EvaluationResult]:
        found = [
            result
            for result in self.saved
            if result.model == model and result.kind is kind and (until is None or result.window_end <= until)
        ]
        return sorted(found, key=lambda result: result.window_end)[-limit:]

    def open_job(
        self,
        *,
        model: str,
        trigger: str,
        dedupe_key: str,
        since: datetime,
        opened_at: datetime,
        note: str,
        evidence: dict[str, Any] | None = None,
    ) -> Job | None:
        if any(job.model == model and job.state.open for job in self.opened):
            return None
        job = Job(
            id=len(self.opened) + 1,
            model=model,
            trigger=trigger,
            dedupe_key=dedupe_key,
            state=JobState.WAITING,
            since=since,
            opened_at=opened_at,
            note=note,
            evidence=evidence or {},
        )
        self.opened.append(job)
        return job

    def jobs(self, model: str, *, limit: int) -> list[Job]:
        return [job for job in reversed(self.opened) if job.model == model][:limit]

    def versions(self, model: str) -> list[VersionRecord]:
        return [version for version in self.registered if version.model == model]

    def manifests(self, model: str) -> dict[str, str]:
        return {each.version: each.manifest_sha256 for each in self.versions(model) if each.manifest_sha256}

    def move_alias(self, change: AliasChange) -> None:
        self.changes.append(change)

    def aliases(self, model: str) -> dict[str, str]:
        self._fail()
        return {change.alias: change.version for change in self.changes if change.model == model}

    def alias_changes(self, model: str) -> list[AliasChange]:
        return [change for change in self.changes if change.model == model]

    def counts(self, model: str | None = None) -> RecordCounts:
        made = [row.prediction for row in self.rows if model in (None, row.prediction.model)]
        return RecordCounts(
            predictions=len(made),
            predictions_by={each: sum(p.served_by == each for p in made) for each in {p.served_by.value for p in made}},
            outcomes=sum(row.outcome is not None for row in self.rows),
            corrections=0,
            orphan_outcomes=0,
            dead_letters=0,
        )

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
