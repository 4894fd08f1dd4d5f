"""What ids, texts and times of others may be, at the door and wherever an event of somebody else is read.

Databases, terminals and data frames behind it refuse or misread what is beyond, and one row that a database refuses
would hold up every row behind it.
"""

import re
from datetime import UTC, datetime
from typing import Final

ID_LENGTH: Final = 200
"""Longest id, in characters. Room for two UUIDs and a prefix; ids are keys of indexes, of which PostgreSQL's take 2,704
bytes, and stand in every event."""
TEXT_LENGTH: Final = 200
"""Longest text, such as a category, in characters: unseen ones are recorded, and a record is no place for documents."""

EARLIEST: Final = datetime(1678, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2262, 1, 1, tzinfo=UTC)
"""Times before this and from EARLIEST on fit into 64 bits of nanoseconds since 1970, which is how data frames and
Parquet keep them; a delay or a window can be added to each without leaving the calendar."""

_REFUSED: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HARMLESS: Final = {
    **dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)], "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys(map(ord, "\t\n\r"), " "),
}


def id_problem(value: str) -> str | None:
    """Why a text cannot be an id, in words that may follow its name; None for one that can."""
    if not 0 < len(value) <= ID_LENGTH:
        return f"found {len(value)} characters, expected 1 to {ID_LENGTH}"
    return None if value.isprintable() else _character_problem(value)


def text_problem(value: str) -> str | None:
    """Why a text cannot be recorded, in words that may follow its name; None for one that can."""
    if len(value) > TEXT_LENGTH:
        return f"found {len(value)} characters, expected at most {TEXT_LENGTH}"
    return None if value.isprintable() else _character_problem(value)


def time_problem(moment: datetime) -> str | None:
    """Why an aware time cannot be recorded, in words that may follow its name; None for one that can."""
    if EARLIEST <= moment < LATEST:
        return None
    return f"found {moment.isoformat()}, expected a time from {EARLIEST.year} to {LATEST.year - 1}"


def harmless(text: str) -> str:
    """The text with a space for each tab and line break, and a mark for each other character that is refused above.

    For texts that nobody can be asked to send again.
    """
    return text if text.isprintable() else text.translate(_HARMLESS)


def escaped(text: str, *, keep: str = "") -> str:
    """The text as a terminal or a log may have it: each character that is not printable as its escape, but for `keep`.

    Control characters move the cursor, ring the bell and change what was shown before; others turn the direction of
    writing round, or cannot be seen.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else each.encode("unicode_escape").decode() for each in text
    )


def _character_problem(value: str) -> str | None:
    """Of a text that is not printable, as nearly every one is.

    PostgreSQL takes no NUL, UTF-8 has no lone surrogates, and terminals obey the other control characters.
    """
    if (refused := _REFUSED.search(value)) is None:
        return None
    found = f"U+{ord(refused[0]):04X}"
    return f"found the control character {found} at place {refused.start()}, expected none"
