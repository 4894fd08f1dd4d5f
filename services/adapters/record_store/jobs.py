"""Retraining jobs."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from services.adapters.record_store.database import Database
from services.adapters.record_store.schema import OPEN, jobs
from services.core.errors import ContentRefused, StoreUnavailable
from services.core.records import Job, JobState


class SqlJobs:
    """See `services.core.ports.Jobs`."""

    _database: Database

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
        row: dict[str, Any] = {
            "model": model,
            "trigger": trigger,
            "dedupe_key": dedupe_key,
            "state": JobState.WAITING.value,
            "since": since,
            "opened_at": opened_at,
            "note": note,
            "evidence": evidence or {},
        }
        try:
            with self._database.writing() as connection:
                return _job(connection.execute(jobs.insert().returning(jobs), row).mappings().one())
        except ContentRefused as error:
            # The index on open jobs refuses a second one; only that refusal is an answer.
            if isinstance(error.__cause__, IntegrityError):
                return None
            raise

    def update_job(
        self,
        job_id: int,
        *,
        state: JobState,
        note: str,
        evidence: dict[str, Any] | None = None,
        closed_at: datetime | None = None,
    ) -> Job:
        changes: dict[str, Any] = {"state": state.value, "note": note, "closed_at": closed_at}
        if evidence is not None:
            changes["evidence"] = evidence
        with self._database.writing() as connection:
            changed = (
                connection.execute(jobs.update().where(jobs.c.id == job_id).values(**changes).returning(jobs))
                .mappings()
                .one_or_none()
            )
        if changed is None:
            raise StoreUnavailable(f"record store {self._database.name} has no job {job_id}; expected an existing one")
        return _job(changed)

    def jobs(self, model: str, *, limit: int) -> list[Job]:
        newest = select(jobs).where(jobs.c.model == model).order_by(jobs.c.id.desc()).limit(limit)
        with self._database.transaction() as connection:
            return [_job(row) for row in connection.execute(newest).mappings()]

    def with_open_job(self) -> set[str]:
        with self._database.transaction() as connection:
            return set(connection.scalars(select(jobs.c.model).where(OPEN)))


def _job(row: Any) -> Job:
    return Job(**dict(row) | {"state": JobState(row["state"])})
