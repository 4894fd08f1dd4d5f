"""What a driver's error means: the store is away, it refuses what it was given, or nobody can tell from the error.

The one table of it. An outage that is taken for a refusal buries good rows, and a refusal that is taken for an outage
holds up every row behind it; so only what is known to be one or the other is called so. The rest is `StoreFailed`: it
is waited for like an outage, and whoever has other rows can find out by them whose fault it is.
"""

import sqlite3
from typing import Any, Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, ProgrammingError, StatementError
from sqlalchemy.exc import OperationalError as Operational

from services.core.errors import BellwetherError, ContentRefused, StoreFailed, StoreUnavailable

UNENCODABLE: Final = (UnicodeEncodeError, OverflowError)
"""Drivers raise these as they are, for a lone surrogate and for a number beyond 64 bits."""

# Classes of SQLSTATE (PostgreSQL's manual, appendix A); a whole state goes before its class.
_STATES: Final[dict[str, type[BellwetherError]]] = {
    "08": StoreUnavailable,  # connection exception
    "21": ContentRefused,  # cardinality violation
    "22": ContentRefused,  # data exception
    "23": ContentRefused,  # integrity constraint violation
    "25": StoreUnavailable,  # invalid transaction state, 25006 "read only" among them
    "26": StoreUnavailable,  # invalid SQL statement name: somebody between here and the server has changed the session
    "28": StoreUnavailable,  # invalid authorization
    "3D": StoreUnavailable,  # invalid catalog name
    "40": StoreUnavailable,  # transaction rollback, deadlocks among them
    # Syntax error or access rule violation: a table that is missing, a right that was taken away. Our statements are
    # the same for all rows, and none of them is the reason.
    "42": StoreUnavailable,
    "53": StoreUnavailable,  # insufficient resources, a full disk among them
    "54": ContentRefused,  # program limit exceeded, "index row size exceeds" among them
    "55": StoreUnavailable,  # not in the prerequisite state, a lock that was not to be had among them
    "57": StoreUnavailable,  # operator intervention, a shutdown among them
    "57014": StoreFailed,  # the statement took too long: the server is slow, or was given too much at once
    "58": StoreUnavailable,  # system error
}
_OF_SESSIONS: Final = ("25", "26", "42")
"""Classes that may be about what a session has kept."""
_PRIMARY: Final = 0xFF
"""SQLite's extended codes carry the primary one in their lowest byte."""
_CODES: Final[dict[int, type[BellwetherError]]] = {
    sqlite3.SQLITE_TOOBIG: ContentRefused,
    sqlite3.SQLITE_CONSTRAINT: ContentRefused,
    sqlite3.SQLITE_MISMATCH: ContentRefused,
    sqlite3.SQLITE_ERROR: StoreFailed,
    sqlite3.SQLITE_INTERNAL: StoreFailed,
    sqlite3.SQLITE_MISUSE: StoreFailed,
}
"""The other codes are about the file, its disk, its rights and its locks."""
_NO_SUCH: Final = ("no such table", "no such column", "no such index", "no such trigger")
"""How SQLite, which has no code for it, begins to say that its tables are others than ours: no row is the reason."""
_KINDS: Final[tuple[tuple[type[StatementError], type[BellwetherError]], ...]] = (
    (DataError, ContentRefused),  # psycopg before it sends anything: a NUL
    (IntegrityError, ContentRefused),
    (ProgrammingError, ContentRefused),  # both drivers, of a value whose type they do not know
    (Operational, StoreUnavailable),
    (InterfaceError, StoreUnavailable),
    (DBAPIError, StoreFailed),
    (StatementError, ContentRefused),  # a value that our own columns could not turn into the driver's
)
"""For an error without a code: the driver raised it, and no server said it."""


def failure_of(error: Exception) -> type[BellwetherError]:
    """What it is in our words: `StoreUnavailable`, `StoreFailed` or `ContentRefused`."""
    if isinstance(error, UNENCODABLE):
        return ContentRefused
    if not isinstance(error, StatementError):
        return StoreUnavailable  # the toolkit's own, such as a pool that has no connection left
    if state := sqlstate_of(error.orig):
        return _STATES.get(state) or _STATES.get(state[:2], StoreFailed)
    if code := getattr(error.orig, "sqlite_errorcode", None):
        return (
            StoreUnavailable if str(error.orig).startswith(_NO_SUCH) else _CODES.get(code & _PRIMARY, StoreUnavailable)
        )
    return next(failure for kind, failure in _KINDS if isinstance(error, kind))


def needs_another_session(error: BaseException | None) -> bool:
    """Whether a session that began anew could do what this one refuses.

    A session keeps what held when it began: that the database is read-only, its settings, and plans of tables as they
    were. One that is read-only stays so for ever, long after the database is writable again.
    """
    state = sqlstate_of(error)
    return state is not None and (state[:2] in _OF_SESSIONS or state[:2] not in _STATES)


def sqlstate_of(error: BaseException | None) -> str | None:
    state: Any = getattr(error, "sqlstate", None)
    return state or None
