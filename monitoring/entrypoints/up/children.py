"""The stack's processes: started with the settings as their environment, kept alive, and stopped by process id."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from monitoring.entrypoints.up.stopping import Stopping
from services.adapters.process_ids import runs
from services.core.errors import BellwetherError
from services.settings import Settings

STOP_SECONDS: Final = 15.0
"""How long a process may take to stop by itself; above the server's own grace period of 10 s."""

LOOK_SECONDS: Final = 0.05
TIED: Final = Path(__file__).with_name("tied.py")

LOG_BYTES: Final = 10_000_000
"""Of a process's log, before it begins anew: weeks of what a sound process says."""

RESTARTS_AT_MOST: Final = 5
"""A process that dies this often in one run has a cause that another start does not mend."""


class ChildFailed(BellwetherError):
    code = "child_failed"


@dataclass
class Child:
    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes]
    handed: Sequence[int] = ()
    restarts: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid


@dataclass
class Children:
    """Starts and watches processes, which end with this one however it ends (see tied.py).

    `say` gets one line per thing that happened to one of them. `stopping` says when a stop may take no time.
    """

    settings: Settings
    say: Callable[[str], None]
    stopping: Stopping = field(default_factory=Stopping)
    children: list[Child] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], *, handed: Sequence[int] = ()) -> Child:
        """`handed` are open descriptors that it shall have, under the same numbers. For the main thread alone."""
        child = Child(name, command, self._spawn(name, command, handed), handed)
        self.children.append(child)
        return child

    def alive(self) -> None:
        """As `revive`, for whoever waits while the run starts. Raises `StopAsked` where it is to end."""
        self.stopping.check()
        self.revive()

    def revive(self) -> None:
        """Start again whatever has died, and keep the logs from growing for ever.

        Raises:
            ChildFailed: a process died more often than `RESTARTS_AT_MOST`; the end of its log is in the message.
        """
        for child in self.children:
            rotate(self.log_of(child.name))
            if (code := child.process.poll()) is None:
                continue
            child.restarts += 1
            if child.restarts > RESTARTS_AT_MOST:
                raise ChildFailed(
                    f"{child.name} ended {child.restarts} times, last with {code}; {self._log_end(child)}"
                )
            self.say(f"{child.name} (process {child.pid}) ended with {code}; starting it again")
            child.process = self._spawn(child.name, child.command, child.handed)

    def stop(self) -> None:
        """Ask every process to stop, the newest first; end those that do not within `STOP_SECONDS`.

        All of them at once where somebody is in a hurry. None of them runs when this returns.
        """
        for child in reversed(self._running()):
            _signal_group(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while (running := self._running()) and time.monotonic() < deadline and not self.stopping.hurried:
            time.sleep(LOOK_SECONDS)
        for child in running:
            why = "is not waited for" if self.stopping.hurried else f"did not stop within {STOP_SECONDS:.0f} s"
            self.say(f"{child.name} (process {child.pid}) {why}; ending it")
            _end(child)

    def _running(self) -> list[Child]:
        return [child for child in self.children if child.process.poll() is None]

    def log_of(self, name: str) -> Path:
        return self.settings.log_directory / f"{name}.log"

    def _spawn(self, name: str, command: Sequence[str], handed: Sequence[int]) -> subprocess.Popen[bytes]:
        self.settings.log_directory.mkdir(parents=True, exist_ok=True)
        with self.log_of(name).open("ab") as log:
            # A session of its own: Ctrl-C reaches this process alone, which then stops the others in order.
            return subprocess.Popen(  # noqa: S603 - our own modules and scripts
                tied(command),
                env=os.environ | self.settings.as_environment(),
                pass_fds=handed,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _log_end(self, child: Child) -> str:
        lines = self.log_of(child.name).read_text(errors="replace").splitlines()[-8:]
        return f"its log {self.log_of(child.name)} ends with:\n" + "\n".join(f"    {line}" for line in lines)


def rotate(log: Path, *, limit: int = LOG_BYTES) -> None:
    """Begin a log anew that has grown too long. What was in it is kept as `.1`, if the disk has room for it.

    Processes that have it open go on at its new beginning, since they append. What they write in the milliseconds
    between copy and cut is in neither.
    """
    try:
        if log.stat().st_size <= limit:
            return
    except FileNotFoundError:
        return
    before = log.with_name(f"{log.name}.1")
    try:
        shutil.copyfile(log, before)
    except OSError:
        before.unlink(missing_ok=True)
    os.truncate(log, 0)


def module(name: str) -> list[str]:
    """The command that runs one of our modules."""
    return [sys.executable, "-m", name]


def tied(command: Sequence[str]) -> list[str]:
    """The command in a form in which it ends when this process does, whatever ends it.

    Raises:
        RuntimeError: this is not the main thread. The kernel takes the end of the thread that started a process for
            the end of its parent.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"{command[0]} would end with this thread; start it in the main thread")
    return [sys.executable, "-I", "-S", str(TIED), str(os.getpid()), *command]


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


def _end(child: Child) -> None:
    """With all that it started: a server's workers have groups of their own, and leave only after their requests."""
    below = [each.pid for each in psutil.Process(child.pid).children(recursive=True)]
    _signal_group(child.pid, signal.SIGKILL)
    child.process.wait()
    for pid in below:
        _kill(pid)
    while any(map(runs, below)):
        time.sleep(LOOK_SECONDS)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
