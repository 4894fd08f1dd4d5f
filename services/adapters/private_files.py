"""A home is its owner's alone: directories 0700, files 0600."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o077
"""The umask of every process that works in a home."""
OTHERS: Final = 0o077
SEEN: Final = 0o066
"""Bits that let others read or write. To pass through is no more than that: a database server that a run of root's
starts is another user, with its files below the home."""

FILES: Final = ("*.sqlite*", "clock", "log-read-last", "lock", "in-use", "settings.json")
DIRECTORIES: Final = (
    *("aliases", "bentoml", "calibrations", "earlier", "logs", "reports", "serving", "training", "workers"),
)
"""What we make in a home. What else lies in a directory that somebody calls a home is none of ours."""


def keep_private(home: Path) -> None:
    """Close to others what is ours in a home, as far as it belongs to this user and an earlier version left it open."""
    if not _close(home):
        return
    for path in _ours(home):
        _close(path)


def _ours(home: Path) -> Iterator[Path]:
    for pattern in FILES:
        yield from home.glob(pattern)
    for name in DIRECTORIES:
        for folder, _, files in os.walk(home / name):
            yield Path(folder)
            yield from (Path(folder, file) for file in files)


def _close(path: Path) -> bool:
    """Whether it was open. What is removed meanwhile, or belongs to another, is left alone."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        if found.st_mode & SEEN and found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode):
            path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
            return True
    return False
