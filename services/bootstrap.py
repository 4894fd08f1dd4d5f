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
from services.core.errors import BellwetherError, NoRecordsYet, SettingsError
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

    if settings.clock_file:
        return ClockFile(Path(settings.clock_file), read_only=True).now
    if settings.world_clock_path.is_file():
        return ClockFile(settings.world_clock_path, read_only=True).now
    return wall_clock


def world_clock(settings: Settings, *, start: datetime | None = None) -> ClockFile:
    """The simulated clock in `settings.clock_file`, which a traffic driver moves; a new one begins at `start`."""
    from services.adapters.clock_file import ClockFile

    return ClockFile(Path(settings.clock_file), start=start)


def event_log(settings: Settings) -> EventLog:
    """The local log, which every answer waits for, whatever carries its events on."""
    return _local_log(settings)


def event_log_to_read(settings: Settings) -> EventLog:
    """The same for a command that leaves it exactly as it is. Raises `EventLogUnavailable` where there is none."""
    from services.adapters.event_log_sqlite import EventLogToRead

    return EventLogToRead(settings.event_log_path)


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
    from services.ingest.local import partition_of, stored_up_to

    log = _local_log(settings)

    def stored() -> int:
        return stored_up_to(log, store.committed(partition_of(log)))

    return _log_retention(settings, OutboxSqlite(log), stored, limit=settings.consume_batch)


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
    from services.adapters.event_log_sqlite import EventLogToRead

    if settings.event_log == LOCAL:
        from services.ingest.local import LocalPassage, partition_of

        with contextlib.closing(event_log_to_read(settings)) as log:
            partition = partition_of(log)
        return LocalPassage(stored=lambda: store.position(partition))
    from services.adapters.event_log_kafka import KafkaPassage
    from services.adapters.outbox_sqlite import OutboxToRead

    outbox = OutboxToRead(EventLogToRead(settings.event_log_path))
    return KafkaPassage(_kafka(settings), outbox=outbox, position=store.position)


def _local_log(settings: Settings) -> EventLogSqlite:
    from services.adapters.event_log_sqlite import EventLogSqlite
    from services.adapters.outbox_sqlite import refuse_beyond

    _make_home(settings)
    refusing = settings.event_log != LOCAL and settings.outbox_full != GROW
    return EventLogSqlite(
        settings.event_log_path, require_room=refuse_beyond(settings.outbox_limit) if refusing else None
    )


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
        cert_file=settings.kafka_cert_file,
        key_file=settings.kafka_key_file,
        key_password=settings.kafka_key_password,
        allow_plaintext=settings.allow_plaintext,
    )


def online_features(settings: Settings) -> OnlineFeatures:
    if settings.features:
        from services.adapters.features_redis import FeaturesRedis

        return FeaturesRedis(
            settings.features, password=settings.features_password, allow_plaintext=settings.allow_plaintext
        )
    from services.adapters.features_sqlite import FeaturesSqlite

    _make_home(settings)
    return FeaturesSqlite(settings.features_path)


def record_store(settings: Settings) -> RecordStore:
    """The store with its schema brought up to date. Raises `StoreUnavailable`."""
    from services.adapters.record_store import RecordStoreSql

    _make_home(settings)
    store = RecordStoreSql(
        settings.store_url, password=settings.store_password, allow_plaintext=settings.allow_plaintext
    )
    try:
        store.migrate()
    except BellwetherError:
        store.close()
        raise
    return store


def record_store_to_read(settings: Settings) -> RecordStore:
    """The store for a command that leaves it exactly as it is, on a disk that takes no writing too.

    Where a home has no store yet, that is said, and what is read is an empty one in memory.

    Raises:
        SettingsError: there is none, and the directory is no home; or its schema is not one that can be read.
        StoreUnavailable: it is away, or damaged.
    """
    from services.adapters.record_store import RecordStoreSql

    try:
        return _made_record_store(settings)
    except NoRecordsYet as none:
        if _is_of_something_else(settings):
            raise
        logger.warning("%s", none)
    nothing = RecordStoreSql("sqlite://")
    nothing.migrate()
    return nothing


def _is_of_something_else(settings: Settings) -> bool:
    """Whether the home is a directory with files, none of which a process of ours makes first."""
    ours = settings.event_log_path, settings.alias_directory, settings.home / "in-use", settings.home / "settings.json"
    return any(settings.home.glob("*")) and not any(path.exists() for path in ours)


def _made_record_store(settings: Settings) -> RecordStore:
    """Raises `NoRecordsYet` too."""
    from services.adapters.record_store import RecordStoreSql

    store = RecordStoreSql(
        settings.store_url,
        password=settings.store_password,
        allow_plaintext=settings.allow_plaintext,
        read_only=True,
    )
    try:
        store.require_schema()
    except BellwetherError:
        store.close()
        raise
    return store


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


def fleet_to_read(settings: Settings) -> Fleet:
    """What workers were told and say, for a command that leaves their files as they are."""
    from services.adapters.fleet_files import FleetFiles

    return FleetFiles(settings.alias_directory, settings.worker_directory, read_only=True)


def _make_home(settings: Settings) -> None:
    """Raises `SettingsError`."""
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"home {settings.home} cannot be made ({error.strerror}); choose another directory with --home"
        ) from error


def model_store(settings: Settings) -> ModelStore:
    from services.adapters.model_store import BentoModelStore

    return BentoModelStore(settings.versions_directory)


def fleet(settings: Settings) -> Fleet:
    from services.adapters.fleet_files import FleetFiles

    return FleetFiles(settings.alias_directory, settings.worker_directory)
