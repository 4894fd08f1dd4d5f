"""Totals that are kept as rows come and go, by triggers: in the rows' own transaction, whoever writes or removes them.

A process of an earlier version that still runs beside this one counts as well, and so does what somebody does by hand.

Rows of `counts` add up: each session of PostgreSQL adds to a shard of its own, because a row that is changed belongs to
its transaction until the end of that, and consumers must not wait for one another. SQLite has one writer at a time.

SQLite's triggers are of single rows. It keeps a copy of each page that such a statement changes, so as to be able to
take back the statement alone: that costs more than the counting, and is spared where it may fail without (OR FAIL), as
whoever writes many rows takes back the whole transaction anyway.

An outcome without a prediction is a row of `orphan_outcomes` until its prediction comes. Where PostgreSQL stores both
at the same moment neither sees the other, and the row stays until the outcome goes; so few of them are looked up.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, func, select

from services.adapters.record_store.schema import counts, orphan_outcomes, predictions, removals
from services.core.ports import ALL_MODELS, RecordCounts

MADE: Final = "made/"
"""Before who answered: `made/model`."""
OUTCOMES: Final = "outcomes"
JUDGED: Final = "judged"
"""Predictions with an outcome, of each model that one was sent to."""
ORPHANS: Final = "orphans"
LETTERS: Final = "dead_letters"

SQLITE: Final = "sqlite"

SHARDS: Final = 64
ORPHANS_LOOKED_UP: Final = 10_000
"""A few milliseconds. Of more orphans than that, those that are none any more do not show."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What follows from a row of `table`: it counts as `what` of `model`, both SQL of the row `{row}`.

    `added` and `removed` are further statements, for each row in SQLite; PostgreSQL's are of all rows at once.
    """

    table: str
    model: str
    what: str
    added: str = ""
    removed: str = ""


_ADOPT: Final = "DELETE FROM orphan_outcomes {named} WHERE {matches};"
_HAS_NONE: Final = (
    "NOT EXISTS (SELECT 1 FROM predictions AS p WHERE p.prediction_id = {row}.prediction_id AND p.model = {row}.model)"
)
_DISOWN: Final = (
    "INSERT {or_fail} INTO orphan_outcomes (model, prediction_id) SELECT {row}.model, {row}.prediction_id {rows} "
    f"WHERE {_HAS_NONE} ON CONFLICT DO NOTHING;"
)
_KEPT: Final = (
    _Kept("predictions", "{row}.model", f"'{MADE}' || {{row}}.served_by", added=_ADOPT),
    _Kept("outcomes", "{row}.model", f"'{OUTCOMES}'"),
    _Kept("current_outcomes", "{row}.model", f"'{JUDGED}'", added=_DISOWN, removed=_ADOPT),
    _Kept("orphan_outcomes", "{row}.model", f"'{ORPHANS}'"),
    _Kept("dead_letters", f"'{ALL_MODELS}'", f"'{LETTERS}'"),
)


class _Event(NamedTuple):
    """What happens to rows of a table; `rows` is what SQL calls them then, `more` further statements."""

    name: str
    statement: str
    rows: str
    sign: int
    more: str


def install(connection: Connection) -> None:
    """Put the triggers there and count what there is, unless they are there already.

    A migration that writes a table anew takes its triggers away; whoever migrates next comes by here. What is counted
    was committed before: on PostgreSQL the triggers wait for writers, and writers for the end of this transaction.
    """
    if _installed(connection):
        return
    remove(connection)
    if connection.dialect.name == SQLITE:
        _create(connection, _of_sqlite)
    else:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        _create(connection, _of_postgresql)
    _count_all(connection)


def remove(connection: Connection) -> None:
    """Take the triggers away."""
    is_sqlite = connection.dialect.name == SQLITE
    for kept in _KEPT:
        for event in _events(kept):
            connection.exec_driver_sql(
                f"DROP TRIGGER IF EXISTS {event.name}" + ("" if is_sqlite else f" ON {kept.table}")
            )
            if not is_sqlite:
                connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {event.name}()")


def kept_counts(connection: Connection, model: str | None) -> RecordCounts:
    """Totals of one model or of all; their cost grows with the days of removals, not with what is stored."""
    found = _found(connection, [] if model is None else [counts.c.model == model])
    made = {what.removeprefix(MADE): n for what, n in found.items() if what.startswith(MADE) and n}
    removed = [] if model is None else [removals.c.model == model]
    pruned = select(func.sum(removals.c.predictions + removals.c.outcomes)).where(*removed)
    return RecordCounts(
        predictions=sum(made.values()),
        predictions_by=made,
        outcomes=found.get(OUTCOMES, 0),
        corrections=found.get(OUTCOMES, 0) - found.get(JUDGED, 0),
        orphan_outcomes=_orphans(connection, model, found.get(ORPHANS, 0)),
        dead_letters=_found(connection, [counts.c.model == ALL_MODELS]).get(LETTERS, 0),
        pruned=int(connection.scalar(pruned) or 0),
    )


def _found(connection: Connection, among: list[Any]) -> dict[str, int]:
    totals = select(counts.c.what, func.sum(counts.c.n)).where(*among).group_by(counts.c.what)
    return {what: int(n) for what, n in connection.execute(totals)}


def _orphans(connection: Connection, model: str | None, rows: int) -> int:
    if not 0 < rows <= ORPHANS_LOOKED_UP:
        return rows
    return connection.scalar(_still_orphans(model)) or 0


def _still_orphans(model: str | None) -> Select[Any]:
    theirs = select(predictions.c.prediction_id).where(
        predictions.c.prediction_id == orphan_outcomes.c.prediction_id, predictions.c.model == orphan_outcomes.c.model
    )
    query = select(func.count()).select_from(orphan_outcomes).where(~theirs.exists())
    return query if model is None else query.where(orphan_outcomes.c.model == model)


def _installed(connection: Connection) -> bool:
    """Whether the triggers are there: in SQLite, which keeps what a trigger was made by, these very ones."""
    events = [(kept, event) for kept in _KEPT for event in _events(kept)]
    if connection.dialect.name == SQLITE:
        found = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE type = 'trigger'")
        return set(found.scalars()) >= {trigger for kept, event in events for trigger in _of_sqlite(kept, event)}
    tables = ", ".join(f"to_regclass('{each.table}')" for each in _KEPT)
    found = connection.exec_driver_sql(f"SELECT tgname FROM pg_trigger WHERE tgrelid IN ({tables})")
    return set(found.scalars()) >= {event.name for _, event in events}


def _create(connection: Connection, statements: Callable[[_Kept, _Event], Iterator[str]]) -> None:
    for kept in _KEPT:
        for event in _events(kept):
            for statement in statements(kept, event):
                connection.exec_driver_sql(statement)


def _events(kept: _Kept) -> Iterator[_Event]:
    yield _Event(f"count_{kept.table}_added", "INSERT", "NEW", 1, kept.added)
    yield _Event(f"count_{kept.table}_removed", "DELETE", "OLD", -1, kept.removed)


def _of_sqlite(kept: _Kept, event: _Event) -> Iterator[str]:
    """For each row."""
    trigger = (
        f"CREATE TRIGGER {event.name} AFTER {event.statement} ON {kept.table} BEGIN "
        f"INSERT OR FAIL INTO counts VALUES ({kept.model}, {kept.what}, 0, 0) ON CONFLICT DO NOTHING; "
        f"UPDATE OR FAIL counts SET n = n + {event.sign} WHERE (model, what, shard) = ({kept.model}, {kept.what}, 0); "
        f"{event.more} END"
    )
    row = event.rows
    matches = f"model = {row}.model AND prediction_id = {row}.prediction_id"
    yield _statement(trigger, row=row, matches=matches, or_fail="OR FAIL")


def _of_postgresql(kept: _Kept, event: _Event) -> Iterator[str]:
    """For all rows of a statement at once."""
    function = (
        f"CREATE FUNCTION {event.name}() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN "
        f"INSERT INTO counts AS c (model, what, shard, n) SELECT {kept.model}, {kept.what}, "
        f"mod(pg_backend_pid(), {SHARDS}), {event.sign} * count(*) FROM changed AS r GROUP BY 1, 2 ORDER BY 1, 2 "
        f"ON CONFLICT (model, what, shard) DO UPDATE SET n = c.n + excluded.n; {event.more} RETURN NULL; END $body$"
    )
    matches = "(o.model, o.prediction_id) IN (SELECT r.model, r.prediction_id FROM changed AS r)"
    yield _statement(function, rows="FROM changed AS r", named="AS o", matches=matches)
    yield (
        f"CREATE TRIGGER {event.name} AFTER {event.statement} ON {kept.table} "
        f"REFERENCING {event.rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {event.name}()"
    )


def _statement(
    template: str, *, matches: str = "", row: str = "r", rows: str = "", named: str = "", or_fail: str = ""
) -> str:
    """`row` is what a row of the trigger's is called, `rows` where it is from, `named` what an orphan's is called."""
    return template.format(matches=matches, row=row, rows=rows, named=named, or_fail=or_fail)


def _count_all(connection: Connection) -> None:
    """What is there: the one look at every row. Orphans are counted by their own triggers."""
    connection.exec_driver_sql("DELETE FROM orphan_outcomes")
    connection.exec_driver_sql("DELETE FROM counts")
    connection.exec_driver_sql(_statement(_DISOWN.rstrip(";"), rows="FROM current_outcomes AS r"))
    for each in _KEPT:
        if each.table != orphan_outcomes.name:
            total = f"SELECT {each.model}, {each.what}, 0, count(*) FROM {each.table} AS r GROUP BY 1, 2"
            connection.exec_driver_sql(_statement(f"INSERT INTO counts (model, what, shard, n) {total}"))
