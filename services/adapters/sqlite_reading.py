"""SQLite files that are read and left exactly as they are: in a running home, in a backup, on a disk without room.

A file in WAL mode is opened with its journals, which SQLite makes where they are missing, also for a reader. Where
nobody has it open there are none, and it is read without one (`immutable`). A journal that is empty belongs to somebody
who may write at any moment: who does not look for that would take the file for damaged. Where there is one that cannot
be used as it lies, as in a copy on a file system that takes no writing, file and journal are copied and the copy is
read.
"""

import shutil
import sqlite3
import tempfile
import urllib.parse
from pathlib import Path
from typing import Final

BUSY_SECONDS: Final = 10.0
WAL: Final = "-wal"
SHM: Final = "-shm"


class Readable:
    """One file. `connect` may be called from any thread, `close` once nobody reads any more."""

    def __init__(self, path: Path) -> None:
        self._original = path
        self._path = path
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        if _has_journal(path) and not self._opens():
            self.copy()

    @property
    def path(self) -> Path:
        """Of what is read, which may be a copy."""
        return self._path

    @property
    def is_copy(self) -> bool:
        return self._copy is not None

    def connect(self) -> sqlite3.Connection:
        """Raises `sqlite3.Error`."""
        quoted = urllib.parse.quote(str(self._path.absolute()))
        immutable = "" if _has_journal(self._path) else "&immutable=1"
        connection = sqlite3.connect(
            f"file:{quoted}?mode=ro{immutable}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only = 1")
        return connection

    def copy(self) -> Path:
        """From now on a copy is read, which may be changed. Raises `OSError`."""
        if self._copy is None:
            self._copy = tempfile.TemporaryDirectory(prefix="bellwether-read-")
            for path in (self._original, Path(f"{self._original}{WAL}")):
                if path.exists():
                    shutil.copyfile(path, Path(self._copy.name, path.name))
            self._path = Path(self._copy.name, self._original.name)
            # The copy's journal becomes part of it; a copy may be written to.
            sqlite3.connect(self._path).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
        return self._path

    def close(self) -> None:
        if self._copy is not None:
            self._copy.cleanup()

    def _opens(self) -> bool:
        """Whether the file can be read with the journals that lie beside it."""
        if not Path(f"{self._path}{SHM}").exists():
            return False
        try:
            connection = self.connect()
            try:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            finally:
                connection.close()
        except sqlite3.OperationalError:
            return False
        except sqlite3.DatabaseError:
            # Damaged, which whoever reads it is told.
            return True
        return True


def _has_journal(path: Path) -> bool:
    if Path(f"{path}{SHM}").exists():
        return True
    try:
        return Path(f"{path}{WAL}").stat().st_size > 0
    except OSError:
        return False
