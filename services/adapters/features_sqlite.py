"""Online features in one SQLite file: a row per model and entity, so that a look-up is one step."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec

from services.adapters.sqlite_files import ThreadConnections, transaction
from services.adapters.turns import turn
from services.core.clock import FIRST_MICROSECOND, LAST_MICROSECOND, from_microseconds, to_microseconds
from services.core.errors import UNDECODABLE, ContentRefused, FeatureSourceDown
from services.core.features import Reading, WriteResult

OPEN_SECONDS: Final = 5.0
"""How long an opening waits for other processes that create or close the file at the same moment."""
AGAIN_SECONDS: Final = 0.001
"""Between two attempts at a locked file: a small part of any look-up's budget."""
WRITE_SECONDS: Final = 1.0
"""How long a feed's write waits for its turn."""
STILL_THERE_SECONDS: Final = 0.1
"""Between two looks at whether the file is still the one that was opened. A file that was moved away or replaced can be
read through its open connection for ever, and nobody writes to it any more."""
UNREADABLE: Final = (*UNDECODABLE, TypeError)

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entities (
    model TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    readings BLOB NOT NULL,
    PRIMARY KEY (model, entity_id)
) WITHOUT ROWID
"""
_SELECT: Final = "SELECT readings FROM entities WHERE model = ? AND entity_id = ?"
_REPLACE: Final = "INSERT OR REPLACE INTO entities (model, entity_id, readings) VALUES (?, ?, ?)"

_Kept = tuple[bool | float | str | None, Annotated[int, msgspec.Meta(ge=FIRST_MICROSECOND, le=LAST_MICROSECOND)]]
"""A value, and its own time in microseconds."""
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, _Kept]).decode
_decode_one: Final = msgspec.json.Decoder(_Kept).decode
_decode_any: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_CHANGES: Final = (WriteResult.WRITTEN, WriteResult.CORRECTED)

_Found = TypeVar("_Found")


class FeaturesSqlite:
    """See `services.core.ports.OnlineFeatures`. Look-ups take microseconds, so they run where they are called.

    Readers and writers of a file in WAL mode do not hold each other up. Where another process has it to itself for a
    moment (the recovery after a crash), a look-up lets the event loop go on and tries again until its caller's budget
    ends it. A disk that hangs holds up the look-up like everything else on that disk.

    `synchronous=NORMAL`: a feed writes again after a loss of power, so a value need not survive one.
    """

    def __init__(self, path: Path, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._timer = timer
        self._connections = ThreadConnections(path, synchronous="NORMAL", busy_seconds=OPEN_SECONDS)
        try:
            with path.with_name(path.name + ".turn").open("ab") as lock, turn(lock):
                self._connections.get().execute(_SCHEMA)
                self._opened = _identity(path)
            # SQLite waits for a lock by sleeping, and would put an event loop to sleep: `_patiently` waits instead.
            self._connections.get().execute("PRAGMA busy_timeout = 0")
        except (sqlite3.Error, OSError) as error:
            raise self._down(error) from error
        self._look_at = timer() + STILL_THERE_SECONDS

    async def read(self, model: str, entity_id: str, names: Sequence[str]) -> dict[str, Reading]:
        kept = await self._patiently(self._kept, model, entity_id)
        return {name: _reading(*kept[name]) for name in names if name in kept}

    async def write(
        self, model: str, entity_id: str, readings: Mapping[str, Reading], *, not_after: datetime | None = None
    ) -> dict[str, WriteResult]:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                return await self._patiently(self._merge, model, entity_id, readings, not_after)
        except TimeoutError as error:
            raise self._down(TimeoutError(f"locked for {WRITE_SECONDS:g} s")) from error

    async def close(self) -> None:
        self._connections.close()

    def _merge(
        self, model: str, entity_id: str, readings: Mapping[str, Reading], not_after: datetime | None
    ) -> dict[str, WriteResult]:
        latest = LAST_MICROSECOND if not_after is None else to_microseconds(not_after)
        written = {name: (each.value, to_microseconds(each.observed_at)) for name, each in readings.items()}
        connection = self._connection()
        with transaction(connection):
            kept = self._kept(model, entity_id)
            results = {name: _result(each, kept.get(name), latest) for name, each in written.items()}
            changed = {name: written[name] for name, result in results.items() if result in _CHANGES}
            if changed:
                connection.execute(_REPLACE, (model, entity_id, _encode(kept | changed)))
        return results

    def _kept(self, model: str, entity_id: str) -> dict[str, _Kept]:
        row = self._connection().execute(_SELECT, (model, entity_id)).fetchone()
        return {} if row is None else _readable(row[0])

    async def _patiently(self, step: Callable[..., _Found], *arguments: object) -> _Found:
        """Take the step, again and again while the file is locked. Raises `FeatureSourceDown`."""
        while True:
            try:
                return step(*arguments)
            except (ValueError, OverflowError) as error:  # a time without a zone, a lone surrogate
                raise ContentRefused(f"online features in {self._path} refuse what they were given: {error}") from error
            except (sqlite3.Error, OSError) as error:
                if not _is_locked(error):
                    raise self._down(error) from error
            await asyncio.sleep(AGAIN_SECONDS)

    def _connection(self) -> sqlite3.Connection:
        if self._timer() >= self._look_at:
            self._require_the_same_file()
            self._look_at = self._timer() + STILL_THERE_SECONDS
        return self._connections.get()

    def _require_the_same_file(self) -> None:
        """Raises `OSError`. Another file is not opened: the journal beside it is that of the old one."""
        if _identity(self._path) != self._opened:
            raise OSError("another file has taken its place; put it back, or restart the service")

    def _down(self, error: Exception) -> FeatureSourceDown:
        return FeatureSourceDown(f"online features in {self._path}: {error}")


def _result(written: _Kept, kept: _Kept | None, latest: int) -> WriteResult:
    if kept is None or written[1] > kept[1] or kept[1] > latest:
        return WriteResult.WRITTEN
    if written[1] < kept[1]:
        return WriteResult.KEPT_NEWER
    same = type(written[0]) is type(kept[0]) and written[0] == kept[0]
    return WriteResult.DUPLICATE if same else WriteResult.CORRECTED


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _is_locked(error: Exception) -> bool:
    """Extended codes such as SQLITE_BUSY_RECOVERY carry the primary one in their lowest byte."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _readable(row: bytes) -> dict[str, _Kept]:
    """What is kept of an entity; of a row that somebody else has had a hand in, what can be read of it."""
    try:
        return _decode(row)
    except UNREADABLE:
        return dict(_readable_alone(row))


def _readable_alone(row: bytes) -> Iterator[tuple[str, _Kept]]:
    with suppress(*UNREADABLE):
        for name, raw in _decode_any(row).items():
            with suppress(*UNREADABLE):
                yield name, _decode_one(raw)


def _reading(value: bool | float | str | None, observed_at: int) -> Reading:
    return Reading(value, from_microseconds(observed_at))
