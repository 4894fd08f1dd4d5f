"""Dead letters tried again: what a newer version can read, and what was only too large for a broker, become rows."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.core.errors import ContentRefused
from services.core.events import Event, LoggedEvent
from services.core.ports import Records
from services.core.records import Batch, DeadLetter
from services.ingest.apply import apply


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the letters. `duplicates` were in the store already; `dead` cannot be read now either."""

    tried: int
    stored: int
    duplicates: int
    dead: int


def retry(store: Records, *, limit: int, reason: str | None, now: datetime) -> Retried:
    """Try the newest `limit` letters, of one reason or of all; a letter that becomes rows is a letter no more."""
    return _retried(store, store.dead_letters(limit=limit, reason=reason), now=now)


def _retried(store: Records, letters: Sequence[DeadLetter], *, now: datetime) -> Retried:
    """All at once, or in halves where the store refuses something: what it refuses alone stays a letter."""
    batch = apply([LoggedEvent(place, _event(each)) for place, each in enumerate(letters)], origin="", now=now)
    unread = {letter.origin for letter in batch.dead_letters}
    origins = [letter.origin for place, letter in enumerate(letters) if f"@{place}" not in unread]
    try:
        stored = store.redeem(Batch(batch.predictions, batch.outcomes, []), origins=origins)
    except ContentRefused:
        if len(letters) == 1:
            return Retried(tried=1, stored=0, duplicates=0, dead=1)
        middle = len(letters) // 2
        return _sum(_retried(store, letters[:middle], now=now), _retried(store, letters[middle:], now=now))
    return Retried(
        tried=len(letters), stored=stored.stored, duplicates=stored.duplicates, dead=len(letters) - len(origins)
    )


def _sum(one: Retried, other: Retried) -> Retried:
    return Retried(
        tried=one.tried + other.tried,
        stored=one.stored + other.stored,
        duplicates=one.duplicates + other.duplicates,
        dead=one.dead + other.dead,
    )


def _event(letter: DeadLetter) -> Event:
    return Event(
        id=letter.event_id, type=letter.type, source="", topic="", key=letter.key, time=letter.at, data=letter.data
    )
