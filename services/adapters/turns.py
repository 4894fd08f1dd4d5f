"""Processes that take turns at one file."""

import contextlib
import fcntl
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def turn(lock: IO[bytes]) -> Iterator[None]:
    """Wait for this opening's turn at the locked file, and hold it.

    The kernel wakes the next in line at once, and ends the turn of a process that dies. SQLite, left to itself, sleeps
    and looks again (for up to 400 ms under two busy writers), and does not wait at all when a database that is being
    created switches to WAL.
    """
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)
