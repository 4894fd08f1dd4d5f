"""How every process of ours logs: a line for people, escaped, and not the same one again and again."""

import logging
import re
import sys
import threading
from typing import Final

from services.core.limits import escaped

AGAIN_SECONDS: Final = 30.0
"""Between two lines that say the same of the same trouble: a failing round comes twice a second, for every model."""
KNOWN_AT_MOST: Final = 1_000
"""Different lines that are remembered; what is beyond begins anew, and is logged once more."""
FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

LOOKED_AT: Final = "bellwether_lets_through"
"""What a record gets once it was looked at: whether it goes through."""

_NUMBER: Final = re.compile(r"\d+")


class EscapedFormatter(logging.Formatter):
    """What callers sent is in messages, and in the errors behind them. A message is one line, whatever is in it: what
    begins a line like ours is ours."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        return escaped(super().formatMessage(record), keep="\t")

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record), keep="\n\t")


class Seldom(logging.Filter):
    """Lets a message through once in `AGAIN_SECONDS`, and then says how many were held back.

    Warnings and errors are the same where they differ in numbers alone. Everything else has to be so to the letter.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int, str], tuple[float, int]] = {}
        self._turn = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        if LOOKED_AT in vars(record):
            # Another handler of this process has.
            return bool(vars(record)[LOOKED_AT])
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            # Its arguments do not fit. The handler says so; raised here, it would end whoever has logged.
            return True
        with self._turn:
            held_back = self._held_back(_same(record, message), record.created)
        vars(record)[LOOKED_AT] = held_back is not None
        if held_back:
            record.msg = f"{message} (and {held_back} more like it in the last {AGAIN_SECONDS:.0f} s or so)"
            record.args = ()
        return held_back is not None

    def _held_back(self, same: tuple[str, int, str], now: float) -> int | None:
        """How many were held back since the last that got through; None to hold this one back too."""
        if same not in self._last and len(self._last) >= KNOWN_AT_MOST:
            self._last.clear()
        since, count = self._last.get(same, (0.0, 0))
        # A clock that was set back must not hold back for long.
        if same in self._last and 0 <= now - since < AGAIN_SECONDS:
            self._last[same] = (since, count + 1)
            return None
        self._last[same] = (now, 0)
        return count


def _same(record: logging.LogRecord, message: str) -> tuple[str, int, str]:
    if record.levelno < logging.WARNING:
        return record.name, record.levelno, message
    kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
    return record.name, record.levelno, kind + _NUMBER.sub("0", message)


def log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(EscapedFormatter(FORMAT))
    handler.addFilter(Seldom())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Every process migrates the store when it starts, and almost always there is nothing to tell.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Our own lines say what a broker's absence means; the client adds a dozen of its own to each.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def repeat_seldom() -> None:
    """The same for handlers that somebody else has set up, as BentoML has in its workers."""
    seldom = Seldom()
    named = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    for handler in {handler for each in (logging.root, *named) for handler in each.handlers}:
        if not any(isinstance(each, Seldom) for each in handler.filters):
            handler.addFilter(seldom)
