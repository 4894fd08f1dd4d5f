"""One step of the lifecycle: what the open job of a model needs next."""

import logging
from datetime import datetime, timedelta
from typing import Any, Final

from monitoring.evaluation.standing import BELIEVED
from monitoring.lifecycle.causes import broken_sources
from monitoring.lifecycle.observed_time import borne_out
from monitoring.lifecycle.promote import await_fleet, publish
from monitoring.lifecycle.retrain import Retrained, Workshop, retrain
from monitoring.lifecycle.training_set import served_rows, usable
from services.core.clock import DAY
from services.core.errors import BellwetherError
from services.core.ports import RecordStore
from services.core.records import Job, JobState
from services.core.spec import ModelSpec

CAUSE_ROWS: Final = 10_000
"""Answers that a share is computed from: its standard error is half a per cent at most."""

RECOUNT_AFTER: Final = timedelta(hours=1)
"""Event time between two looks at a waiting job. One counts, and reads the answers since the change once there are
enough, a second of work for twenty thousand; a job may wait for weeks, and outcomes that take days are none the later
for an hour."""

AHEAD: Final = DAY
"""A job that was opened so far in the future was opened by a clock that has been set back since. It would wait until
then for outcomes, and let no other job of its model begin."""

UNSEEN: Final = 2 * DAY
"""A clock that is further beyond the newest prediction is named in the note of a job that waits."""

BY_HAND: Final = "by hand"
"""The trigger of a job that a person asked for: no cause to look into, and no outcomes to wait for."""

logger = logging.getLogger(__name__)


def step(spec: ModelSpec, workshop: Workshop) -> Job | None:
    """Work on the open job; returns it as it is then, None without one."""
    job = open_job(spec, workshop)
    if job is None or _rests(workshop, job):
        return job
    return _attended(spec, workshop, job)


def follow(spec: ModelSpec, workshop: Workshop) -> None:
    """Bring the file that tells this machine's workers of aliases to what the store says."""
    if publish(spec, store=workshop.store, fleet=workshop.fleet):
        workshop.say(f"{spec.name}: the workers' alias file was behind the store and has been written again")


def open_job(spec: ModelSpec, workshop: Workshop) -> Job | None:
    return next((job for job in workshop.store.jobs(spec.name, limit=1) if job.state.open), None)


def resume(spec: ModelSpec, workshop: Workshop) -> None:
    """When a model is taken over: a job that ran when its process ended waits again.

    What that process left behind is unregistered and harmless.
    """
    job = open_job(spec, workshop)
    if job is not None and job.state is JobState.RUNNING:
        workshop.store.update_job(job.id, state=JobState.WAITING, note="starts again: its process ended in the middle")


def _rests(workshop: Workshop, job: Job) -> bool:
    looked_at = workshop.looked_at.get(job.id)
    if job.state is not JobState.WAITING or looked_at is None:
        return False
    return abs(workshop.now() - looked_at) < RECOUNT_AFTER


def _attended(spec: ModelSpec, workshop: Workshop, job: Job) -> Job:
    now = workshop.now()
    workshop.looked_at[job.id] = now
    if job.opened_at - now > AHEAD:
        opened = f"opened at {job.opened_at:%Y-%m-%d}, ahead of now: the clock was wrong; the next alert opens another"
        return _close(workshop, job, JobState.REFUSED, opened, {})
    if job.trigger == BY_HAND:
        return _run(spec, workshop, job)
    return _attended_for_drift(spec, workshop, job, now)


def _attended_for_drift(spec: ModelSpec, workshop: Workshop, job: Job, now: datetime) -> Job:
    if reasons := _broken(spec, workshop, job):
        return _close(workshop, job, JobState.REFUSED, "; ".join(reasons), {})
    as_of = _as_of(spec, workshop, job)
    ready = _ready(spec, workshop.store, made_from=_training_start(spec, job, as_of), as_of=as_of)
    if ready >= spec.retraining.minimum_outcomes:
        return _run(spec, workshop, job)
    if now - job.opened_at > spec.retraining.patience:
        return _close(workshop, job, JobState.REFUSED, f"gave up: {_shortage(spec, ready, as_of=as_of, now=now)}", {})
    return _wait(workshop, job, f"waits for outcomes: {_shortage(spec, ready, as_of=as_of, now=now)}")


def _ready(spec: ModelSpec, store: RecordStore, *, made_from: datetime, as_of: datetime) -> int:
    """How many matured outcomes there are to learn from. Whether their vectors are complete is looked at only where
    there are enough of them: the database counts, the rows have to be read."""
    needed = spec.retraining.minimum_outcomes
    matured = as_of - spec.task.outcome_delay
    settled = store.count_settled(spec.name, made_from=made_from, made_until=matured, at_most=needed)
    return settled if settled < needed else len(usable(served_rows(spec, store, made_from=made_from, now=as_of)))


def newest_borne_out(spec: ModelSpec, store: RecordStore, *, since: datetime, now: datetime) -> datetime:
    """The newest prediction since `since` whose day the others bear out: as of then outcomes have matured or not.

    By a clock that is ahead every answer of a minute ago has matured, and those that have an outcome already are mostly
    of one class: what was trained on them would be promoted for good. Without predictions there is nothing to mature.
    """
    days = store.days_made(spec.name, since=since, until=now)
    if not days:
        return now
    return store.last_made_at(spec.name, until=min(now, borne_out(days) + DAY)) or now


def _as_of(spec: ModelSpec, workshop: Workshop, job: Job) -> datetime:
    """When it is for the outcomes of a job. Who asks by hand answers for the clock: traffic may have ended long ago."""
    now = workshop.now()
    return now if job.trigger == BY_HAND else newest_borne_out(spec, workshop.store, since=job.since, now=now)


def _broken(spec: ModelSpec, workshop: Workshop, job: Job) -> tuple[str, ...]:
    begin = job.opened_at - spec.drift.window
    rows = workshop.store.judged(spec.name, made_from=begin, made_until=job.opened_at, limit=CAUSE_ROWS)
    return broken_sources(spec, job.evidence.get("features", []), rows)


def _training_start(spec: ModelSpec, job: Job, as_of: datetime) -> datetime:
    return max(job.since, as_of - spec.retraining.history - spec.task.outcome_delay)


def _wait(workshop: Workshop, job: Job, note: str) -> Job:
    return job if note == job.note else workshop.store.update_job(job.id, state=JobState.WAITING, note=note)


def _shortage(spec: ModelSpec, ready: int, *, as_of: datetime, now: datetime) -> str:
    found = f"{ready} of {spec.retraining.minimum_outcomes} since the change have matured"
    if now - as_of <= UNSEEN:
        return found
    return f"{found} by {as_of:%Y-%m-%d}; the clock says {now:%Y-%m-%d}, which no predictions bear out yet"


def _run(spec: ModelSpec, workshop: Workshop, job: Job) -> Job:
    job = workshop.store.update_job(job.id, state=JobState.RUNNING, note="trains and is judged")
    try:
        as_of = _as_of(spec, workshop, job)
        retrained = retrain(
            spec,
            workshop,
            since=_training_start(spec, job, as_of),
            as_of=as_of,
            trigger=job.trigger,
            believed=BELIEVED in job.evidence,
        )
    except Exception as error:
        if isinstance(error, BellwetherError) and error.retriable:
            # The store is away, not the job wrong: it stays running, and the next step starts it again.
            raise
        # The edge of a job: it is parked as failed with its reason, and the next alert may open another.
        logger.exception("job %d of %s failed", job.id, spec.name)
        return _close(workshop, job, JobState.FAILED, f"{type(error).__name__}: {error}", {})
    return _finish(spec, workshop, job, retrained)


def _finish(spec: ModelSpec, workshop: Workshop, job: Job, retrained: Retrained) -> Job:
    if retrained.state is JobState.WAITING:
        return _not_yet(spec, workshop, job, retrained)
    evidence = retrained.evidence | ({"version": retrained.version} if retrained.version else {})
    if not retrained.promoted:
        return _close(workshop, job, retrained.state, retrained.note, evidence)
    behind = await_fleet(workshop.fleet, spec.name, retrained.version)
    note = "; ".join([f"{retrained.version} serves: {retrained.note}", *behind])
    return _close(workshop, job, JobState.PROMOTED, note, evidence)


def _not_yet(spec: ModelSpec, workshop: Workshop, job: Job, retrained: Retrained) -> Job:
    """More outcomes will tell. Who asked by hand is told so at once; a job that has waited long enough gives up."""
    if job.trigger == BY_HAND or workshop.now() - job.opened_at > spec.retraining.patience:
        return _close(workshop, job, JobState.REFUSED, retrained.note, retrained.evidence)
    return _wait(workshop, job, f"waits: {retrained.note}")


def _close(workshop: Workshop, job: Job, state: JobState, note: str, evidence: dict[str, Any]) -> Job:
    workshop.say(f"{job.model}: job {job.id} is {state.value}: {note}")
    return workshop.store.update_job(
        job.id, state=state, note=note, evidence=job.evidence | evidence, closed_at=workshop.now()
    )
