"""The composition root: from settings to adapters. Nothing is built at import.

Adapters are imported where they are built, so that a serving worker never loads the database toolkit
and the monitor never loads the server.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from services.core.clock import Now, wall_clock
from services.core.ports import EventLog, Fleet, ModelStore, OnlineFeatures, RecordStore
from services.settings import Settings

if TYPE_CHECKING:
    from services.adapters.clock_file import ClockFile


def clock(settings: Settings) -> Now:
    """The machine's clock, or the simulated one that a traffic driver advances."""
    return world_clock(settings).now if settings.clock_file else wall_clock


def world_clock(settings: Settings, *, start: datetime | None = None) -> ClockFile:
    """The simulated clock in `settings.clock_file`, which a traffic driver moves; a new one begins at `start`."""
    from services.adapters.clock_file import ClockFile

    return ClockFile(Path(settings.clock_file), start=start)


def event_log(settings: Settings) -> EventLog:
    from services.adapters.event_log_sqlite import EventLogSqlite

    settings.home.mkdir(parents=True, exist_ok=True)
    return EventLogSqlite(settings.event_log_path)


def online_features(settings: Settings) -> OnlineFeatures:
    from services.adapters.features_sqlite import FeaturesSqlite

    settings.home.mkdir(parents=True, exist_ok=True)
    return FeaturesSqlite(settings.features_path)


def record_store(settings: Settings) -> RecordStore:
    """The store with its schema brought up to date."""
    from services.adapters.record_store import RecordStoreSql

    settings.home.mkdir(parents=True, exist_ok=True)
    store = RecordStoreSql(settings.store_url)
    store.migrate()
    return store


def model_store(settings: Settings) -> ModelStore:
    from services.adapters.model_store import BentoModelStore

    return BentoModelStore(settings.bentoml_home)


def fleet(settings: Settings) -> Fleet:
    from services.adapters.fleet_files import FleetFiles

    return FleetFiles(settings.alias_directory, settings.worker_directory)
