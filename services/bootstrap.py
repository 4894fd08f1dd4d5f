"""The composition root: from settings to adapters. Nothing is built at import.

Adapters are imported where they are built, so that a serving worker never loads the database toolkit
and the monitor never loads the server.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.core.clock import Now, wall_clock
from services.core.errors import SettingsError, StoreUnavailable
from services.core.ports import EventLog, Fleet, ModelStore, OnlineFeatures, RecordStore
from services.core.transport import EventSink, EventSource, Outbox, Passage
from services.settings import GROW, KAFKA, LOCAL, Settings

logger = logging.getLogger("bellwether")

SHORTEST_KEEP_DAYS: Final = 1.0
LONGEST_KEEP_DAYS: Final = 36_500.0
"""A century: who wants to keep for ever says so much, and every time that is computed with it exists."""

if TYPE_CHECKING:
    from services.adapters.clock_file import ClockFile
    from services.adapters.event_log_kafka import KafkaCluster
    from services.adapters.event_log_sqlite import EventLogSqlite
    from services.ingest.log_retention import LogRetention


def clock(settings: Settings) -> Now:
    """The machine's clock, or the simulated one that a traffic driver advances."""
    return world_clock(settings).now if settings.clock_file else wall_clock


def clock_of_records(settings: Settings) -> Now:
    """The clock by which the home's records were made, for a command that reads them: that of a world that played
    there, also where nobody names its file."""
    from services.adapters.clock_file import ClockFile

    path = Path(settings.clock_file) if settings.clock_file else settings.world_clock_path
    if settings.clock_file or path.is_file():
        return ClockFile(path, read_only=True).now
    return wall_clock


def world_clock(settings: Settings, *, start: datetime | None = None) -> ClockFile:
    """The simulated clock in `settings.clock_file`, which a traffic driver moves; a new one begins at `start`."""
    from services.adapters.clock_file import ClockFile

    return ClockFile(Path(settings.clock_file), start=start)


def event_log(settings: Settings) -> EventLog:
    """The local log, which every answer waits for, whatever carries its events on."""
    return _local_log(settings)


def event_log_to_read(settings: Settings) -> EventLog:
    """The same for a command that only looks: the log has to be there, and nothing is made or changed."""
    return _log_to_read(settings)


def outbox(settings: Settings) -> Outbox:
    """The local log as the forwarder sees it."""
    from services.adapters.outbox_sqlite import OutboxSqlite

    return OutboxSqlite(_local_log(settings))


def event_sink(settings: Settings) -> EventSink:
    """Raises `SettingsError` where the event log is the local one, which is carried nowhere."""
    from services.adapters.event_log_kafka import KafkaSink

    return KafkaSink(_kafka(settings), now=clock(settings))


def event_source(settings: Settings, store: RecordStore) -> EventSource:
    """What a consumer reads."""
    if settings.event_log == LOCAL:
        from services.adapters.last_log_file import LastLogFile
        from services.ingest.local import LocalSource

        last_log = LastLogFile(settings.home / "log-read-last")
        return LocalSource(event_log(settings), committed=store.committed, last_log=last_log)
    from services.adapters.event_log_kafka import KafkaSource

    return KafkaSource(_kafka(settings), committed=store.committed, now=clock(settings))


def stored_log_retention(settings: Settings, store: RecordStore) -> LogRetention | None:
    """What the consumer prunes the local log with; None where the forwarder does."""
    if settings.event_log != LOCAL:
        return None
    from services.adapters.outbox_sqlite import OutboxSqlite
    from services.ingest.local import partition_of

    log = _local_log(settings)
    return _log_retention(
        settings, OutboxSqlite(log), lambda: store.position(partition_of(log)), limit=settings.consume_batch
    )


def forwarded_log_retention(settings: Settings) -> LogRetention:
    """What the forwarder prunes the local log with."""
    from services.adapters.event_log_kafka import KafkaStored

    forwarded = outbox(settings)
    stored = KafkaStored(_kafka(settings), forwarded=forwarded.forwarded)
    return _log_retention(settings, forwarded, stored.position, limit=settings.forward_batch)


def _log_retention(settings: Settings, outbox: Outbox, stored: Callable[[], int], *, limit: int) -> LogRetention:
    from services.ingest.log_retention import LogRetention
    from services.ingest.steady_clock import SteadyClock

    keep = timedelta(hours=settings.outbox_keep_hours)
    return LogRetention(outbox, stored=stored, keep=keep, limit=limit, clock=SteadyClock())


def passage(settings: Settings, store: RecordStore) -> Passage:
    """How far events have come on the way that these settings choose."""
    if settings.event_log == LOCAL:
        from services.ingest.local import LocalPassage, partition_of

        with contextlib.closing(event_log_to_read(settings)) as log:
            partition = partition_of(log)
        return LocalPassage(stored=lambda: store.position(partition))
    from services.adapters.event_log_kafka import KafkaPassage
    from services.adapters.outbox_sqlite import OutboxSqlite

    return KafkaPassage(_kafka(settings), outbox=OutboxSqlite(_log_to_read(settings)), position=store.position)


def _local_log(settings: Settings) -> EventLogSqlite:
    from services.adapters.event_log_sqlite import EventLogSqlite
    from services.adapters.outbox_sqlite import refuse_beyond

    settings.home.mkdir(parents=True, exist_ok=True)
    refusing = settings.event_log != LOCAL and settings.outbox_full != GROW
    return EventLogSqlite(
        settings.event_log_path, require_room=refuse_beyond(settings.outbox_limit) if refusing else None
    )


def _log_to_read(settings: Settings) -> EventLogSqlite:
    from services.adapters.event_log_sqlite import EventLogSqlite

    return EventLogSqlite(settings.event_log_path, read_only=True)


def _kafka(settings: Settings) -> KafkaCluster:
    from services.adapters.event_log_kafka import KafkaCluster

    if settings.event_log != KAFKA:
        raise SettingsError(
            f"BELLWETHER_EVENT_LOG is {settings.event_log!r}; expected 'kafka', or 'sqlite', which no forwarder is for"
        )
    if not settings.kafka:
        raise SettingsError("BELLWETHER_KAFKA is empty; expected Kafka's servers, such as 127.0.0.1:9092")
    return KafkaCluster(
        servers=settings.kafka,
        prefix=settings.kafka_prefix,
        group=settings.kafka_group,
        partitions=settings.kafka_partitions,
        replication=settings.kafka_replication,
        retention=timedelta(hours=settings.kafka_retention_hours),
        session=timedelta(seconds=settings.kafka_session_seconds),
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        user=settings.kafka_user,
        password=settings.kafka_password,
        ca_file=settings.kafka_ca_file,
    )


def online_features(settings: Settings) -> OnlineFeatures:
    if settings.features:
        from services.adapters.features_redis import FeaturesRedis

        return FeaturesRedis(settings.features, password=settings.features_password)
    from services.adapters.features_sqlite import FeaturesSqlite

    settings.home.mkdir(parents=True, exist_ok=True)
    return FeaturesSqlite(settings.features_path)


def record_store(settings: Settings) -> RecordStore:
    """The store with its schema brought up to date. Raises `StoreUnavailable`."""
    from services.adapters.record_store import RecordStoreSql

    settings.home.mkdir(parents=True, exist_ok=True)
    store = RecordStoreSql(settings.store_url, password=settings.store_password)
    try:
        store.migrate()
    except StoreUnavailable:
        store.close()
        raise
    return store


def records_to_read(settings: Settings) -> RecordStore:
    """The store as it is, for a command that only reads: nothing is made and nothing changed.

    Where nobody has made it yet, that is said, and what is read is an empty one in memory.
    Raises `StoreUnavailable`, and `SettingsError` where its tables are of another version of ours.
    """
    from services.adapters.record_store import RecordStoreSql

    store = RecordStoreSql(settings.store_url, password=settings.store_password, read_only=True)
    try:
        if store.has_records():
            return store
    except BaseException:
        store.close()
        raise
    store.close()
    logger.warning(
        "there is no record store yet (%s): what was answered so far waits in the log for `bellwether consume`",
        settings.store_url,
    )
    nothing = RecordStoreSql("sqlite://")
    nothing.migrate()
    return nothing


def retention(settings: Settings) -> timedelta:
    """How long the record store keeps what is no longer needed, in event time.

    It is not held against how long the logs keep events, which is in the machine's time: an event that is read again
    after its row was removed becomes a row until the next removal, and the account knows it as removed.

    Raises:
        SettingsError: it is no number of days.
    """
    days = settings.records_keep_days
    if not SHORTEST_KEEP_DAYS <= days <= LONGEST_KEEP_DAYS:
        raise SettingsError(
            f"BELLWETHER_RECORDS_KEEP_DAYS is {days:.15g}; expected {SHORTEST_KEEP_DAYS:g} to {LONGEST_KEEP_DAYS:,g}"
        )
    return timedelta(days=days)


def model_store(settings: Settings) -> ModelStore:
    from services.adapters.model_store import BentoModelStore

    return BentoModelStore(settings.versions_directory)


def fleet(settings: Settings) -> Fleet:
    from services.adapters.fleet_files import FleetFiles

    return FleetFiles(settings.alias_directory, settings.worker_directory)
