"""Threads on which models are judged, so that one that takes long holds up no other."""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

AT_ONCE: Final = 2
"""Judgements that share the processors; each holds two samples of ten thousand answers in memory."""

AT_MOST: Final = 6
"""Those included that take longer than anybody waits for."""

PATIENCE_SECONDS: Final = 2.0
"""A judgement takes about one. After so many seconds it goes on beside the others, and no longer counts as one of
them."""

Work = tuple[str, Callable[[], None]]


@dataclass(frozen=True, slots=True)
class _UnderWay:
    future: Future[None]
    until: float
    """When nobody waits for it any longer."""


@dataclass(slots=True)
class Judges:
    """Run what is handed to them, one thing at a time for each name. `run` belongs to one thread.

    Args:
        patience: seconds that others wait for one.
    """

    patience: float = PATIENCE_SECONDS
    _under_way: dict[str, _UnderWay] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_MOST, "judge"))

    def is_busy_with(self, name: str) -> bool:
        under_way = self._under_way.get(name)
        return under_way is not None and not under_way.future.done()

    def run(self, work: Iterable[Work]) -> None:
        """Begin each whose name is not busy; returns when all have ended, or have had their patience.

        Where `AT_MOST` are under way and none ends, the rest is left: it is asked for again in the next round.
        """
        begun = []
        for name, judge in work:
            if self.is_busy_with(name):
                continue
            if not self._await_place():
                break
            self._under_way[name] = _UnderWay(self._threads.submit(judge), monotonic() + self.patience)
            begun.append(name)
        while waited_for := self._waited_for(begun):
            self._wait(waited_for)

    def close(self) -> None:
        """Wait for what is under way, however long it takes."""
        self._threads.shutdown(wait=True)

    def _await_place(self) -> bool:
        """Whether there is a place, once those that somebody still waits for are fewer than `AT_ONCE`."""
        while len(waited_for := self._waited_for(self._under_way)) >= AT_ONCE:
            self._wait(waited_for)
        return sum(self.is_busy_with(name) for name in self._under_way) < AT_MOST

    def _waited_for(self, names: Iterable[str]) -> list[_UnderWay]:
        now = monotonic()
        return [each for name in names if self.is_busy_with(name) and now < (each := self._under_way[name]).until]

    @staticmethod
    def _wait(waited_for: list[_UnderWay]) -> None:
        soonest = min(each.until for each in waited_for)
        wait([each.future for each in waited_for], timeout=max(0.0, soonest - monotonic()), return_when=FIRST_COMPLETED)
