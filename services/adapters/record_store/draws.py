"""A sample of any window, whose cost grows with its size and not with the window's.

Each prediction draws a number once, when it is stored: a hash of its id. A sample of n are the n with the smallest
draws in the window: every row has the same chance, and windows that overlap sample the same of what they share.

The level of a draw is its number of leading zeros. Half of all rows are of level 0, a quarter of level 1 and so on, so
an index by level finds the smallest draws of a window from the top, and looks at no more than about two rows for each
that it returns.
"""

import hashlib
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

from services.adapters.record_store.schema import predictions

BITS: Final = 32
RARE: Final = range(BITS // 2 + 1, BITS + 1)
"""Levels that are asked for together: of a window of a hundred million rows they have a thousand."""


def draw_of(prediction_id: str) -> int:
    """In [0, 2³²), evenly."""
    return int.from_bytes(hashlib.blake2b(prediction_id.encode(), digest_size=BITS // 8).digest())


def level_of(draw: int) -> int:
    """Leading zeros of the draw's 32 bits."""
    return BITS - draw.bit_length()


def sample_ids(connection: Connection, window: list[Any], limit: int) -> Select[Any]:
    """Selects the ids of `limit` predictions of the window, or of all when there are fewer."""
    levels = _levels(connection, window, limit)
    drawn = select(predictions.c.prediction_id).where(*window, predictions.c.level.in_(levels))
    return drawn.order_by(predictions.c.draw, predictions.c.prediction_id).limit(limit)


def _levels(connection: Connection, window: list[Any], limit: int) -> list[int]:
    """The highest levels that have `limit` rows in the window together; all levels when there are fewer."""
    levels = list(RARE)
    found = _count(connection, window, levels)
    for level in reversed(range(RARE.start)):
        if found >= limit:
            break
        levels.append(level)
        found += _count(connection, window, [level])
    return levels


def _count(connection: Connection, window: list[Any], levels: list[int]) -> int:
    rows = select(func.count()).select_from(predictions).where(*window, predictions.c.level.in_(levels))
    return connection.scalar(rows) or 0
