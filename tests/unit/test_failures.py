"""Drivers' errors in our words: away, refused, or unknown. A code that is on neither list is unknown."""

import sqlite3
from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import Column, MetaData, String, Table, create_engine, exc

from services.adapters.record_store.failures import failure_of, needs_another_session
from services.core.errors import ContentRefused, StoreFailed, StoreUnavailable

AWAY = [
    "08006",
    "25006",
    "25P02",
    "28P01",
    "3D000",
    "26000",
    "40001",
    "40P01",
    "42501",
    "42P01",
    "42703",
    "42804",
    "53100",
    "53300",
    "55P03",
    "57P01",
    "58030",
]
REFUSED = ["21000", "22001", "22003", "22021", "22P05", "23502", "23505", "23514", "54000", "54001", "54023"]
UNKNOWN = ["0A000", "57014", "F0000", "P0001", "XX000", "XX001"]
BEGIN_ANEW = {
    "25006",
    "25P02",
    "26000",
    "0A000",
    "42P01",
    "42501",
    "42703",
    "42804",
    "F0000",
    "P0001",
    "XX000",
    "XX001",
}


def said_by_server(state: str) -> psycopg.Error:
    error = psycopg.Error("as the server says")
    error.sqlstate = state
    return error


def wrapped(error: Exception) -> exc.DBAPIError:
    """In the toolkit's class of the same name, as it does itself."""
    kind: type[exc.DBAPIError] = getattr(exc, type(error).__name__, exc.DBAPIError)
    return kind("INSERT", None, error)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        *((state, StoreUnavailable) for state in AWAY),
        *((state, ContentRefused) for state in REFUSED),
        *((state, StoreFailed) for state in UNKNOWN),
    ],
)
def test_what_a_server_says_is_known_by_its_state_whatever_class_the_driver_gives_it(
    state: str, expected: type[Exception]
) -> None:
    for kind in (exc.OperationalError, exc.DBAPIError):
        assert failure_of(kind("INSERT", None, said_by_server(state))) is expected


def test_a_session_begins_anew_where_it_may_keep_what_is_no_longer_so() -> None:
    every = [*AWAY, *REFUSED, *UNKNOWN]
    assert {state for state in every if needs_another_session(said_by_server(state))} == BEGIN_ANEW
    assert not needs_another_session(psycopg.OperationalError("the connection is closed"))


FROM_SQLITE: list[tuple[Callable[[sqlite3.Connection], object], type[Exception]]] = [
    (lambda file: file.execute("INSERT INTO t VALUES (1)"), ContentRefused),
    (lambda file: file.execute("INSERT INTO t VALUES (NULL)"), ContentRefused),
    (lambda file: file.execute("INSERT INTO t VALUES ('no number')"), ContentRefused),
    (lambda file: file.execute("SELECT zeroblob(1 << 31)"), ContentRefused),
    (lambda file: file.execute("SELECT ?", (object(),)), ContentRefused),
    (lambda file: file.execute("SELECT ?", (2**64,)), ContentRefused),
    (lambda file: file.execute("SELECT ?", ("\ud800",)), ContentRefused),
    (lambda file: file.execute("SELECT * FROM nowhere"), StoreUnavailable),
    (lambda file: file.execute("SELECT other FROM t"), StoreUnavailable),
    (lambda file: file.execute("SELECT abs(-9223372036854775808)"), StoreFailed),
    (lambda _: sqlite3.connect("/nowhere/at/all"), StoreUnavailable),
]


@pytest.mark.parametrize(("do", "expected"), FROM_SQLITE)
def test_what_sqlite_says_is_known_by_its_code(
    do: Callable[[sqlite3.Connection], object], expected: type[Exception]
) -> None:
    file = sqlite3.connect(":memory:")
    file.execute("CREATE TABLE t (number INTEGER NOT NULL UNIQUE) STRICT")
    file.execute("INSERT INTO t VALUES (1)")
    with pytest.raises((sqlite3.Error, UnicodeEncodeError, OverflowError)) as raised:
        do(file)
    error = raised.value
    assert failure_of(wrapped(error) if isinstance(error, sqlite3.Error) else error) is expected
    file.close()


def test_what_a_driver_raises_before_it_asks_is_about_the_content() -> None:
    nul = psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    assert failure_of(wrapped(nul)) is ContentRefused
    table = Table("t", MetaData(), Column("name", String))
    with create_engine("sqlite://").connect() as connection, pytest.raises(exc.StatementError) as raised:
        connection.execute(table.insert(), [{"name": "a"}, {}])
    assert failure_of(raised.value) is ContentRefused


def test_a_connection_that_is_gone_or_not_to_be_had_is_away() -> None:
    assert failure_of(wrapped(psycopg.OperationalError("the connection is closed"))) is StoreUnavailable
    assert failure_of(exc.TimeoutError("no connection within 10 s")) is StoreUnavailable
