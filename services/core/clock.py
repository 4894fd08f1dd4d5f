"""Time is an argument: `Now` returns an aware UTC datetime. Naive datetimes are refused where they enter."""

from collections.abc import Callable
from datetime import UTC, datetime

Now = Callable[[], datetime]


def wall_clock() -> datetime:
    return datetime.now(UTC)


def require_aware(moment: datetime, *, name: str) -> datetime:
    """Return `moment` in UTC.

    Raises:
        ValueError: `moment` has no time zone; the remedy is an offset such as `+00:00` or `Z`.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{name} is {moment.isoformat()} without a time zone; expected an offset such as Z or +00:00")
    return moment.astimezone(UTC)
