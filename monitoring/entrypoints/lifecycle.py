"""The lifecycle process, and what the command line asks of it."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from monitoring.lifecycle.promote import await_fleet, promote, rollback
from monitoring.lifecycle.retrain import Retrained, Workshop, first_version, retrain
from monitoring.lifecycle.step import open_job, resume, step
from services import bootstrap
from services.core.errors import BellwetherError, StoreUnavailable
from services.core.records import AliasChange
from services.core.spec import ModelSpec
from services.core.world import PastCase
from services.entrypoints.processes import log_to_stderr, stop_on_signals
from services.models.discovery import discover, spec_of
from services.settings import Settings

logger = logging.getLogger("bellwether.lifecycle")


class JobIsOpen(BellwetherError):
    code = "job_is_open"


def run_lifecycle(settings: Settings, *, once: bool = False) -> int:
    """Attend to every model's open job until the process is told to stop."""
    log_to_stderr()
    stop = stop_on_signals()
    with _workshop(settings, logger.info) as workshop:
        for spec in discover().values():
            resume(spec, workshop)
        while not stop.is_set():
            _attend_all(workshop)
            if once:
                break
            stop.wait(settings.lifecycle_seconds)
    return 0


def first_version_now(settings: Settings, model: str, cases: Sequence[PastCase]) -> dict[str, Any]:
    """Train and promote the first version of a model. Raises `BellwetherError` when the gate refuses it."""
    with _workshop(settings, _nobody) as workshop:
        made = first_version(spec_of(model), workshop, cases=cases)
    if not made.promoted:
        raise BellwetherError(f"the first version of {model} did not pass the gate: {made.note}")
    return _told(made)


def retrain_now(settings: Settings, model: str) -> dict[str, Any]:
    """Train on the history that the spec allows, whatever the drift; the gate decides as always."""
    spec = spec_of(model)
    with _workshop(settings, _to_stderr) as workshop:
        if job := open_job(spec, workshop):
            raise JobIsOpen(f"job {job.id} of {model} is {job.state.value} ({job.note}); wait for it to end")
        since = workshop.now() - spec.retraining.history - spec.task.outcome_delay
        return _told(retrain(spec, workshop, since=since, trigger="by hand"))


def promote_now(settings: Settings, model: str, version: str) -> dict[str, Any]:
    """Make a registered version the champion, and wait for the workers to follow."""
    return _changed(settings, model, lambda spec, workshop: promote(spec, version, **_hands(workshop)))


def rollback_now(settings: Settings, model: str) -> dict[str, Any]:
    """Make the champion before the present one the champion again, and wait for the workers to follow."""
    return _changed(settings, model, lambda spec, workshop: rollback(spec, **_hands(workshop)))


def _attend_all(workshop: Workshop) -> None:
    for spec in discover().values():
        try:
            step(spec, workshop)
        except StoreUnavailable as error:
            logger.warning("%s: %s; trying again", spec.name, error)
        except Exception:
            # The edge of the process: what is wrong with one model must not stop the others' retrainings.
            logger.exception("attending to %s failed; trying again", spec.name)


def _changed(settings: Settings, model: str, change_it: Callable[[ModelSpec, Workshop], AliasChange]) -> dict[str, Any]:
    spec = spec_of(model)
    with _workshop(settings, _to_stderr) as workshop:
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


@contextmanager
def _workshop(settings: Settings, say: Callable[[str], None]) -> Iterator[Workshop]:
    store = bootstrap.record_store(settings)
    try:
        yield Workshop(
            store=store,
            models=bootstrap.model_store(settings),
            fleet=bootstrap.fleet(settings),
            now=bootstrap.clock(settings),
            training_directory=settings.training_directory,
            say=say,
        )
    finally:
        store.close()


def _nobody(_: str) -> None:
    """Whoever asked says it in their own words."""


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(run_lifecycle(Settings.from_environment()))
