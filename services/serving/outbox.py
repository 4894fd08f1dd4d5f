"""The event log as one event loop uses it: requests that are decided together share a commit."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

from services.core.events import Event, LoggedEvent
from services.core.ports import Appended, EventLog, Settled

QUIET_TURNS: Final = 4
"""From the arrival of a request to its event the server takes about as many turns; turns without work take
microseconds, so a lone request hardly waits."""
GROUP: Final = 64
"""Events that are handed over whatever else comes: from here on one more hardly makes the commit cheaper."""


class Outbox:
    """Hands events to the log when the loop has nothing else to do, all of them at once.

    The log commits whatever has queued up. Handed over one by one, the first would be committed alone while the
    requests beside it are still being decided, and a sync to disk for each costs more than the prediction.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._waiting: list[tuple[Event, asyncio.Future[Appended]]] = []

    def find(self, event_id: str) -> Event | None:
        return self._log.find(event_id)

    def latest_outcomes(self, model: str, prediction_id: str, *, before: int | None = None) -> list[LoggedEvent]:
        return self._log.latest_outcomes(model, prediction_id, before=before)

    async def append(self, event: Event) -> Appended:
        """Return when the event is durable. Raises `EventLogUnavailable`, and `ContentRefused`."""
        loop = asyncio.get_running_loop()
        appended: asyncio.Future[Appended] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._gather, loop, 0, 0)
        self._waiting.append((event, appended))
        return await appended

    def _gather(self, loop: asyncio.AbstractEventLoop, known: int, quiet_turns: int) -> None:
        """Hand over after some turns of the loop that brought nothing new: whoever else is being decided joins."""
        quiet_turns = quiet_turns + 1 if len(self._waiting) == known else 0
        if quiet_turns < QUIET_TURNS and len(self._waiting) < GROUP:
            loop.call_soon(self._gather, loop, len(self._waiting), quiet_turns)
        else:
            self._hand_over(loop)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting = [(event, appended) for event, appended in self._waiting if not appended.cancelled()]
        self._waiting = []
        if waiting:
            handed = self._log.append(*(event for event, _ in waiting))
            callers = [appended for _, appended in waiting]
            handed.add_done_callback(lambda done: loop.call_soon_threadsafe(_tell, callers, done))


def _tell(callers: Sequence[asyncio.Future[Appended]], handed: Future[list[Settled]]) -> None:
    for caller, settled in zip(callers, handed.result(), strict=True):
        if caller.cancelled():
            continue
        if isinstance(settled, Appended):
            caller.set_result(settled)
        else:
            caller.set_exception(settled)
