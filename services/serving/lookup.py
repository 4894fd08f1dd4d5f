"""Looks up a request's online features within a budget, and lets nobody wait for a source that is known to be down."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import coroutine
from typing import Any, Final

from services.core.errors import FeatureSourceDown
from services.core.features import Readings
from services.core.ports import OnlineFeatures
from services.core.spec import ModelSpec

logger = logging.getLogger(__name__)

NOBODY: Final = ""
"""Whom a source that is down is asked about; ids have at least one character. One entity's unreadable row must not
keep the source down for all others."""
PROBE_SECONDS: Final = 0.1
"""Between two questions to a source that is down: callers get the model back within a fraction of a second, and a
source that is coming up is not stormed."""


@dataclass(kw_only=True)
class FeatureLookup:
    """One model's look-ups, of one event loop.

    The first look-ups that fail or run out of `budget` say so to their callers. From then on the source counts as down:
    callers are told at once, and a task of this object goes on asking until the source answers within the budget.
    """

    spec: ModelSpec
    features: OnlineFeatures
    budget: timedelta
    timer: Callable[[], float] = time.monotonic
    _down: FeatureSourceDown | None = field(default=None, init=False)
    _probing: asyncio.Task[None] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._names = [feature.name for feature in self.spec.online_features]
        self._seconds = self.budget.total_seconds()

    async def readings(self, entity_id: str) -> Readings | FeatureSourceDown:
        """What the online store knows of the entity, or why it could not be asked; one look-up for all features."""
        if not self._names:
            return {}
        if self._down is not None:
            return self._down
        try:
            return await self._asked(entity_id)
        except FeatureSourceDown as down:
            self._is_down(down)
            return down

    async def _asked(self, entity_id: str) -> Readings:
        """Raises `FeatureSourceDown`, also when the budget is used up."""
        try:
            return await _within(self._seconds, self.features.read(self.spec.name, entity_id, self._names))
        except TimeoutError:
            raise FeatureSourceDown(f"no answer within {self._seconds * 1000:g} ms") from None

    def _is_down(self, down: FeatureSourceDown) -> None:
        if self._down is None:
            logger.warning("online features of %s are down: %s", self.spec.name, down)
            self._down = down
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        """Ask until there is an answer; the first time at once, for it may have been one slow moment."""
        began = self.timer()
        while True:
            try:
                await self._asked(NOBODY)
            except FeatureSourceDown as down:
                self._down = down
            else:
                break
            await asyncio.sleep(PROBE_SECONDS)
        self._down = None
        logger.warning("online features of %s are back after %.1f s", self.spec.name, self.timer() - began)


async def _within(seconds: float, looking_up: Coroutine[Any, Any, Readings]) -> Readings:
    """Like `asyncio.timeout`, for a coroutine that seldom waits: no timer is made before it does.

    Raises:
        TimeoutError: it waited for longer.
    """
    try:
        waits_for = looking_up.send(None)
    except StopIteration as finished:
        found: Readings = finished.value
        return found
    async with asyncio.timeout(seconds):
        return await _resumed(looking_up, waits_for)


@coroutine
def _resumed(begun: Coroutine[Any, Any, Readings], waits_for: Any) -> Generator[Any, Any, Readings]:
    """Go on with a coroutine that waits for its first future."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:  # noqa: BLE001 - cancellation is for the coroutine to hear of
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, sent)
        try:
            waits_for = step()
        except StopIteration as finished:
            found: Readings = finished.value
            return found
