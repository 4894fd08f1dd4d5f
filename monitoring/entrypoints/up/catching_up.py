"""Waits, for a bounded time, until what was sent has been stored and judged."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.core.ports import EventLog, RecordStore
from services.core.records import ResultKind
from services.core.spec import ModelSpec
from services.ingest.local import CONSUMER

PATIENCE_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.02
BEHIND: Final = timedelta(days=1.5)
"""How far an evaluation may be behind world time: the evaluator steps about a day at a time."""


@dataclass(frozen=True, slots=True)
class CatchingUp:
    log: EventLog
    store: RecordStore

    def wait(self, spec: ModelSpec | None = None, *, day_of: datetime | None = None) -> None:
        """Return once every appended event is stored and, with a model, its evaluations have come up to `day_of`.

        After `PATIENCE_SECONDS` return all the same: a monitor that is down must not stop the world.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and not (self._stored() and self._judged(spec, day_of)):
            time.sleep(LOOK_SECONDS)

    def _stored(self) -> bool:
        return self.store.position(CONSUMER) >= self.log.end()

    def _judged(self, spec: ModelSpec | None, day_of: datetime | None) -> bool:
        if spec is None or day_of is None:
            return True
        newest = self.store.results(spec.name, ResultKind.AVAILABILITY, limit=1)
        return bool(newest) and newest[-1].window_end >= day_of - BEHIND
