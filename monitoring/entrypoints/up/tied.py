"""Becomes another program that ends when the process that started it does, however that one ends: tied.py PID COMMAND …

PID is the one that started it. Run as a file, with nothing but the standard library, so that it takes no time. Linux
alone tells a process of its parent's end; elsewhere the program is not tied.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Of <sys/prctl.h>. It outlives the exec, and is lost where the program changes its user."""
ENDED = 75


def main(parent: int, command: list[str]) -> None:
    if sys.platform == "linux":
        # Not SIGTERM: nobody is left who would wait, and end what does not stop.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # It ended before this process could be told.
        sys.exit(ENDED)
    os.execvp(command[0], command)  # noqa: S606 - what the parent asked for


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
