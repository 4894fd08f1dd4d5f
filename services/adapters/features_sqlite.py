"""Online features in one SQLite file: a row per model, entity and feature."""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from services.adapters.sqlite_files import ThreadConnections, transaction
from services.adapters.turns import turn
from services.core.clock import from_microseconds, to_microseconds
from services.core.errors import FeatureSourceDown
from services.core.features import Reading

# A look-up that waits longer than its caller's budget is of no use to anybody.
BUSY_SECONDS: Final = 1.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS features (
    model TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value,
    kind TEXT NOT NULL,
    observed_at INTEGER NOT NULL,
    PRIMARY KEY (model, entity_id, name)
) WITHOUT ROWID
"""
_UPSERT: Final = """
INSERT INTO features (model, entity_id, name, value, kind, observed_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (model, entity_id, name) DO UPDATE
SET value = excluded.value, kind = excluded.kind, observed_at = excluded.observed_at
WHERE excluded.observed_at > features.observed_at
"""


class FeaturesSqlite:
    """See `services.core.ports.OnlineFeatures`. Look-ups take tens of microseconds, so they run where they are called.

    `synchronous=NORMAL`: a feed writes again after a loss of power, so a value need not survive one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections = ThreadConnections(path, synchronous="NORMAL", busy_seconds=BUSY_SECONDS)
        with self._translated(), path.with_name(path.name + ".turn").open("ab") as lock, turn(lock):
            self._connections.get().execute(_SCHEMA)

    async def read(self, model: str, entity_id: str, names: Sequence[str]) -> dict[str, Reading]:
        query = "SELECT name, value, kind, observed_at FROM features WHERE model = ? AND entity_id = ?"
        with self._translated():
            rows = self._connections.get().execute(query, (model, entity_id)).fetchall()
        found = {name: _reading(value, kind, observed_at) for name, value, kind, observed_at in rows}
        return {name: found[name] for name in names if name in found}

    async def write(self, model: str, entity_id: str, readings: Mapping[str, Reading]) -> None:
        rows = [
            (model, entity_id, name, reading.value, type(reading.value).__name__, to_microseconds(reading.observed_at))
            for name, reading in readings.items()
        ]
        with self._translated(), transaction(self._connections.get()):
            self._connections.get().executemany(_UPSERT, rows)

    def close(self) -> None:
        self._connections.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise FeatureSourceDown(f"online features in {self._path}: {error}") from error


def _reading(value: float | str | None, kind: str, observed_at: int) -> Reading:
    # SQLite has no booleans; one that a feed wrote by mistake must come out as one, to be judged invalid.
    restored = bool(value) if kind == "bool" else value
    return Reading(restored, from_microseconds(observed_at))
