"""What has become too old to keep, removed a portion at a time."""

from datetime import datetime

from sqlalchemy import Connection, select

from services.adapters.record_store.database import Database
from services.adapters.record_store.schema import (
    current_outcomes,
    dead_letters,
    outcomes,
    predictions,
    results,
)
from services.core.ports import Pruned


class SqlRetention:
    """See `services.core.ports.Retention`."""

    _database: Database

    def prune(self, model: str, *, before: datetime, limit: int) -> Pruned:
        with self._database.writing() as connection:
            made, seen = _predictions(connection, model, before, limit)
            seen += _strays(connection, model, before, limit)
            old = select(results.c.id).where(results.c.model == model, results.c.window_end < before).limit(limit)
            found = connection.execute(results.delete().where(results.c.id.in_(old))).rowcount
        return Pruned(predictions=made, outcomes=seen, results=found)

    def prune_dead_letters(self, *, before: datetime, limit: int) -> int:
        old = select(dead_letters.c.origin).where(dead_letters.c.at < before).limit(limit)
        with self._database.writing() as connection:
            return connection.execute(dead_letters.delete().where(dead_letters.c.origin.in_(old))).rowcount


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
    """Old outcomes whose prediction never came, or went before they did."""
    old = (
        select(outcomes.c.event_id)
        .where(outcomes.c.model == model, outcomes.c.observed_at < before)
        .order_by(outcomes.c.observed_at)
        .limit(limit)
    )
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
