"""Totals that are kept as rows come and go, by triggers: in the rows' own transaction, whoever writes or removes them.

A process of an earlier version that still runs beside this one counts as well, and so does what somebody does by hand.

Rows of `counts` add up: each session of PostgreSQL adds to a shard of its own, because a row that is changed belongs to
its transaction until the end of that, and consumers must not wait for one another. SQLite has one writer at a time, and
triggers of single rows alone, which cost as much as the rows: who writes many makes them pass, see `counted_at_once`.

An outcome without a prediction is a row of `orphan_outcomes` until its prediction comes. Where PostgreSQL stores both
at the same moment neither sees the other, and the row stays until the outcome goes; so few of them are looked up.
"""

import contextlib
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

AT_ONCE: Final = "at once"
"""A row of `counts` for which the triggers pass; there only inside a transaction that counts its rows itself."""
SHARDS: Final = 64
ORPHANS_LOOKED_UP: Final = 10_000
"""A few milliseconds. Of more orphans than that, those that are none any more do not show."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What follows from a row of `table`: it counts as `what` of `model`, both SQL of the row `{row}`.

    `added` and `removed` are further statements, for each row in SQLite; PostgreSQL's are of all rows at once.
    Of those with `many` a batch adds many at once.
    """

    table: str
    model: str
    what: str
    added: str = ""
    removed: str = ""
    many: bool = False


_ADOPT: Final = "DELETE FROM orphan_outcomes {named} WHERE {matches};"
_HAS_NONE: Final = (
    "NOT EXISTS (SELECT 1 FROM predictions AS p WHERE p.prediction_id = {row}.prediction_id AND p.model = {row}.model)"
)
_DISOWN: Final = (
    "INSERT INTO orphan_outcomes (model, prediction_id) SELECT {row}.model, {row}.prediction_id {rows} "
    f"WHERE {_HAS_NONE} ON CONFLICT DO NOTHING;"
)
_KEPT: Final = (
    _Kept("predictions", "{row}.model", f"'{MADE}' || {{row}}.served_by", added=_ADOPT, many=True),
    _Kept("outcomes", "{row}.model", f"'{OUTCOMES}'", many=True),
    _Kept("current_outcomes", "{row}.model", f"'{JUDGED}'", added=_DISOWN, removed=_ADOPT, many=True),
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


@contextlib.contextmanager
def counted_at_once(connection: Connection) -> Iterator[None]:
    """Count what is added inside when all of it is there, by the rows' numbers: SQLite gives a new row the highest.

    PostgreSQL's triggers count a statement's rows at once by themselves.
    """
    if connection.dialect.name != SQLITE:
        yield
        return
    connection.exec_driver_sql("INSERT INTO counts (model, what, shard, n) VALUES (?, ?, 0, 0)", (ALL_MODELS, AT_ONCE))
    many = [kept for kept in _KEPT if kept.many]
    newest = [connection.exec_driver_sql(f"SELECT max(rowid) FROM {kept.table}").scalar() or 0 for kept in many]
    yield
    for kept, number in zip(many, newest, strict=True):
        added = f"FROM (SELECT * FROM {kept.table} WHERE rowid > {number}) AS r"
        connection.exec_driver_sql(_added_up(kept, added))
        if kept.added:
            connection.exec_driver_sql(_of_rows(kept.added, added))
    connection.exec_driver_sql("DELETE FROM counts WHERE model = ? AND what = ?", (ALL_MODELS, AT_ONCE))


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
    if connection.dialect.name == SQLITE:
        found = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE type = 'trigger'")
        return set(found.scalars()) >= {
            each for kept in _KEPT for event in _events(kept) for each in _of_sqlite(kept, event)
        }
    tables = ", ".join(f"to_regclass('{each.table}')" for each in _KEPT)
    found = connection.exec_driver_sql(f"SELECT tgname FROM pg_trigger WHERE tgrelid IN ({tables})")
    return set(found.scalars()) >= {event.name for kept in _KEPT for event in _events(kept)}


def _create(connection: Connection, statements: Callable[[_Kept, _Event], Iterator[str]]) -> None:
    for kept in _KEPT:
        for event in _events(kept):
            for statement in statements(kept, event):
                connection.exec_driver_sql(statement)


def _events(kept: _Kept) -> Iterator[_Event]:
    yield _Event(f"count_{kept.table}_added", "INSERT", "NEW", 1, kept.added)
    yield _Event(f"count_{kept.table}_removed", "DELETE", "OLD", -1, kept.removed)


def _of_sqlite(kept: _Kept, event: _Event) -> Iterator[str]:
    """For each row, unless the transaction counts its rows at once."""
    row = event.rows
    passed = kept.many and event.sign > 0
    unless = f"WHEN NOT EXISTS (SELECT 1 FROM counts WHERE model = '{ALL_MODELS}' AND what = '{AT_ONCE}')"
    trigger = (
        f"CREATE TRIGGER {event.name} AFTER {event.statement} ON {kept.table} {unless if passed else ''} BEGIN "
        f"INSERT INTO counts (model, what, shard, n) VALUES ({kept.model}, {kept.what}, 0, {event.sign}) "
        f"ON CONFLICT (model, what, shard) DO UPDATE SET n = n + excluded.n; {event.more} END"
    )
    yield _statement(trigger, row=row, matches=f"model = {row}.model AND prediction_id = {row}.prediction_id")


def _of_postgresql(kept: _Kept, event: _Event) -> Iterator[str]:
    """For all rows of a statement at once."""
    changed = "FROM changed AS r"
    shard = f"mod(pg_backend_pid(), {SHARDS})"
    yield (
        f"CREATE FUNCTION {event.name}() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN "
        f"{_added_up(kept, changed, shard=shard, sign=event.sign)}; {_of_rows(event.more, changed)} "
        "RETURN NULL; END $body$"
    )
    yield (
        f"CREATE TRIGGER {event.name} AFTER {event.statement} ON {kept.table} "
        f"REFERENCING {event.rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {event.name}()"
    )


def _added_up(kept: _Kept, rows: str, *, shard: str = "0", sign: int = 1) -> str:
    total = (
        f"SELECT {kept.model}, {kept.what}, {shard}, {sign} * count(*) {rows} WHERE true GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return _statement(
        f"INSERT INTO counts AS c (model, what, shard, n) {total} "
        "ON CONFLICT (model, what, shard) DO UPDATE SET n = c.n + excluded.n"
    )


def _of_rows(template: str, rows: str) -> str:
    """A further statement, for all of these rows at once."""
    matches = f"(o.model, o.prediction_id) IN (SELECT r.model, r.prediction_id {rows})"
    return _statement(template, rows=rows, named="AS o", matches=matches)


def _statement(template: str, *, matches: str = "", row: str = "r", rows: str = "", named: str = "") -> str:
    """`row` is what a row of the trigger's is called, `rows` where it is from, `named` what an orphan's is called."""
    return template.format(matches=matches, row=row, rows=rows, named=named)


def _count_all(connection: Connection) -> None:
    """What is there: the one look at every row. Orphans are counted by their own triggers."""
    connection.exec_driver_sql("DELETE FROM orphan_outcomes")
    connection.exec_driver_sql("DELETE FROM counts")
    connection.exec_driver_sql(_of_rows(_DISOWN.rstrip(";"), "FROM current_outcomes AS r"))
    for kept in _KEPT:
        if kept.table != orphan_outcomes.name:
            connection.exec_driver_sql(_added_up(kept, f"FROM {kept.table} AS r"))
