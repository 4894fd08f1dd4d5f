"""Dead letters that every store can keep, whatever is in the events that they tell of.

Event data stays as it came, for it is kept as bytes. The texts beside it are what databases refuse: what cannot be
kept of them is shown with marks, and what is too long is cut. An id so changed ends in a hash of what it was: two that
differ stay two, and whoever has the event finds its letter.
"""

import hashlib
from datetime import datetime
from typing import Final

import msgspec

from services.core.clock import EPOCH, to_microseconds
from services.core.limits import ID_LENGTH, harmless, id_problem
from services.core.records import DeadLetter

NAME_LENGTH: Final = 100
"""Of the reason, which is a word, and of the type."""
DETAIL_LENGTH: Final = 2_000
DATA_BYTES: Final = 100_000_000
"""No broker carries so much in one record, and a database takes several times as much in one value."""
_DIGEST: Final = 16


def findable(event_id: str) -> str:
    """The id under which a dead letter of this event is kept and looked up; the event's own where that can be kept."""
    return event_id if id_problem(event_id) is None else _named_by_hash(event_id)


def keepable(letter: DeadLetter) -> DeadLetter:
    """This letter as every store takes it; one that has nothing wrong with it stays as it is."""
    return msgspec.structs.replace(
        letter,
        event_id=findable(letter.event_id),
        origin=findable(letter.origin),
        reason=harmless(letter.reason)[:NAME_LENGTH],
        type=harmless(letter.type)[:NAME_LENGTH],
        detail=harmless(letter.detail)[:DETAIL_LENGTH],
        key=harmless(letter.key)[:DETAIL_LENGTH],
        data=letter.data[:DATA_BYTES],
        at=letter.at if _is_instant(letter.at) else EPOCH,
    )


def moved_aside(letter: DeadLetter) -> DeadLetter:
    """This letter under an origin that no other has, where a log that lost its newest events has given its position to
    another one since. Told again it gets the same."""
    content = letter.event_id.encode(errors="surrogatepass") + b"\x00" + letter.data
    return msgspec.structs.replace(letter, origin=_ending_in(hashlib.sha256(content), letter.origin))


def _named_by_hash(text: str) -> str:
    return _ending_in(hashlib.sha256(text.encode(errors="surrogatepass")), text)


def _ending_in(digest: "hashlib._Hash", text: str) -> str:
    return f"{harmless(text[: ID_LENGTH - _DIGEST - 1])}#{digest.hexdigest()[:_DIGEST]}"


def _is_instant(moment: datetime) -> bool:
    try:
        to_microseconds(moment)
    except (ValueError, OverflowError):
        return False
    return True
