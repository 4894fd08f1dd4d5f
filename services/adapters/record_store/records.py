"""Predictions, outcomes, dead letters and positions."""

import operator
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ARRAY, Connection, Dialect, FromClause, Select, and_, func, literal, select, tuple_, union_all
from sqlalchemy.exc import StatementError

from services.adapters.record_store.counting import kept_counts
from services.adapters.record_store.database import Database
from services.adapters.record_store.draws import draw_of, level_of, sample_ids
from services.adapters.record_store.schema import (
    current_outcomes,
    dead_letters,
    outcomes,
    positions,
    predictions,
)
from services.core.clock import EPOCH
from services.core.errors import LostPosition, PositionLost
from services.core.letters import findable, keepable, moved_aside
from services.core.outcomes import OutcomeObserved
from services.core.ports import RecordCounts
from services.core.predictions import NO_ACTION, PredictionMade
from services.core.records import Batch, DeadLetter, Judged, Position, Stored

# SQLite takes 32,766 parameters in a statement, PostgreSQL 65,535; ids are asked for in portions below either.
IDS_AT_ONCE: Final = 10_000

IN_ORDER: Final = (predictions.c.made_at, predictions.c.prediction_id)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(PredictionMade).decode


class SqlRecords:
    """See `services.core.ports.Records`."""

    _database: Database

    def commit(
        self, batch: Batch, *, consumer: str, position: int, start: int | None = None, last_event: str = ""
    ) -> Stored:
        with self._database.writing() as connection:
            self._move(connection, consumer, start, Position(position, last_event and findable(last_event)))
            return self._add_batch(connection, batch)

    def _add_batch(self, connection: Connection, batch: Batch) -> Stored:
        made = self._add(connection, predictions, [_prediction_row(each) for each in batch.predictions])
        seen = self._add(connection, outcomes, [_outcome_row(*each) for each in batch.outcomes])
        self._keep_latest(connection, batch.outcomes)
        dead = self._add(connection, dead_letters, _letter_rows(connection, batch.dead_letters))
        events = len(batch.predictions) + len(batch.outcomes)
        return Stored(stored=made + seen, duplicates=events - made - seen, dead_lettered=dead)

    def position(self, consumer: str) -> int:
        return self.committed(consumer).offset

    def committed(self, consumer: str) -> Position:
        with self._database.transaction() as connection:
            return _committed(connection, consumer)

    def rewind(self, consumer: str, *, position: int) -> None:
        behind = positions.update().where(positions.c.consumer == consumer, positions.c.position > position)
        with self._database.writing() as connection:
            connection.execute(behind.values(position=position, last_event=""))

    def judged(
        self,
        model: str,
        *,
        made_from: datetime,
        made_until: datetime,
        version: str | None = None,
        limit: int | None = None,
        settled: bool = False,
    ) -> list[Judged]:
        window = _window(model, made_from, made_until, version, settled=settled)
        with self._database.transaction() as connection:
            rows = connection.execute(_sampled(connection, window, limit)).all()
        return [_judged(row) for row in rows]

    def judged_in_batches(
        self,
        model: str,
        *,
        made_from: datetime,
        made_until: datetime,
        version: str | None = None,
        limit: int | None = None,
        settled: bool = False,
        at_once: int = 2000,
    ) -> Iterator[list[Judged]]:
        window = _window(model, made_from, made_until, version, settled=settled)
        with self._database.transaction() as connection:
            found = _sampled(connection, window, limit)
            rows = connection.execute(found, execution_options={"yield_per": at_once})
            for batch in rows.partitions():
                yield [_judged(row) for row in batch]

    def count_settled(self, model: str, *, made_from: datetime, made_until: datetime, at_most: int) -> int:
        window = [
            *_window(model, made_from, made_until, None, settled=True),
            predictions.c.action == NO_ACTION,
        ]
        some = select(predictions.c.prediction_id).where(*window).limit(at_most).subquery()
        with self._database.transaction() as connection:
            return _count(connection, some, [])

    def newest_of_entities(
        self, model: str, *, made_from: datetime, made_until: datetime, limit: int
    ) -> list[PredictionMade]:
        newest = _newest_of_each(_window(model, made_from, made_until, None), limit)
        query = select(predictions.c.data).where(predictions.c.prediction_id.in_(newest)).order_by(*IN_ORDER)
        with self._database.transaction() as connection:
            return [_decode(data) for data in connection.scalars(query)]

    def count_made(self, model: str, *, made_from: datetime, made_until: datetime, version: str | None = None) -> int:
        with self._database.transaction() as connection:
            return _count(connection, predictions, _window(model, made_from, made_until, version))

    def first_made_at(self, model: str) -> datetime | None:
        return self._made_at(_answers_of(model), predictions.c.made_at)

    def last_made_at(self, model: str, *, version: str | None = None, until: datetime | None = None) -> datetime | None:
        among = _answers_of(model, version)
        if until is not None:
            among.append(predictions.c.made_at <= until)
        return self._made_at(among, predictions.c.made_at.desc())

    def stored_event_ids(self, ids: Sequence[str]) -> set[str]:
        return self._among(predictions.c.prediction_id, ids) | self._among(outcomes.c.event_id, ids)

    def stored_twice(self) -> int:
        every = union_all(select(predictions.c.prediction_id.label("id")), select(outcomes.c.event_id)).subquery()
        twice = select(every.c.id).group_by(every.c.id).having(func.count() > 1).subquery()
        with self._database.transaction() as connection:
            return connection.scalar(select(func.count()).select_from(twice)) or 0

    def dead_event_ids(self, ids: Sequence[str]) -> set[str]:
        # An earlier version kept letters under the events' own ids, whatever those were.
        kept = {each: each for each in ids} | {findable(each): each for each in ids}
        return {kept[each] for each in self._among(dead_letters.c.event_id, list(kept))}

    def redeem(self, batch: Batch, *, origins: Sequence[str]) -> Stored:
        with self._database.writing() as connection:
            for start in range(0, len(origins), IDS_AT_ONCE):
                connection.execute(
                    dead_letters.delete().where(dead_letters.c.origin.in_(origins[start : start + IDS_AT_ONCE]))
                )
            return self._add_batch(connection, batch)

    def dead_letters(self, *, limit: int, reason: str | None = None) -> list[DeadLetter]:
        query = select(dead_letters).order_by(dead_letters.c.at.desc(), dead_letters.c.origin.desc()).limit(limit)
        if reason is not None:
            query = query.where(dead_letters.c.reason == reason)
        with self._database.transaction() as connection:
            return [DeadLetter(**row) for row in connection.execute(query).mappings()]

    def counts(self, model: str | None = None) -> RecordCounts:
        with self._database.transaction() as connection:
            return kept_counts(connection, model)

    def _made_at(self, among: list[Any], order: Any) -> datetime | None:
        """The time of the first of these predictions in that order."""
        with self._database.transaction() as connection:
            found: datetime | None = connection.scalar(
                select(predictions.c.made_at).where(*among).order_by(order).limit(1)
            )
        return found

    def _add(self, connection: Connection, table: Any, rows: list[dict[str, Any]]) -> int:
        """Insert the rows that are not there yet; returns how many were."""
        return self._inserted(connection, table, rows, self._database.insert(table).on_conflict_do_nothing())

    def _keep_latest(self, connection: Connection, observed: list[tuple[str, OutcomeObserved]]) -> None:
        """Per model and prediction the latest outcome wins, as `_rank` has it, whatever order they come in."""
        insert = self._database.insert(current_outcomes)
        new, old = insert.excluded, current_outcomes.c
        latest = {name: new[name] for name in ("event_id", "value", "observed_at", "recorded_at")}
        later = tuple_(new.observed_at, new.recorded_at, new.event_id) > tuple_(
            old.observed_at, old.recorded_at, old.event_id
        )
        upsert = insert.on_conflict_do_update(index_elements=[old.model, old.prediction_id], set_=latest, where=later)
        rows = [_outcome_row(*each) for each in _latest_of_each(observed)]
        # Nearly all are the first of their prediction, and to add them costs less than to be ready for another.
        if self._add(connection, current_outcomes, rows) < len(rows):
            self._inserted(connection, current_outcomes, rows, upsert)

    def _inserted(self, connection: Connection, table: Any, rows: list[dict[str, Any]], insert: Any) -> int:
        """Returns how many rows were inserted or changed.

        In the order of their keys: consumers that insert the same rows at the same time then wait for each other, and
        none holds what another one waits for.
        """
        if not rows:
            return 0
        rows = sorted(rows, key=operator.itemgetter(*(key.name for key in table.primary_key.columns)))
        if self._database.is_sqlite:
            insert = insert.prefix_with("OR FAIL")  # see `counting`
            return connection.exec_driver_sql(*_in_turn(insert, table, rows, connection.dialect)).rowcount
        counted = _from_arrays(insert, table, rows).execution_options(preserve_rowcount=True)
        return connection.execute(counted).rowcount

    def _move(self, connection: Connection, consumer: str, start: int | None, to: Position) -> None:
        """Forwards alone. Raises `PositionLost` when the position lies before `start`."""
        moved = self._first_move(consumer, to) if not start else _later_move(consumer, start, to)
        if connection.execute(moved).rowcount or not start:
            return
        if (stored := _committed(connection, consumer).offset) < start:
            raise PositionLost(
                f"record store {self._database.name} has {consumer} up to position {stored}, and what was read begins "
                f"at {start}: it is an earlier copy, another one, or was rewound; reading goes on from what it has",
                partition=consumer,
                reason=LostPosition.STORE_BEHIND,
            )

    def _first_move(self, consumer: str, to: Position) -> Any:
        insert = self._database.insert(positions).values(
            consumer=consumer, position=to.offset, last_event=to.last_event
        )
        return insert.on_conflict_do_update(
            index_elements=[positions.c.consumer],
            set_={"position": insert.excluded.position, "last_event": insert.excluded.last_event},
            where=insert.excluded.position > positions.c.position,
        )

    def _among(self, column: Any, ids: Sequence[str]) -> set[str]:
        ids = _askable(ids)
        found: set[str] = set()
        with self._database.transaction() as connection:
            for start in range(0, len(ids), IDS_AT_ONCE):
                portion = ids[start : start + IDS_AT_ONCE]
                found.update(connection.scalars(select(column).where(column.in_(portion))))
        return found


def _later_move(consumer: str, start: int, to: Position) -> Any:
    """Changes nothing where the position is missing or before `start`, or as far as `to` already."""
    between = positions.c.position >= start, positions.c.position < to.offset
    move = positions.update().where(positions.c.consumer == consumer, *between)
    return move.values(position=to.offset, last_event=to.last_event)


def _committed(connection: Connection, consumer: str) -> Position:
    stored = select(positions.c.position, positions.c.last_event).where(positions.c.consumer == consumer)
    found = connection.execute(stored).one_or_none()
    return Position() if found is None else Position(found.position, found.last_event)


def _askable(ids: Sequence[str]) -> Sequence[str]:
    """Without those that no text can hold, of which there is nothing to be found."""
    return ids if _is_text("".join(ids)) else [each for each in ids if _is_text(each)]


def _is_text(value: str) -> bool:
    """PostgreSQL takes no NUL, and UTF-8 has no lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in value


def _in_turn(
    insert: Any, table: Any, rows: list[dict[str, Any]], dialect: Dialect
) -> tuple[str, list[tuple[Any, ...]]]:
    """A statement of one row and the parameters of each. The toolkit itself takes as long for a row as SQLite does."""
    compiled = insert.compile(dialect=dialect, column_keys=list(rows[0]))
    names: list[str] = compiled.positiontup
    columns = [[row[name] for row in rows] for name in names]
    for column, name in zip(columns, names, strict=True):
        if bound := table.c[name].type.dialect_impl(dialect).bind_processor(dialect):
            try:
                column[:] = map(bound, column)
            except ValueError as error:
                raise StatementError(f"{name}: {error}", str(compiled), None, error, hide_parameters=True) from error
    return str(compiled), list(zip(*columns, strict=True))


def _from_arrays(insert: Any, table: Any, rows: list[dict[str, Any]]) -> Any:
    """The rows as an array per column: one statement for all of them, whose text is the same for any number of rows."""
    names = list(rows[0])
    arrays = [literal([row[name] for row in rows], ARRAY(table.c[name].type)) for name in names]
    found = func.unnest(*arrays).table_valued(*names).render_derived()
    return insert.from_select(names, select(*(found.c[name] for name in names)))


def _latest_of_each(observed: list[tuple[str, OutcomeObserved]]) -> list[tuple[str, OutcomeObserved]]:
    """One outcome per model and prediction: a statement may change a row once."""
    in_order = sorted(observed, key=_rank)
    return list(
        {(outcome.model, outcome.prediction_id): (event_id, outcome) for event_id, outcome in in_order}.values()
    )


def _rank(observed: tuple[str, OutcomeObserved]) -> tuple[datetime, datetime, str]:
    """The latest observation wins, and of several at the same moment the one that was recorded last.

    The event id decides between those of which nobody knows that: they always end alike, too.
    """
    event_id, outcome = observed
    return outcome.observed_at, outcome.recorded_at or EPOCH, event_id


def _answers_of(model: str, version: str | None = None) -> list[Any]:
    of_model = [predictions.c.model == model]
    return of_model if version is None else [*of_model, predictions.c.version == version]


def _window(
    model: str, made_from: datetime, made_until: datetime, version: str | None, *, settled: bool = False
) -> list[Any]:
    window = [*_answers_of(model, version), predictions.c.made_at >= made_from, predictions.c.made_at < made_until]
    return [*window, select(1).where(_same_prediction()).correlate(predictions).exists()] if settled else window


def _sampled(connection: Connection, window: list[Any], limit: int | None) -> Select[Any]:
    """Selects what the window has, or a sample of it, oldest first, with the outcomes."""
    if limit is not None:
        window = [predictions.c.prediction_id.in_(sample_ids(connection, window, limit))]
    return _with_outcomes(predictions).where(*window).order_by(*IN_ORDER)


def _newest_of_each(window: list[Any], limit: int) -> Select[Any]:
    """The ids of entities' newest predictions. The draws of these are as good as the entities' own."""
    newest_first = (predictions.c.made_at.desc(), predictions.c.prediction_id.desc())
    place = func.row_number().over(partition_by=predictions.c.entity_id, order_by=newest_first)
    ranked = select(predictions.c.prediction_id, predictions.c.draw, place.label("place")).where(*window).subquery()
    drawn = select(ranked.c.prediction_id).where(ranked.c.place == 1)
    return drawn.order_by(ranked.c.draw, ranked.c.prediction_id).limit(limit)


def _with_outcomes(found: FromClause) -> Select[Any]:
    columns = (predictions.c.data, current_outcomes.c.value, current_outcomes.c.observed_at)
    return select(*columns).select_from(found.outerjoin(current_outcomes, _same_prediction()))


def _same_prediction() -> Any:
    """An outcome is about the answer of its own model alone: the same id under another model's name is an orphan."""
    return and_(
        current_outcomes.c.model == predictions.c.model,
        current_outcomes.c.prediction_id == predictions.c.prediction_id,
    )


def _judged(row: Any) -> Judged:
    return Judged(_decode(row.data), row.value, row.observed_at)


def _count(connection: Connection, table: Any, conditions: list[Any]) -> int:
    return connection.scalar(select(func.count()).select_from(table).where(*conditions)) or 0


def _prediction_row(made: PredictionMade) -> dict[str, Any]:
    draw = draw_of(made.prediction_id)
    return {
        "prediction_id": made.prediction_id,
        "model": made.model,
        "version": made.version,
        "entity_id": made.entity_id,
        "served_by": made.served_by.value,
        "arm": made.arm.value,
        "score": made.score,
        "label": made.label,
        "action": made.action,
        "made_at": made.made_at,
        "data": _encode(made),
        "draw": draw,
        "level": level_of(draw),
    }


def _letter_rows(connection: Connection, letters: Sequence[DeadLetter]) -> list[dict[str, Any]]:
    """Positions of a log that was restored, or has lost its end, come again with other events: both letters stay."""
    letters = [keepable(each) for each in letters]
    kept = {each.origin: (each.event_id, each.data) for each in reversed(letters)} | _kept_letters(connection, letters)
    stays = [kept[each.origin] == (each.event_id, each.data) for each in letters]
    rows = (each if stay else moved_aside(each) for each, stay in zip(letters, stays, strict=True))
    return [msgspec.structs.asdict(each) for each in rows]


def _kept_letters(connection: Connection, letters: Sequence[DeadLetter]) -> dict[str, tuple[str, bytes]]:
    """What the store has of letters from the same origins."""
    found: dict[str, tuple[str, bytes]] = {}
    for start in range(0, len(letters), IDS_AT_ONCE):
        origins = [each.origin for each in letters[start : start + IDS_AT_ONCE]]
        query = select(dead_letters.c.origin, dead_letters.c.event_id, dead_letters.c.data)
        rows = connection.execute(query.where(dead_letters.c.origin.in_(origins)))
        found |= {row.origin: (row.event_id, bytes(row.data)) for row in rows}
    return found


def _outcome_row(event_id: str, outcome: OutcomeObserved) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "prediction_id": outcome.prediction_id,
        "model": outcome.model,
        "value": outcome.value,
        "observed_at": outcome.observed_at,
        "recorded_at": outcome.recorded_at or EPOCH,
    }
