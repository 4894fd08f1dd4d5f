"""What one fault did: counts of what was asked, and where the answers are afterwards."""

from collections.abc import Iterator
from typing import Final

import msgspec

from tests.faults.footprint import Growth

MEMORY_MB: Final = 64.0
"""A process may grow by so much: the batches that it carries when it catches up, whatever the length of the outage."""
OUTBOX_KB_AN_EVENT: Final = 2.0
"""As the setting of the outbox's limit says."""
OUTBOX_MB: Final = 16.0
"""Beyond that: the write-ahead log before the file itself, which does not shrink."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """`sent` are events that were accepted; `lost` of them are nowhere, and `unaccounted` is what the audit calls so.

    `seconds_to_catch_up` is from the end of the fault until every accepted event is stored. `retried_requests` are
    attempts that got no answer, before one did. `memory_mb` and `outbox_mb`: see `Footprint`. `wrong` is what else
    should have been and was not, in words.
    """

    fault: str
    store: str
    sent: int
    stored: int
    dead_lettered: int = 0
    lost: int = 0
    duplicated: int = 0
    unaccounted: int = 0
    failed_requests: int = 0
    retried_requests: int = 0
    seconds_to_catch_up: float = 0.0
    seconds: float = 0.0
    memory_mb: dict[str, Growth] = {}
    outbox_mb: Growth = msgspec.field(default_factory=lambda: Growth(first=0.0, largest=0.0))
    wrong: list[str] = []

    @property
    def problems(self) -> list[str]:
        """What is wrong about it, in words; nothing where the fault did no harm."""
        return [*self._wrong_counts(), *self._taken_too_much(), *self.wrong]

    def _wrong_counts(self) -> Iterator[str]:
        for what, count in (
            ("not stored", self.sent - self.stored),
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("unaccounted for", self.unaccounted),
            ("dead-lettered", self.dead_lettered),
            ("requests failed", self.failed_requests),
        ):
            if count:
                yield f"{count} {what}"

    def _taken_too_much(self) -> Iterator[str]:
        for kind, growth in self.memory_mb.items():
            if growth.grown > MEMORY_MB:
                yield f"{kind} grew by {growth.grown:.0f} MB; limit {MEMORY_MB:.0f}"
        if self.outbox_mb.grown > (limit := OUTBOX_MB + self.sent * OUTBOX_KB_AN_EVENT / 1000):
            yield f"the outbox grew by {self.outbox_mb.grown:.0f} MB; limit {limit:.0f}"
