"""What a text of a file says: a number, or a time. None where it says neither; nothing is guessed."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

from services.core.limits import time_problem
from services.core.time_range import TimeRange

ISO: Final = "iso"
EPOCHS: Final[Mapping[str, int]] = {"unix_seconds": 1, "unix_milliseconds": 1_000, "unix_microseconds": 1_000_000}
"""How many of each make a second."""

DECIMALS: Final = (".", ",")
THOUSANDS: Final = (",", ".", " ", "'", "_")

TIMES_KEPT: Final = 100_000
"""Texts whose reading is remembered: a file repeats its days and minutes, and reading one takes microseconds."""

_ALIKE: Final = str.maketrans({"\N{NO-BREAK SPACE}": " ", "\N{NARROW NO-BREAK SPACE}": " ", "’": "'"})
_ADJOINING: Final = re.compile(r"%[dmyYjHIMS]%[dmyYjHIMS]")
"""Two numbers with no sign between them."""
_ZONE_AT_END: Final = re.compile(r"\s*(?:Z|[+-]\d\d:?\d\d(?::?\d\d(?:\.\d+)?)?)$")
_FRACTION_AT_END: Final = re.compile(r"[.,]\d+$")
_FRACTIONS: Final = (-3, -6)
"""Digits too many, where those of milliseconds or microseconds follow the seconds without a sign."""
_TICK: Final = timedelta(microseconds=1)
_GRAINS: Final = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1))
"""How long a time lasts that says its day alone, its hour too, and its minute too; one with seconds is exact."""


class NoZone(Exception):
    """A time that could be any of twenty-four."""


class Numbers:
    """Reads numbers as they are written with this decimal sign and these groups of digits."""

    def __init__(self, *, decimal: str = ".", thousands: str = "") -> None:
        point, group = re.escape(decimal), re.escape(thousands)
        # No group begins with a 0: 0,850 is no thousand. India has groups of two digits before the last, and commas.
        lakhs = rf"|\d?(?:{group}\d\d)+{group}\d{{3}}" if thousands == "," else ""
        grouped = rf"[1-9](?:\d{{0,2}}(?:{group}\d{{3}})+{lakhs})|" if thousands else ""
        self._pattern = re.compile(rf"[+-]?(?:(?:{grouped}\d+)(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?", re.ASCII)
        self._plain = str.maketrans("" if decimal == "." else decimal, "" if decimal == "." else ".", thousands)

    def read(self, text: str) -> float | None:
        """The finite number, or None."""
        if not text.isascii():
            text = text.translate(_ALIKE)
        if self._pattern.fullmatch(text) is None:
            return None
        number = float(text.translate(self._plain) if self._plain else text)
        return number if math.isfinite(number) else None


@dataclass(slots=True)
class Times:
    """Reads times as they are written in these formats, of which the first that fits is taken.

    What a text leaves open is a range: a day alone, a minute without seconds, a local hour that comes twice or never.
    """

    formats: Sequence[str]
    zone: str = ""
    _known: dict[str, TimeRange | None] = field(default_factory=dict)

    def read(self, text: str) -> TimeRange | None:
        """Raises `NoZone` for a time that nobody said the zone of."""
        if text not in self._known:
            if len(self._known) >= TIMES_KEPT:
                self._known.clear()
            self._known[text] = self._read(text)
        return self._known[text]

    def _read(self, text: str) -> TimeRange | None:
        for name in self.formats:
            if (found := _wall_time(name, text)) is not None:
                return self._placed(*found)
        return None

    def _placed(self, moment: datetime, grain: timedelta) -> TimeRange | None:
        try:
            last = moment + grain - _TICK if grain else moment
            found = TimeRange(min(_in_utc(moment, self.zone)), max(_in_utc(last, self.zone)))
        except OverflowError:
            return None
        return None if time_problem(found.earliest) or time_problem(found.latest) else found


def _in_utc(moment: datetime, zone: str) -> tuple[datetime, ...]:
    """The moments that a time may stand for: two where clocks were changed, else one."""
    if moment.tzinfo is not None:
        return (moment.astimezone(UTC),)
    if not zone:
        raise NoZone("without a time zone; write an offset, or state time_zone in the mapping")
    local = moment.replace(tzinfo=ZoneInfo(zone))
    return tuple({local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)})


def _wall_time(name: str, text: str) -> tuple[datetime, timedelta] | None:
    """The time as it is written, and how long it lasts; None for what is no time."""
    try:
        if name == ISO:
            return _iso(text)
        return _epoch(text, EPOCHS[name]) if name in EPOCHS else _formatted(text, name)
    except (ValueError, OverflowError):
        return None


_ISO_TIME: Final = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d|\d{8}|\d{4}-?W\d\d-?\d)"
    r"(?:[T ](?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<part>\d+))?)?)?)?"
    r"(?: ?(?P<zone>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?))?",
    re.ASCII | re.IGNORECASE,
)


def _iso(text: str) -> tuple[datetime, timedelta] | None:
    if (found := _ISO_TIME.fullmatch(text)) is None:
        return None
    hour, minute, second = (found[name] for name in ("hour", "minute", "second"))
    day = datetime.fromisoformat(found["date"])
    fraction = timedelta(microseconds=int((found["part"] or "0")[:6].ljust(6, "0")))
    moment = day + _time_of_day(int(hour or 0), int(minute or 0), int(second or 0)) + fraction
    return moment.replace(tzinfo=_offset(found["zone"])), _grain(hour, minute, second)


def _time_of_day(hour: int, minute: int, second: int) -> timedelta:
    """24:00 is the end of the day, and the leap second 23:59:60 is where its minute ends, as clocks count it."""
    is_leap, is_midnight = (minute, second) == (59, 60), (hour, minute, second) == (24, 0, 0)
    if (hour > 23 or minute > 59 or second > 59) and not is_midnight and not (is_leap and hour <= 23):
        raise ValueError(f"{hour}:{minute}:{second} is no time of day")
    return timedelta(hours=hour, minutes=minute, seconds=second)


def _offset(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text.upper() in ("Z", "UTC", "GMT"):
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if minutes > 59:
        raise ValueError(f"{text} is no offset")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _grain(*parts: str | None) -> timedelta:
    """As long as the first part that is not said."""
    return next((length for length, part in zip(_GRAINS, parts, strict=True) if part is None), timedelta(0))


def _epoch(text: str, per_second: int) -> tuple[datetime, timedelta] | None:
    if (found := re.fullmatch(r"([+-]?\d{1,20})(?:\.(\d{1,9}))?", text, re.ASCII)) is None:
        return None
    whole = timedelta(microseconds=int(found[1]) * 1_000_000 // per_second)
    part = timedelta(seconds=float(f"0.{found[2] or 0}") / per_second)
    return datetime.fromtimestamp(0, UTC) + whole + (-part if text.startswith("-") else part), timedelta(0)


def _formatted(text: str, name: str) -> tuple[datetime, timedelta]:
    said = [any(f"%{letter}" in name for letter in letters) for letters in ("HIcX", "McX", "ScX")]
    moment = datetime.strptime(text, name)  # noqa: DTZ007 - zoned by the caller
    if _ADJOINING.search(name) and not _has_every_digit(text, name, moment):
        raise ValueError(f"{text} lacks a digit, and of which part nobody knows")
    return moment, _grain(*("said" if each else None for each in said))


def _has_every_digit(text: str, name: str, moment: datetime) -> bool:
    """Where no sign parts day and month, 1112026 is the first of November or the eleventh of January."""
    if "%z" in name:
        text = _ZONE_AT_END.sub("", text)
    if "%f" in name:
        text = _FRACTION_AT_END.sub("", text)
    lacking = _digits(moment.strftime(name.replace("%z", "").replace("%f", ""))) - _digits(text)
    return lacking == 0 or ("%f" in name and lacking in _FRACTIONS)


def _digits(text: str) -> int:
    return sum(map(str.isdecimal, text))
