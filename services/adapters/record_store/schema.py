"""The tables. Every change of them is a migration as well; a test compares both."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

from services.core.clock import from_microseconds, to_microseconds
from services.core.limits import harmless


class Instant(TypeDecorator[datetime]):
    """An aware datetime as microseconds since 1970: exact, ordered, and the same on every engine."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> int | None:
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: int | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else from_microseconds(value)


class Json(TypeDecorator[Any]):
    """JSON as text. The engines' own JSON types differ in what they keep; nothing here queries inside."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str:
        try:
            return msgspec.json.encode(value).decode()
        except UnicodeEncodeError:
            return msgspec.json.encode(_without_surrogates(msgspec.to_builtins(value))).decode()

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value)


class Prose(TypeDecorator[str]):
    """Text that people read. What a database refuses of it is shown as a mark: a note is no reason to lose a job."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        return None if value is None else harmless(value)


def _without_surrogates(value: Any) -> Any:
    """JSON-ready values as UTF-8 takes them."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(each) for name, each in value.items()}
    return [_without_surrogates(each) for each in value] if isinstance(value, list) else value


metadata = MetaData()

predictions = Table(
    "predictions",
    metadata,
    Column("prediction_id", String, primary_key=True),
    Column("model", String, nullable=False),
    Column("version", String, nullable=False),
    Column("entity_id", String, nullable=False),
    Column("served_by", String, nullable=False),
    Column("arm", String, nullable=False),
    Column("score", Float),
    Column("label", String, nullable=False),
    Column("action", String, nullable=False),
    Column("made_at", Instant, nullable=False),
    # The fact as it was recorded, whole; the columns beside it are for queries.
    Column("data", LargeBinary, nullable=False),
    # See `draws`: what a sample of a window is taken by.
    Column("draw", BigInteger, nullable=False, server_default="0"),
    Column("level", SmallInteger, nullable=False, server_default="0"),
    Index("predictions_by_time", "model", "made_at", "prediction_id"),
    Index("predictions_by_level", "model", "level", "made_at"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("event_id", String, primary_key=True),
    Column("prediction_id", String, nullable=False),
    Column("model", String, nullable=False),
    Column("value", String, nullable=False),
    Column("observed_at", Instant, nullable=False),
    # Of several at the same moment the one recorded last wins; 1970 where an event does not say when it was.
    Column("recorded_at", Instant, nullable=False, server_default="0"),
    Index("outcomes_by_model", "model", "prediction_id"),
    Index("outcomes_by_time", "model", "observed_at"),
)

# The latest outcome of a prediction, once for each model that one was sent to: what comes to the wrong model must not
# hide what the right one was told. The model comes first, so that counting one model's does not read the others'.
current_outcomes = Table(
    "current_outcomes",
    metadata,
    Column("model", String, primary_key=True),
    Column("prediction_id", String, primary_key=True),
    Column("event_id", String, nullable=False),
    Column("value", String, nullable=False),
    Column("observed_at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False, server_default="0"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("origin", String, primary_key=True),
    Column("event_id", String, nullable=False, index=True),
    Column("reason", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("type", String, nullable=False),
    Column("key", String, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
)

positions = Table(
    "positions",
    metadata,
    Column("consumer", String, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("last_event", String, nullable=False, server_default=""),
)

results = Table(
    "results",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False),
    Column("version", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("window_start", Instant, nullable=False),
    Column("window_end", Instant, nullable=False),
    Column("n", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("body", Json, nullable=False),
    Column("computed_at", Instant, nullable=False),
    Index("results_by_time", "model", "kind", "window_end", "id"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False),
    Column("trigger", String, nullable=False),
    Column("dedupe_key", String, nullable=False),
    Column("state", String, nullable=False),
    Column("since", Instant, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("note", Prose, nullable=False),
    Column("evidence", Json, nullable=False),
    Column("closed_at", Instant),
)
OPEN = text("state IN ('waiting', 'running')")
# The database itself keeps a model from having two open jobs, whoever opens them.
Index("one_open_job", jobs.c.model, unique=True, sqlite_where=OPEN, postgresql_where=OPEN)

versions = Table(
    "versions",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("registered_at", Instant, nullable=False),
    Column("training_set", String, nullable=False),
    Column("training_set_sha256", String, nullable=False),
    Column("training_rows", Integer, nullable=False),
    Column("evidence", Json, nullable=False),
    Column("manifest_sha256", String, nullable=False, server_default=""),
)

aliases = Table(
    "aliases",
    metadata,
    Column("model", String, primary_key=True),
    Column("alias", String, primary_key=True),
    Column("version", String, nullable=False),
)

alias_changes = Table(
    "alias_changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False, index=True),
    Column("alias", String, nullable=False),
    Column("version", String, nullable=False),
    Column("previous", String, nullable=False),
    Column("at", Instant, nullable=False),
    Column("reason", Prose, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("until", Instant, nullable=False),
)

# A row for each day of event time as of which something was looked through, whether or not anything was too old.
removals = Table(
    "removals",
    metadata,
    Column("model", String, primary_key=True),
    Column("as_of", Instant, primary_key=True),
    Column("before", Instant, nullable=False),
    Column("predictions", BigInteger, nullable=False),
    Column("outcomes", BigInteger, nullable=False),
    Column("dead_letters", BigInteger, nullable=False),
)

# Kept by triggers, see `counting`; the totals are the sums over the shards.
counts = Table(
    "counts",
    metadata,
    Column("model", String, primary_key=True),
    Column("what", String, primary_key=True),
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
)

# Outcomes of which no prediction of their model has come yet.
orphan_outcomes = Table(
    "orphan_outcomes",
    metadata,
    Column("model", String, primary_key=True),
    Column("prediction_id", String, primary_key=True),
)
