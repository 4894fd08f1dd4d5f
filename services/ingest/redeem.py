"""Dead letters tried again: what a newer version can read, and what was only too large for a broker, become rows."""

from datetime import datetime

import msgspec

from services.core.events import Event, LoggedEvent
from services.core.ports import Records
from services.core.records import DeadLetter
from services.ingest.apply import apply


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the letters. `duplicates` were in the store already; `dead` cannot be read now either."""

    tried: int
    stored: int
    duplicates: int
    dead: int


def retry(store: Records, *, limit: int, reason: str | None, now: datetime) -> Retried:
    """Try the newest `limit` letters, of one reason or of all; a letter that becomes rows is a letter no more."""
    letters = store.dead_letters(limit=limit, reason=reason)
    batch = apply([LoggedEvent(place, _event(each)) for place, each in enumerate(letters)], origin="", now=now)
    dead = {letter.event_id for letter in batch.dead_letters}
    origins = [letter.origin for letter in letters if letter.event_id not in dead]
    stored = store.redeem(msgspec.structs.replace(batch, dead_letters=[]), origins=origins)
    return Retried(
        tried=len(letters), stored=stored.stored, duplicates=stored.duplicates, dead=len(letters) - len(origins)
    )


def _event(letter: DeadLetter) -> Event:
    return Event(
        id=letter.event_id, type=letter.type, source="", topic="", key=letter.key, time=letter.at, data=letter.data
    )
