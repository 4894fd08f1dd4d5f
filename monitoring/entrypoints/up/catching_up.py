"""Waits, for a bounded time, until what was sent has been stored and judged."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from services.core.errors import StoreUnavailable
from services.core.ports import EventLog, RecordStore
from services.core.records import ResultKind
from services.core.spec import ModelSpec

PATIENCE_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.02
IDS_AT_ONCE: Final = 2000
BEHIND: Final = timedelta(days=1.5)
"""How far an evaluation may be behind world time: the evaluator steps about a day at a time."""


@dataclass(slots=True)
class CatchingUp:
    """Asks the store for the events themselves, whichever way they take to it."""

    log: EventLog
    store: RecordStore
    given_up: Callable[[], bool] = lambda: False
    """Whether somebody does not want to wait any longer."""
    _stored_up_to: int = field(default=0, init=False)

    def wait(self, spec: ModelSpec | None = None, *, day_of: datetime | None = None) -> None:
        """Return once every appended event is stored and, with a model, its evaluations have come up to `day_of`.

        After `PATIENCE_SECONDS` return all the same: a monitor that is down must not stop the world.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and not self.given_up() and not self._caught_up(spec, day_of):
            time.sleep(LOOK_SECONDS)

    def _caught_up(self, spec: ModelSpec | None, day_of: datetime | None) -> bool:
        try:
            return self._stored() and self._judged(spec, day_of)
        except StoreUnavailable:
            return False

    def _stored(self) -> bool:
        while portion := self.log.ids(after=self._stored_up_to, limit=IDS_AT_ONCE):
            ids = [event_id for _, event_id in portion]
            if len(self.store.stored_event_ids(ids) | self.store.dead_event_ids(ids)) < len(ids):
                return False
            self._stored_up_to = portion[-1][0]
        return True

    def _judged(self, spec: ModelSpec | None, day_of: datetime | None) -> bool:
        if spec is None or day_of is None:
            return True
        newest = self.store.results(spec.name, ResultKind.AVAILABILITY, limit=1)
        return bool(newest) and newest[-1].window_end >= day_of - BEHIND
