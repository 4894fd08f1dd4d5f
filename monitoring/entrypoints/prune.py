"""`bellwether prune`: what the lifecycle does once a day, now, or what it would do."""

from datetime import datetime
from typing import Any

import msgspec

from monitoring.lifecycle.retention import horizon, prune_all, prune_letters
from services import bootstrap
from services.core.clock import EPOCH
from services.core.ports import RecordStore
from services.core.spec import ModelSpec
from services.models.discovery import discover
from services.settings import Settings


def prune_now(settings: Settings, *, dry_run: bool) -> dict[str, Any]:
    """By model, the time before which records go and how many rows went; JSON-ready. Letters are of all models."""
    store, now, keep = bootstrap.record_store(settings), bootstrap.clock(settings)(), bootstrap.retention(settings)
    try:
        models = {
            name: _pruned(spec, store, before=horizon(spec, keep=keep, now=now), dry_run=dry_run)
            for name, spec in discover().items()
        }
        letters = 0 if dry_run else prune_letters(store, before=now - keep)
    finally:
        store.close()
    return {"dry_run": dry_run, "models": models} | ({} if dry_run else {"dead_letters": letters})


def _pruned(spec: ModelSpec, store: RecordStore, *, before: datetime, dry_run: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"before": before.isoformat()}
    if dry_run:
        return told | {"predictions": store.count_made(spec.name, made_from=EPOCH, made_until=before)}
    rows: dict[str, Any] = msgspec.to_builtins(prune_all(spec, store, before=before))
    return told | rows
