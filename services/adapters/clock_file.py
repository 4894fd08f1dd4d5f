"""Simulated time, shared by the processes of one machine: eight bytes that one process writes and all others read."""

import logging
import os
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from services.core.clock import require_aware, wall_clock
from services.core.errors import SettingsError

_SECONDS: Final = struct.Struct("<d")

logger = logging.getLogger(__name__)


class ClockFile:
    """A clock that stands still until somebody sets it.

    The file holds seconds since 1970 as one float64. Reading it is one system call; eight bytes that are written at
    once cannot be seen half done. A file that does not exist yet starts at `start`, or at the machine's time.

    While the file holds no time (NaN, a number beyond the calendar, fewer bytes), the clock stands still at the last
    time that this process has read: a broken file must not end those who ask for the time. It is said once.

    Raises:
        SettingsError: there is a file, and it is no clock; or it cannot be opened, as where there is none and it may
            not be made (`read_only`).
    """

    def __init__(self, path: Path | str, *, start: datetime | None = None, read_only: bool = False) -> None:
        self._path = Path(path)
        try:
            flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT
            self._descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise SettingsError(
                f"clock file {self._path} cannot be opened: {error.strerror}; name the one that the processes have"
            ) from error
        self._is_broken = False
        try:
            self._last = self._opened(start or wall_clock(), read_only=read_only)
        except BaseException:
            os.close(self._descriptor)
            raise

    def now(self) -> datetime:
        try:
            self._last = self._read()
            self._is_broken = False
        except (ValueError, OverflowError, OSError, struct.error) as error:
            self._stand_still(error)
        return self._last

    def set(self, moment: datetime) -> None:
        """Advance to `moment`; an earlier one changes nothing, because time that others have seen is not taken back."""
        moment = require_aware(moment, name="moment")
        # A file that holds no time is mended by this.
        if moment > self.now() or self._is_broken:
            self._last = max(moment, self._last)
            os.pwrite(self._descriptor, _SECONDS.pack(self._last.timestamp()), 0)

    def close(self) -> None:
        os.close(self._descriptor)

    def _opened(self, start: datetime, *, read_only: bool) -> datetime:
        size = os.fstat(self._descriptor).st_size
        if size == 0 and not read_only:
            os.pwrite(self._descriptor, _SECONDS.pack(require_aware(start, name="start").timestamp()), 0)
        return self._read_first()

    def _read_first(self) -> datetime:
        size = os.fstat(self._descriptor).st_size
        if size != _SECONDS.size:
            raise self._no_clock(f"has {size} bytes, expected {_SECONDS.size}")
        try:
            return self._read()
        except (ValueError, OverflowError, OSError) as error:
            raise self._no_clock(f"holds no time: {error}") from error

    def _read(self) -> datetime:
        (seconds,) = _SECONDS.unpack(os.pread(self._descriptor, _SECONDS.size, 0))
        return datetime.fromtimestamp(seconds, UTC)

    def _stand_still(self, error: Exception) -> None:
        if not self._is_broken:
            self._is_broken = True
            logger.error("clock file %s holds no time (%s); time stands still at %s", self._path, error, self._last)

    def _no_clock(self, problem: str) -> SettingsError:
        return SettingsError(f"clock file {self._path} {problem}; remove it or name another")
