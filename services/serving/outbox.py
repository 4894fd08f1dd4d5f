"""The event log as one event loop uses it: requests that are decided together share a commit."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final

from services.core.events import Event
from services.core.ports import Appended, EventLog

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
        self._settled: deque[tuple[asyncio.Future[Appended], Future[Appended]]] = deque()
        self._woken = False

    def find(self, event_id: str) -> Event | None:
        return self._log.find(event_id)

    async def append(self, event: Event) -> Appended:
        """Return when the event is durable. Raises `EventLogUnavailable`."""
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
            self._hand_over(loop.call_soon_threadsafe)

    def _hand_over(self, call_soon_threadsafe: Callable[..., object]) -> None:
        waiting, self._waiting = self._waiting, []
        for event, appended in waiting:
            if not appended.cancelled():
                done = partial(self._log_is_done, appended, call_soon_threadsafe)
                self._log.append(event).add_done_callback(done)

    def _log_is_done(
        self,
        appended: asyncio.Future[Appended],
        call_soon_threadsafe: Callable[..., object],
        result: Future[Appended],
    ) -> None:
        """In the log's thread: the loop is woken once for all that was committed together."""
        self._settled.append((appended, result))
        if not self._woken:
            self._woken = True
            call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        # Before the first look: what comes after the last one wakes the loop again.
        self._woken = False
        while self._settled:
            appended, result = self._settled.popleft()
            if appended.cancelled():
                continue
            error = result.exception()
            if error is None:
                appended.set_result(result.result())
            else:
                appended.set_exception(error)
