"""`bellwether dead-letters`: what could not become rows, and another try."""

from collections.abc import Sequence
from typing import Any

import msgspec

from services import bootstrap
from services.core.records import DeadLetter
from services.ingest.redeem import retry
from services.settings import Settings


def letters_now(settings: Settings, *, reason: str | None, limit: int) -> list[DeadLetter]:
    """The newest first."""
    store = bootstrap.record_store_to_read(settings)
    try:
        return store.dead_letters(limit=limit, reason=reason)
    finally:
        store.close()


def retry_now(settings: Settings, *, reason: str | None, limit: int) -> dict[str, Any]:
    """What became of the letters, JSON-ready."""
    store = bootstrap.record_store(settings)
    try:
        retried = retry(store, limit=limit, reason=reason, now=bootstrap.clock(settings)())
        report: dict[str, Any] = msgspec.to_builtins(retried)
        return report
    finally:
        store.close()


def as_rows(letters: Sequence[DeadLetter]) -> list[dict[str, Any]]:
    """JSON-ready; the data as text, with a mark for each byte that is none."""
    return [
        msgspec.to_builtins(msgspec.structs.asdict(letter) | {"data": letter.data.decode(errors="replace")})
        for letter in letters
    ]


def lines(letters: Sequence[DeadLetter]) -> list[str]:
    return [line for letter in letters for line in _told(letter)] or ["no dead letters"]


def _told(letter: DeadLetter) -> tuple[str, str]:
    return (
        f"{letter.at:%Y-%m-%d %H:%M:%S}  {letter.reason:<16} {letter.origin}  {letter.event_id}",
        f"    {letter.detail}",
    )
