"""A consumer that dies at a step that it is told: `python -m tests.faults.crashing_consumer STEP TIMES`.

It ends as a killed process does, with nothing flushed, closed or rolled back, the TIMES-th time that it comes to STEP.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from services import bootstrap
from services.core.clock import wall_clock
from services.ingest.consume import consume_once
from services.settings import Settings
from tests.consuming import Heard

STEPS: Final = ("read", "apply", "bury", "before commit", "commit", "kept", "observe")
"""In the order of a round; each but "before commit" is behind what it names."""
KILLED: Final = 9
"""The exit code, for who waits for it."""


def main(step: str, times: int) -> None:
    settings = Settings.from_environment()
    store = bootstrap.record_store(settings)
    source = bootstrap.event_source(settings, store)
    dying = _Dying(step, times)
    source.read = dying.behind("read", source.read)  # type: ignore[method-assign]  # this object alone
    source.bury = dying.behind("apply", dying.behind("bury", source.bury), before=True)  # type: ignore[method-assign]
    source.kept = dying.behind("kept", source.kept)  # type: ignore[method-assign]
    store.commit = dying.behind(  # type: ignore[method-assign]
        "before commit", dying.behind("commit", store.commit), before=True
    )
    heard = Heard()
    heard.consumed = dying.behind("observe", heard.consumed)  # type: ignore[method-assign]
    while True:
        if not consume_once(source, store, limit=settings.consume_batch, now=wall_clock, observer=heard):
            time.sleep(settings.poll_seconds)


class _Dying:
    def __init__(self, step: str, times: int) -> None:
        self._step, self._left = step, times

    def behind(self, step: str, call: Callable[..., Any], *, before: bool = False) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            if before:
                self._came_to(step)
            result = call(*arguments, **named)
            if not before:
                self._came_to(step)
            return result

        return called

    def _came_to(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if not self._left:
                os._exit(KILLED)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
