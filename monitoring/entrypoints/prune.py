"""`bellwether prune`: what the lifecycle does once a day, now, or what it would do."""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from monitoring.lifecycle.observed_time import Observed
from monitoring.lifecycle.retention import day_of, horizon, prune_letters, removal, summed
from services import bootstrap
from services.core.clock import EPOCH
from services.core.ports import RecordStore
from services.core.spec import ModelSpec
from services.models.discovery import discover
from services.settings import Settings

CONFIRM: Final = "if so much time has really passed, give --confirm-jump; else set the clock right"


def prune_now(settings: Settings, *, dry_run: bool, confirm_jump: bool = False) -> dict[str, Any]:
    """By model, the time before which records go and how many rows went; JSON-ready. Letters are of all models, and so
    is the room that the store's file gave back to the disk.

    `refused` says why nothing was removed: time has jumped, and nobody has confirmed with `confirm_jump` that it is
    really what the clock says. Without `as_of` there are too few days of predictions for any to be too old.
    """
    store, now, keep = (
        bootstrap.record_store_to_read(settings) if dry_run else bootstrap.record_store(settings),
        bootstrap.clock_of_records(settings)(),
        bootstrap.retention(settings),
    )
    try:
        seen = day_of(store, discover(), now=now, keep=keep)
        as_of = _as_of(seen, now, confirmed=confirm_jump)
        told: dict[str, Any] = {
            "dry_run": dry_run,
            "as_of": as_of and as_of.isoformat(),
            "refused": f"{seen.jump}: {CONFIRM}" if seen.jump and not confirm_jump else None,
        }
        return told | ({} if as_of is None else _removed(store, keep=keep, as_of=as_of, dry_run=dry_run))
    finally:
        store.close()


def _as_of(seen: Observed, now: datetime, *, confirmed: bool) -> datetime | None:
    """The day of the removal, None where there is to be none; the clock's where a person has said so."""
    if seen.jump is None and seen.day is not None:
        return seen.day
    # The day and not the moment: asking again on the same day is no other day, whose share may go as well.
    return now.replace(hour=0, minute=0, second=0, microsecond=0) if confirmed else None


def _removed(store: RecordStore, *, keep: timedelta, as_of: datetime, dry_run: bool) -> dict[str, Any]:
    models = {
        name: _of_model(spec, store, keep=keep, as_of=as_of, dry_run=dry_run) for name, spec in discover().items()
    }
    if dry_run:
        return {"models": models}
    letters = prune_letters(store, keep=keep, as_of=as_of)
    return {"models": models, "dead_letters": letters, "bytes_given_back": sum(iter(store.give_room_back, 0))}


def _of_model(
    spec: ModelSpec, store: RecordStore, *, keep: timedelta, as_of: datetime, dry_run: bool
) -> dict[str, Any]:
    """`left` are too old as well, and beyond what may go as of one day."""
    before = horizon(spec, keep=keep, as_of=as_of)
    told: dict[str, Any] = {"before": before.isoformat()}
    if not dry_run:
        told |= msgspec.to_builtins(summed(removal(spec, store, keep=keep, as_of=as_of)))
    left = store.count_made(spec.name, made_from=EPOCH, made_until=before)
    return told | ({"predictions": left} if dry_run else {"left": left})
