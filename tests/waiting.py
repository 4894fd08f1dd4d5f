"""Waiting for what comes about by itself: look with a deadline, and never sleep for a guessed time."""

import threading
import time
from collections.abc import Callable


def eventually(true: Callable[[], object], *, what: str, seconds: float = 30.0) -> None:
    """Look until it is so; fail when it is not within `seconds`."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        pause.wait(0.05)
