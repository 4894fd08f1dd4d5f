"""BentoML's server as a process whose end is the end of its workers.

`python -m services.entrypoints.supervisor serve …` takes the words of `bentoml`. Before BentoML begins, the process
writes its id down for the workers that it will start, which would not know whose they are once it has been killed, and
learns to end with its terminal.
"""

import os
import runpy
import sys
from typing import Final

SUPERVISOR: Final = "BELLWETHER_SUPERVISOR"
"""The variable with the id; not a setting, since each server sets it anew."""


def main() -> None:
    from circus.sighandler import SysHandler  # noqa: PLC0415 - workers, which ask this module for the id, need none

    os.environ[SUPERVISOR] = str(os.getpid())
    # Its own answer to a closed terminal is to start every worker again, and to stay.
    SysHandler.handle_hup = SysHandler.handle_term
    sys.argv[0] = "bentoml"
    runpy.run_module("bentoml", run_name="__main__", alter_sys=True)


def supervisor_of_this_worker() -> int:
    """The process that started this worker; where none said so, the parent as it is now."""
    return int(os.environ.get(SUPERVISOR) or os.getppid())


if __name__ == "__main__":
    main()
