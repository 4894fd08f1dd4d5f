"""Simulated time, shared by the processes of one machine: eight bytes that one process writes and all others read."""

import mmap
import os
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from services.core.clock import require_aware, wall_clock
from services.core.errors import SettingsError

_SECONDS: Final = struct.Struct("<d")


class ClockFile:
    """A clock that stands still until somebody sets it.

    The file holds seconds since 1970 as one float64. It is mapped into memory, so that reading it costs no system call;
    an aligned write of eight bytes cannot be seen half done. A file that does not exist yet starts at `start`, or
    at the machine's time.

    Raises:
        SettingsError: there is a file, and it is no clock.
    """

    def __init__(self, path: Path | str, *, start: datetime | None = None) -> None:
        path = Path(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _initialise(descriptor, path, start or wall_clock())
            self._map = mmap.mmap(descriptor, _SECONDS.size)
        finally:
            os.close(descriptor)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._read(), UTC)

    def set(self, moment: datetime) -> None:
        """Advance to `moment`; an earlier one changes nothing, because time that others have seen is not taken back."""
        seconds = require_aware(moment, name="moment").timestamp()
        if seconds > self._read():
            _SECONDS.pack_into(self._map, 0, seconds)

    def close(self) -> None:
        self._map.close()

    def _read(self) -> float:
        seconds: float = _SECONDS.unpack_from(self._map)[0]
        return seconds


def _initialise(descriptor: int, path: Path, start: datetime) -> None:
    size = os.fstat(descriptor).st_size
    if size == 0:
        os.pwrite(descriptor, _SECONDS.pack(require_aware(start, name="start").timestamp()), 0)
    elif size != _SECONDS.size:
        raise SettingsError(f"clock file {path} has {size} bytes, expected {_SECONDS.size}; remove it or name another")
