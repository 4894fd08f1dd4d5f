"""Waiting for what comes about by itself: look with a deadline, and never sleep for a guessed time."""

import asyncio
import threading
import time
from collections.abc import Callable


def eventually(true: Callable[[], object], *, what: str, seconds: float = 30.0) -> None:
    """Look until it is so; fail when it is not within `seconds`."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        pause.wait(0.05)


async def until(true: Callable[[], object], *, what: str, seconds: float = 30.0) -> None:
    """The same for a test whose own tasks go on meanwhile."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.01)
