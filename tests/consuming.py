"""What tests of the consumer give to it: somebody who counts, and somebody who remembers."""

from dataclasses import dataclass, field

from services.core.errors import LostPosition
from services.core.records import Batch, Stored


@dataclass
class Heard:
    """See `services.ingest.consume.Observer`: what it heard, in order."""

    stored: list[int] = field(default_factory=list)
    events_expired: int = 0
    resets: list[str] = field(default_factory=list)
    store_there: list[bool] = field(default_factory=list)
    """Each change of whether the store is there."""

    def consumed(self, stored: Stored, batch: Batch) -> None:
        self.stored.append(stored.stored)

    def expired(self, events: int) -> None:
        self.events_expired += events

    def store_is(self, *, there: bool) -> None:
        if self.store_there[-1:] != [there]:
            self.store_there.append(there)

    def position_reset(self, reason: LostPosition) -> None:
        self.resets.append(reason.value)


@dataclass
class LastLogInMemory:
    """See `services.ingest.local.LastLog`."""

    partition: str = ""

    def exchange(self, partition: str) -> str:
        before, self.partition = self.partition, partition
        return before
