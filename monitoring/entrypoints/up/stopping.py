"""How a run is told to stop: by the first signal in order, by the second at once."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

Result = TypeVar("Result")

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""SIGHUP is what a terminal that is closed sends."""


class StopAsked(BaseException):
    """The run is to end. Not an `Exception`: nothing on the way may take it for a failure and go on."""


@dataclass
class Stopping:
    """What signals said so far. Outside of `within` nothing is interrupted: whoever waits looks here.

    Signals are noted from the moment at which the run has its home until its last process has ended.
    """

    times: int = 0
    _at_once: Callable[[], object] | None = None
    _interrupting: int = 0
    _before: dict[int, Any] = field(default_factory=dict)

    @property
    def asked(self) -> bool:
        return self.times > 0

    @property
    def hurried(self) -> bool:
        """Asked again, by somebody who does not want to wait."""
        return self.times > 1

    def ask(self) -> None:
        self.times += 1
        if self._at_once is not None:
            self._at_once()
        if self._interrupting and self.times >= self._interrupting:
            # Once: what cleans up behind it is left in peace.
            self._interrupting = 0
            raise StopAsked

    def check(self) -> None:
        """Raises `StopAsked`, once the run was told to stop."""
        if self.asked:
            raise StopAsked

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals from here on; the handlers before come back at the end. For the main thread alone."""
        for number in SIGNALS:
            # Whoever started this with SIGHUP ignored wants it to outlive the terminal, as nohup does.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._heard)
        try:
            yield
        finally:
            for taken, handler in self._before.items():
                signal.signal(taken, handler)

    def _heard(self, number: int, _frame: object) -> None:
        # A terminal that closes may say so more than once: to its session, to its foreground, and to who writes to it.
        if number != signal.SIGHUP or not self.asked:
            self.ask()

    @contextmanager
    def within(self, *, times: int = 1) -> Iterator[None]:
        """Raise `StopAsked` in what happens here, as soon as the run was told to stop so many times."""
        try:
            self._interrupting = times
            if self.times >= times:
                raise StopAsked
            yield
        finally:
            self._interrupting = 0

    @contextmanager
    def calling(self, at_once: Callable[[], object]) -> Iterator[None]:
        """Call this at every signal, and now if there was one."""
        self._at_once = at_once
        try:
            if self.asked:
                at_once()
            yield
        finally:
            self._at_once = None

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """`asyncio.run`, cancelled as soon as the run was told to stop. Raises `StopAsked` then.

        To be called outside of `within`: what a signal raises in the middle of a callback, asyncio may log and drop.
        """

        async def cancellable() -> Result:
            loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
            with self.calling(lambda: loop.call_soon_threadsafe(task.cancel)):
                return await task

        try:
            return asyncio.run(cancellable())
        except asyncio.CancelledError:
            raise StopAsked from None
