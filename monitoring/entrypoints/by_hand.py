"""What people ask of the lifecycle themselves: train, promote, go back."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from monitoring.entrypoints.lifecycle import Attendance, open_workshop, tenure_of
from monitoring.evaluation.standing import BELIEVED
from monitoring.lifecycle.promote import await_fleet, promote_by_hand, rollback
from monitoring.lifecycle.retrain import Retrained, Workshop, first_version
from monitoring.lifecycle.step import BY_HAND, open_job
from services.core.errors import BellwetherError
from services.core.records import AliasChange, Job, JobState
from services.core.spec import ModelSpec
from services.core.world import PastCase
from services.models.discovery import spec_of
from services.settings import Settings

LOOK_SECONDS: Final = 0.5
"""Between two looks at a job that another process works on."""

JOBS_SEEN: Final = 20
"""Among how many of a model's newest jobs this one's is: others may open once it has ended, hours apart."""


class JobIsOpen(BellwetherError):
    code = "job_is_open"


def first_version_now(settings: Settings, model: str, cases: Sequence[PastCase]) -> dict[str, Any]:
    """Train and promote the first version of a model. Raises `BellwetherError` when the gate refuses it."""
    with open_workshop(settings, _nobody) as workshop:
        made = first_version(spec_of(model), workshop, cases=cases)
    if not made.promoted:
        raise BellwetherError(f"the first version of {model} did not pass the gate: {made.note}")
    return _told(made)


def retrain_now(settings: Settings, model: str, *, believe_outcomes: str | None = None) -> dict[str, Any]:
    """Train on the history that the spec allows, whatever the drift; the gate decides as always.

    `believe_outcomes` says why outcomes that look wrong are true, and lets them teach; it is kept with the job.

    Where a lifecycle process runs, it does the work, so that nothing else is trained beside it; else this one does.

    Raises:
        JobIsOpen: the model has an open job already.
    """
    spec = spec_of(model)
    with open_workshop(settings, _to_stderr) as workshop, tenure_of(settings, workshop.store, [model]) as tenure:
        job, attendance = _asked_for(spec, workshop, believe_outcomes), Attendance(workshop, tenure)
        if tenure.lease_of(model) is None:
            _to_stderr(f"{model}: the lifecycle process works on job {job.id}")
        while job.state.open:
            attendance.attend(spec)
            job = _awaited(workshop, job)
    return _ended(job)


def promote_now(settings: Settings, model: str, version: str) -> dict[str, Any]:
    """Make a registered version the champion, and wait for the workers to follow."""
    return _changed(settings, model, lambda spec, workshop: promote_by_hand(spec, version, **_hands(workshop)))


def rollback_now(settings: Settings, model: str) -> dict[str, Any]:
    """Make the champion before the present one the champion again, and wait for the workers to follow."""
    return _changed(settings, model, lambda spec, workshop: rollback(spec, **_hands(workshop)))


def _asked_for(spec: ModelSpec, workshop: Workshop, believe_outcomes: str | None) -> Job:
    now = workshop.now()
    job = workshop.store.open_job(
        model=spec.name,
        trigger=BY_HAND,
        dedupe_key=f"{BY_HAND}@{now.isoformat()}",
        since=now - spec.retraining.history - spec.task.outcome_delay,
        opened_at=now,
        note="asked for by hand",
        evidence={BELIEVED: believe_outcomes} if believe_outcomes else None,
    )
    if job is not None:
        return job
    other = open_job(spec, workshop)
    doing = f"{other.state.value} ({other.note})" if other else "over by now"
    raise JobIsOpen(f"the open job of {spec.name} is {doing}; wait for it to end, then ask again")


def _awaited(workshop: Workshop, job: Job) -> Job:
    """The job as it is now; while it is open, a moment later."""
    found = next(each for each in workshop.store.jobs(job.model, limit=JOBS_SEEN) if each.id == job.id)
    if found.state.open:
        time.sleep(LOOK_SECONDS)
    return found


def _ended(job: Job) -> dict[str, Any]:
    return {
        "promoted": job.state is JobState.PROMOTED,
        "state": job.state.value,
        "version": job.evidence.get("version", ""),
        "note": job.note,
        "evidence": job.evidence,
    }


def _changed(settings: Settings, model: str, change_it: Callable[[ModelSpec, Workshop], AliasChange]) -> dict[str, Any]:
    spec = spec_of(model)
    with open_workshop(settings, _to_stderr) as workshop:
        change = change_it(spec, workshop)
        behind = await_fleet(workshop.fleet, spec.name, change.version)
    return {
        "model": change.model,
        "champion": change.version,
        "previous": change.previous,
        "workers": behind or "all follow",
    }


def _hands(workshop: Workshop) -> dict[str, Any]:
    return {
        "store": workshop.store,
        "models": workshop.models,
        "fleet": workshop.fleet,
        "now": workshop.now(),
        "reason": "by hand",
    }


def _told(made: Retrained) -> dict[str, Any]:
    return {"promoted": made.promoted, "version": made.version, "note": made.note, "evidence": made.evidence}


def _nobody(_: str) -> None:
    """Whoever asked says it in their own words."""


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
