"""Time is an argument: `Now` returns an aware UTC datetime. Naive datetimes are refused where they enter."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

Now = Callable[[], datetime]
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MICROSECOND: Final = -62_135_596_800_000_000
LAST_MICROSECOND: Final = 253_402_300_799_999_999
"""Of the calendar, as `to_microseconds` counts; a number beyond them is no time."""
DAY: Final = timedelta(days=1)
MICROSECOND: Final = timedelta(microseconds=1)


def wall_clock() -> datetime:
    return datetime.now(UTC)


def require_aware(moment: datetime, *, name: str) -> datetime:
    """Return `moment` in UTC.

    Raises:
        ValueError: `moment` has no time zone; the remedy is an offset such as `+00:00` or `Z`.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{name} is {moment.isoformat()} without a time zone; expected an offset such as Z or +00:00")
    # As nearly all are, and rows have several each.
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970-01-01T00:00Z: exact, sortable, the same in every database. Refuses a naive datetime."""
    return (require_aware(moment, name="a stored time") - EPOCH) // MICROSECOND


# The values that one feed wrote in one go, and the rows of one request, share their times.
@lru_cache(maxsize=1024)
def from_microseconds(microseconds: int) -> datetime:
    """The aware UTC datetime that `to_microseconds` came from."""
    return EPOCH + timedelta(microseconds=microseconds)
