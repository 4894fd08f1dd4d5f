"""The event log as one event loop uses it: the requests of one turn of the loop share a commit."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from services.core.events import Event
from services.core.ports import Appended, EventLog


class Outbox:
    """Hands events to the log at the end of the loop's turn, all those of the turn at once.

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
            loop.call_soon(self._hand_over, loop.call_soon_threadsafe)
        self._waiting.append((event, appended))
        return await appended

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
