"""The stack's processes: started with the settings as their environment, kept alive, and stopped by process id."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.core.errors import BellwetherError
from services.settings import Settings

STOP_SECONDS: Final = 15.0
"""How long a process may take to stop by itself; above the server's own grace period of 10 s."""

RESTARTS_AT_MOST: Final = 5
"""A process that dies this often in one run has a cause that another start does not mend."""


class ChildFailed(BellwetherError):
    code = "child_failed"


@dataclass
class Child:
    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes]
    restarts: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid


@dataclass
class Children:
    """Starts and watches processes. `say` gets one line per thing that happened to one of them."""

    settings: Settings
    say: Callable[[str], None]
    children: list[Child] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str]) -> Child:
        child = Child(name, command, self._spawn(name, command))
        self.children.append(child)
        return child

    def revive(self) -> None:
        """Start again whatever has died.

        Raises:
            ChildFailed: a process died more often than `RESTARTS_AT_MOST`; the end of its log is in the message.
        """
        for child in self.children:
            if (code := child.process.poll()) is None:
                continue
            child.restarts += 1
            if child.restarts > RESTARTS_AT_MOST:
                raise ChildFailed(
                    f"{child.name} ended {child.restarts} times, last with {code}; {self._log_end(child)}"
                )
            self.say(f"{child.name} (process {child.pid}) ended with {code}; starting it again")
            child.process = self._spawn(child.name, child.command)

    def stop(self) -> None:
        """Ask every process to stop, the newest first; end those that do not within `STOP_SECONDS`."""
        running = [child for child in reversed(self.children) if child.process.poll() is None]
        for child in running:
            _signal_group(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in running:
            self._await_end(child, deadline)

    def log_of(self, name: str) -> Path:
        return self.settings.log_directory / f"{name}.log"

    def _spawn(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        self.settings.log_directory.mkdir(parents=True, exist_ok=True)
        with self.log_of(name).open("ab") as log:
            # A session of its own: Ctrl-C reaches this process alone, which then stops the others in order.
            return subprocess.Popen(  # noqa: S603 - our own modules and scripts
                command,
                env=os.environ | self.settings.as_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await_end(self, child: Child, deadline: float) -> None:
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.say(f"{child.name} (process {child.pid}) did not stop within {STOP_SECONDS:.0f} s; ending it")
            _signal_group(child.pid, signal.SIGKILL)
            child.process.wait()

    def _log_end(self, child: Child) -> str:
        lines = self.log_of(child.name).read_text(errors="replace").splitlines()[-8:]
        return f"its log {self.log_of(child.name)} ends with:\n" + "\n".join(f"    {line}" for line in lines)


def module(name: str) -> list[str]:
    """The command that runs one of our modules."""
    return [sys.executable, "-m", name]


def await_answer(url: str, *, seconds: float, alive: Callable[[], None]) -> None:
    """Poll `url` until it answers 200, calling `alive` (which may raise) in between.

    Raises:
        ChildFailed: no such answer within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not _answers(url):
        alive()
        if time.monotonic() > deadline:
            raise ChildFailed(f"{url} did not answer within {seconds:.0f} s; look at the logs in the home's logs/")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - an address of this machine
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
