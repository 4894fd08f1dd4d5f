"""Which local log was read last, in a file of the home."""

from pathlib import Path

from services.adapters.durable import replace_file
from services.core.errors import EventLogUnavailable


class LastLogFile:
    """See `services.ingest.local.LastLog`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def exchange(self, partition: str) -> str:
        try:
            before = self._path.read_text(errors="replace").strip() if self._path.exists() else ""
            if before != partition:
                replace_file(self._path, partition.encode(), durable=True)
        except OSError as error:
            raise EventLogUnavailable(f"{self._path}: {error}; look at the disk and its rights") from error
        return before
