"""What in a mapping would have made sense of texts that were not understood. Pure."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, product, zip_longest
from typing import Final

from services.traffic.texts import DECIMALS, EPOCHS, ISO, THOUSANDS, NoZone, Numbers, Times

NO_VALUE: Final = frozenset(
    {"na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "\\n", "unknown", "missing", "nat"}
)
"""Texts that often stand for no value, in small letters."""

NEVER: Final = re.compile(r"(?:9999|000[01])-", re.ASCII)
"""How the calendar's first and last years begin, which databases write where there is no time."""

WORDS_SHOWN: Final = 3

POOLED: Final = 200
"""Texts of all columns together: every way of writing is tried on them, again for each column."""

_DAYS: Final = (
    "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%Y-%m-%d", "%Y.%m.%d", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y",
    "%m/%d/%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y",
)  # fmt: skip
_HOURS: Final = (
    "", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", ", %H:%M", ", %H:%M:%S", "T%H:%M:%S",
)  # fmt: skip
_LIKELY_SECONDS: Final = range(100_000_000, 5_000_000_000)
"""1973 to 2128; other numbers of seconds are more likely numbers of something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Distinct texts of a column that were not `understood` and that were.

    `pool` has some of all columns of the kind: what cannot be told from one, 1,234 or 05/06/2026, another may tell.
    `missing` are the texts that the mapping takes for no value already.
    """

    strange: Sequence[str]
    pool: Sequence[str]
    understood: Sequence[str] = ()
    missing: Sequence[str] = ("",)

    def ways(self, fitting: Callable[[Sequence[str]], list[str]]) -> list[str]:
        """What reads the column and the whole pool; else what reads the column."""
        strange = _without_no_value(self.strange)[0]
        return fitting(list(dict.fromkeys([*strange, *self.pool]))) or fitting(strange)

    def as_missing(self, no_value: Sequence[str]) -> str:
        listed = ", ".join(map(_toml, dict.fromkeys(["", *self.missing, *no_value])))
        return f"missing = [{listed}] at the top of the mapping file"

    def too(self, no_value: Sequence[str]) -> str:
        return f", and {self.as_missing(no_value)}" if no_value else ""


def pooled(columns: Iterable[Sequence[str]]) -> list[str]:
    """Some texts of the columns, the first one of each before the second of any, without those that mean no value."""
    turns = zip_longest(*(_without_no_value(texts)[0] for texts in columns))
    return list(islice(dict.fromkeys(text for turn in turns for text in turn if text is not None), POOLED))


def for_numbers(samples: Samples, *, decimal: str) -> str:
    """Texts that no number was found in with the mapping as it is, whose `decimal` that was."""
    texts, no_value = _without_no_value(samples.strange)
    if not texts:
        return samples.as_missing(no_value)
    told = samples.ways(lambda others: _signs_of([*others, *samples.understood], decimal))
    return (_at_the_top(told) or _words(texts)) + samples.too(no_value)


def for_times(samples: Samples, *, formats: Sequence[str]) -> str:
    """`formats` are those of the mapping; they stay where one alone does not fit what they read too.

    Of 03/02/2026 and 02/25/2026, the first fits day/month as well: beside that, month/day would be read in two ways.
    """
    texts, no_value = _without_no_value(samples.strange)
    if not texts:
        return samples.as_missing(no_value)
    told = [_time_format(name, ()) for name in samples.ways(lambda others: _formats_of([*others, *samples.understood]))]
    if not told:
        told = [_time_format(name, formats) for name in samples.ways(_formats_of)]
    example = f"time_format as {texts[0]!r} is written, such as %d/%m/%Y %H:%M, or a time in ISO 8601"
    return (_at_the_top(told) or example) + samples.too(no_value)


def for_words(samples: Samples, *, member: str) -> str:
    """Words that are none of those that the model has."""
    texts, no_value = _without_no_value(samples.strange)
    if not texts:
        return samples.as_missing(no_value)
    shown = ", ".join(f"{_toml(text)} = …" for text in texts[:WORDS_SHOWN])
    return f"values = {{ {shown} }} in [{member}]" + samples.too(no_value)


def ways_of_time(text: str, formats: Sequence[str]) -> tuple[str, str] | None:
    """The first of the formats that fits, and one behind it that reads another time; None where all that fit agree.

    That a day alone lasts longer is no difference. Numbers of seconds fit those of milliseconds too, always.
    """
    written = [name for name in formats if name not in EPOCHS]
    read = {name: time.earliest for name in written if (time := Times((name,), "UTC").read(text)) is not None}
    first = next(iter(read), "")
    return next(((first, name) for name, time in read.items() if time != read[first]), None)


def likelier_than_epoch(texts: Sequence[str], formats: Sequence[str]) -> str | None:
    """A way of writing times by which all the texts are of our time, where none is by the mapping's way of counting."""
    if not texts or len(formats) != 1 or formats[0] not in EPOCHS:
        return None
    if any(_likely(EPOCHS[formats[0]], text) is not None for text in texts):
        return None
    return next(iter(_formats_of(texts)), None)


def _at_the_top(members: Sequence[str]) -> str:
    return f"{' or '.join(members)} at the top of the mapping file" if members else ""


def _signs_of(texts: Sequence[str], decimal: str) -> list[str]:
    """Every way of writing numbers that fits all the texts; nothing is said of groups that none of them has."""
    fitting = [
        (point, thousands)
        for point, thousands in product(DECIMALS, ("", *THOUSANDS))
        if point != thousands and _all(texts, Numbers(decimal=point, thousands=thousands).read)
    ]
    simplest = [each for each in fitting if not each[1] or (each[0], "") not in fitting]
    return [_signs(point if point != decimal else "", thousands) for point, thousands in simplest]


def _formats_of(texts: Sequence[str]) -> list[str]:
    """Every way of writing times that fits all the texts."""
    names = [f"{day}{hour}" for day, hour in product(_DAYS, _HOURS)]
    found = [name for name in (*names, ISO) if _all(texts, Times((name,), "UTC").read)]
    return found or [name for name, per_second in EPOCHS.items() if _all(texts, partial(_likely, per_second))]


def _likely(per_second: int, text: str) -> float | None:
    number = Numbers().read(text)
    return number if number is not None and int(number / per_second) in _LIKELY_SECONDS else None


def _time_format(name: str, beside: Sequence[str]) -> str:
    if not beside:
        return f'time_format = "{name}"'
    listed = ", ".join(f'"{each}"' for each in (*beside, name))
    return f"time_format = [{listed}]"


def _all(texts: Sequence[str], read: Callable[[str], object]) -> bool:
    try:
        return all(read(text) is not None for text in texts)
    except NoZone:
        return False


def _without_no_value(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    others: list[str] = []
    no_value: list[str] = []
    for text in texts:
        (no_value if text.lower() in NO_VALUE or NEVER.match(text) else others).append(text)
    return others, no_value


def _signs(decimal: str, thousands: str) -> str:
    members = {"decimal": decimal, "thousands": thousands}
    return " and ".join(f'{name} = "{sign}"' for name, sign in members.items() if sign)


def _words(texts: Sequence[str]) -> str:
    shown = ", ".join(map(_toml, texts[:WORDS_SHOWN]))
    return f"a number in the file, or {shown} in missing where it stands for no value"


def _toml(text: str) -> str:
    """As a mapping file has it: a text of TOML escapes what one of JSON does."""
    return json.dumps(text, ensure_ascii=False)
