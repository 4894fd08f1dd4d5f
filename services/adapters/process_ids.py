"""Process ids that were written down by somebody else, and may be of a process that has ended since."""

import time
from datetime import timedelta
from typing import Final

import psutil

SLACK: Final = timedelta(seconds=1)
"""The kernel knows how long a process has run to a hundredth of a second; when the machine started, less exactly."""


def runs(pid: int, *, at_least: timedelta = timedelta()) -> bool:
    """Whether this machine has that process, and has had it for so long.

    A younger one has got the id of the one that was meant.
    """
    try:
        process = psutil.Process(pid)
        # A killed process keeps its id as a zombie until its parent has looked.
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return timedelta(seconds=time.time() - process.create_time()) + SLACK >= at_least
    except psutil.NoSuchProcess:
        return False
