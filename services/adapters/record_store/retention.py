"""What has become too old to keep, removed a portion at a time, and noted as it goes."""

import sqlite3
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import BigInteger, Connection, Select, func, literal, select, type_coerce

from services.adapters.record_store.database import Database
from services.adapters.record_store.schema import (
    current_outcomes,
    dead_letters,
    outcomes,
    predictions,
    removals,
    results,
)
from services.adapters.sqlite_files import give_back, pages_to_give_back
from services.core.clock import DAY, EPOCH, to_microseconds
from services.core.ports import ALL_MODELS, Pruned, Removed

_A_DAY: Final = to_microseconds(EPOCH + DAY)
COUNTED_LEVELS: Final = (17, 10)
"""Of draws, the rarest first: of a hundred million predictions a thousand have the first, of a million the second."""
ENOUGH_COUNTED: Final = 1000
"""A count of so many tells the number that they stand for to within a few per cent."""
LOOKED_AT: Final = 20
"""Old outcomes that are looked at for each that may go. Their predictions have gone, but for those of an upstream whose
clock is far behind: however many it sends, the transaction stays short."""
_COUNTS: Final = ("predictions", "outcomes", "dead_letters")


class SqlRetention:
    """See `services.core.ports.Retention`."""

    _database: Database

    def prune(self, model: str, *, before: datetime, as_of: datetime, limit: int) -> Pruned:
        with self._database.writing() as connection:
            made, seen = _predictions(connection, model, before, limit)
            if made < limit:
                # Else there may be older predictions, whose outcomes are no strays.
                seen += _strays(connection, model, before, limit)
            old = select(results.c.id).where(results.c.model == model, results.c.window_end < before).limit(limit)
            found = connection.execute(results.delete().where(results.c.id.in_(old))).rowcount
            self._note(connection, model, as_of, before, predictions=made, outcomes=seen)
        return Pruned(predictions=made, outcomes=seen, results=found)

    def prune_dead_letters(self, *, before: datetime, as_of: datetime, limit: int) -> int:
        old = select(dead_letters.c.origin).where(dead_letters.c.at < before).limit(limit)
        with self._database.writing() as connection:
            gone = connection.execute(dead_letters.delete().where(dead_letters.c.origin.in_(old))).rowcount
            self._note(connection, ALL_MODELS, as_of, before, dead_letters=gone)
        return gone

    def give_room_back(self) -> int:
        if not self._database.is_sqlite:
            return 0
        with self._database.transaction() as connection:
            pages = pages_to_give_back(_sqlite(connection))
        if not pages:
            return 0
        with self._database.writing() as connection:
            file = _sqlite(connection)
            give_back(file, pages)
            return pages * int(file.execute("PRAGMA page_size").fetchone()[0])

    def removed(self, model: str, *, as_of: datetime | None = None) -> Removed:
        table = removals.c
        counts = [func.coalesce(func.sum(table[name]), 0).label(name) for name in _COUNTS]
        of = [table.model == model] if as_of is None else [table.model == model, table.as_of == as_of]
        with self._database.transaction() as connection:
            row = connection.execute(select(func.max(table.before).label("before"), *counts).where(*of)).one()
        return Removed(before=row.before, **{name: int(getattr(row, name)) for name in _COUNTS})

    def removed_as_of(self, *, until: datetime) -> datetime | None:
        with self._database.transaction() as connection:
            found: datetime | None = connection.scalar(
                select(func.max(removals.c.as_of)).where(removals.c.as_of <= until)
            )
        return found

    def predictions_kept(self, model: str) -> int:
        of_model = predictions.c.model == model
        with self._database.transaction() as connection:
            for level in COUNTED_LEVELS:
                found = connection.scalar(
                    select(func.count()).select_from(predictions).where(of_model, predictions.c.level >= level)
                )
                if found and found >= ENOUGH_COUNTED:
                    return int(found) << level
            return connection.scalar(select(func.count()).select_from(predictions).where(of_model)) or 0

    def days_made(self, model: str, *, since: datetime, until: datetime) -> list[datetime]:
        with self._database.transaction() as connection:
            found = connection.scalars(_days(model, since, until)).all()
        return [EPOCH + day * DAY for day in found if day is not None]

    def _note(self, connection: Connection, model: str, as_of: datetime, before: datetime, **counts: int) -> None:
        """Add to what is noted of this day, in the transaction that removes."""
        insert = self._database.insert(removals)
        new, old = insert.excluded, removals.c
        added: dict[str, Any] = {name: old[name] + new[name] for name in _COUNTS}
        added["before"] = (
            func.max(old.before, new.before) if self._database.is_sqlite else func.greatest(old.before, new.before)
        )
        noted = insert.on_conflict_do_update(index_elements=[old.model, old.as_of], set_=added)
        row: dict[str, Any] = {name: counts.get(name, 0) for name in _COUNTS}
        connection.execute(noted, row | {"model": model, "as_of": as_of, "before": before})


def _sqlite(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.driver_connection)


def _days(model: str, since: datetime, until: datetime) -> Select[Any]:
    """Numbers of the days, counted from 1970: one look into the index for each, however many rows it has."""

    def first_from(start: Any) -> Any:
        made_at = type_coerce(predictions.c.made_at, BigInteger)
        among = predictions.c.model == model, made_at >= start, made_at <= to_microseconds(until)
        return select(func.min(made_at)).where(*among).scalar_subquery() // _A_DAY

    days = select(first_from(literal(to_microseconds(since), BigInteger)).label("day")).cte("days", recursive=True)
    following = select(first_from((days.c.day + 1) * _A_DAY)).where(days.c.day.is_not(None))
    return select(days.union_all(following).c.day)


def _predictions(connection: Connection, model: str, before: datetime, limit: int) -> tuple[int, int]:
    """Old predictions with their outcomes; how many of each.

    The rows are looked for by the statement that removes them, because a transaction that writes has to write first.
    """
    old = (
        select(predictions.c.prediction_id)
        .where(predictions.c.model == model, predictions.c.made_at < before)
        .order_by(predictions.c.made_at, predictions.c.prediction_id)
        .limit(limit)
    )
    removed = predictions.delete().where(predictions.c.prediction_id.in_(old)).returning(predictions.c.prediction_id)
    gone = connection.scalars(removed).all()
    for table in (current_outcomes, outcomes):
        theirs = connection.execute(table.delete().where(table.c.model == model, table.c.prediction_id.in_(gone)))
    return len(gone), theirs.rowcount


def _strays(connection: Connection, model: str, before: datetime, limit: int) -> int:
    """Old outcomes whose prediction never came, or went before they did: among the oldest, however many those are."""
    oldest = (
        select(outcomes.c.event_id, outcomes.c.prediction_id, outcomes.c.observed_at)
        .where(outcomes.c.model == model, outcomes.c.observed_at < before)
        .order_by(outcomes.c.observed_at)
        .limit(limit * LOOKED_AT)
        .subquery()
    )
    theirs = select(predictions.c.prediction_id).where(
        predictions.c.prediction_id == oldest.c.prediction_id, predictions.c.model == model
    )
    old = select(oldest.c.event_id).where(~theirs.exists()).order_by(oldest.c.observed_at).limit(limit)
    removed = outcomes.delete().where(outcomes.c.event_id.in_(old))
    gone = connection.execute(removed.returning(outcomes.c.event_id, outcomes.c.prediction_id)).all()
    connection.execute(
        current_outcomes.delete().where(
            current_outcomes.c.model == model,
            current_outcomes.c.prediction_id.in_([row.prediction_id for row in gone]),
            # A later observation may be the current one, and is young enough to stay.
            current_outcomes.c.event_id.in_([row.event_id for row in gone]),
        )
    )
    return len(gone)
