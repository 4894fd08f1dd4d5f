"""What a model's simulated world has to offer. Its truth is known, so the whole loop can be judged by it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from services.core.features import Reading, Value


class WorldEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happens in [starts, ends), in days since the world's origin; `ends` None: for good."""

    name: str
    starts: float
    ends: float | None = None


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """One entity about which an application asks: what it puts into the request, and what the feeds wrote before.

    `started_at` is when the entity came to be, which only matters to features with a `known_after`.
    """

    entity_id: str
    asked_at: datetime
    request: dict[str, Value]
    feed: dict[str, Reading]
    started_at: datetime | None = None


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What turns out: the class, and when it is known (aware UTC, world time)."""

    value: str
    known_at: datetime


class PastCase(msgspec.Struct, frozen=True, kw_only=True):
    """A case from before the service existed, for the first training: what could be known then, and the true class.

    Only features that the spec calls optional may be absent.
    """

    entity_id: str
    asked_at: datetime
    features: dict[str, Value]
    value: str


class World(Protocol):
    """Deterministic: the same seed, origin and events give the same world, whatever is asked of it and in which order.

    `known_events` maps each switchable event's name to one sentence on what it does.
    """

    known_events: dict[str, str]

    def history(self, *, rows: int) -> list[PastCase]:
        """Cases that were decided and settled before the origin, oldest first; nobody acted on any of them."""
        ...

    def day(self, number: int, *, calls: int) -> list[Caller]:
        """Who is asked about on day `number` (0 is the origin's day), in order of `asked_at`."""
        ...

    def truth(self, caller: Caller, *, action: str) -> Truth:
        """What this entity does after it was asked about and the answer's action was (or was not) carried out."""
        ...


class WorldFactory(Protocol):
    """Every model's `world.py` has one, named `build_world`."""

    def __call__(self, *, seed: int, origin: datetime, events: Sequence[WorldEvent]) -> World: ...
