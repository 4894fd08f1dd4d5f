"""Who a home belongs to, and who else works in it.

Two locks of the kernel, which it ends together with the process that holds them, whatever ended that:

- `lock` has one owner: the service, or the run of `up` or `replay` that starts one.
- `in-use` is shared by every process that writes into the home. Who wants to move its files away has to be alone.

Commands that only read take neither. The text in the files is for messages alone: it names who took them. A lock is
held for as long as one process has its descriptor open, so a service's workers keep the home until the last one has
left. Containers of one machine see each other's locks; machines that share a file system do where that has `flock`, as
NFS 4 has.
"""

import errno
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

from services.adapters.private_files import keep_private
from services.adapters.process_ids import runs
from services.core.errors import AlreadyRunning, SettingsError

OWNER: Final = "lock"
USERS: Final = "in-use"
LOCKS: Final = (OWNER, USERS)
REMEDY: Final = "stop what uses it, or choose another home with --home and other ports"

LEAVING_SECONDS: Final = 15.0
"""How long a home is waited for whose named holder has ended: its workers finish their requests, for 10 s at most."""
ENDING_SECONDS: Final = 1.0
"""A process that was killed just now is there for a moment longer, with all that it held."""
MOVING_SECONDS: Final = 5.0
"""How long one that joins waits while files are moved away, which takes milliseconds."""
LOOK_SECONDS: Final = 0.05
LONGEST_BYTES: Final = 65_536
"""Beside others that stay, a process that is started again and again adds a line each time."""

_HOLDER: Final = re.compile(r"process (\d+) of (\S+) \((.*)\)")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that took a lock, as it said itself."""

    pid: int
    host: str
    command: str

    @classmethod
    def here(cls, command: str) -> Self:
        return cls(os.getpid(), socket.gethostname(), command)

    @property
    def may_live(self) -> bool:
        """False where it has ended; of another machine or container nobody here can say that."""
        return self.host != socket.gethostname() or runs(self.pid)

    @property
    def line(self) -> str:
        return f"process {self.pid} of {self.host} ({self.command})\n"

    def __str__(self) -> str:
        elsewhere = "" if self.host == socket.gethostname() else f" of {self.host}"
        return f"process {self.pid}{elsewhere} ({self.command})"


@dataclass(frozen=True, slots=True)
class HomeLock:
    """A lock that is held until it is closed, or until the process ends."""

    file: IO[str]

    @property
    def descriptor(self) -> int:
        return self.file.fileno()

    def pass_on(self) -> None:
        """Let the program that this process becomes, and the processes that it starts, hold it as well."""
        os.set_inheritable(self.descriptor, True)

    def share(self) -> None:
        """From now on others may use the home too."""
        fcntl.flock(self.file, fcntl.LOCK_SH)

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def own(directory: Path, *, command: str, handed_on: int | None = None, remedy: str = REMEDY) -> HomeLock:
    """Make `directory` this process's.

    Args:
        directory: a home, or another directory that must have one owner; it exists.
        command: what the process is, for those that are refused meanwhile.
        remedy: what to do where the directory is refused.
        handed_on: the descriptor of the lock, where this process's parent owns the directory and has passed it on.

    Raises:
        AlreadyRunning: another process owns it; it is named. One that has just ended is waited for.
        SettingsError: the directory cannot be written to, or its file system has no locks.
    """
    keep_private(directory)
    path = directory / OWNER
    if handed_on is not None and _is_lock(handed_on, path):
        return HomeLock(os.fdopen(handed_on, "a+"))
    file = _taken(path, fcntl.LOCK_EX, patience=LEAVING_SECONDS, remedy=remedy)
    file.truncate(0)
    _sign(file, command)
    return HomeLock(file)


@contextmanager
def use(home: Path, *, command: str) -> Iterator[None]:
    """Work in `home`, which is made where it is missing, beside whoever else does.

    Raises:
        AlreadyRunning: its files are being moved away.
        SettingsError: the home cannot be written to, or its file system has no locks.
    """
    _make(home)
    keep_private(home)
    _forget_those_that_left(home / USERS)
    with _taken(home / USERS, fcntl.LOCK_SH, patience=MOVING_SECONDS) as file:
        _sign(file, command)
        yield


def use_homes_of(files: Iterable[Path], *, home: Path, command: str) -> list[HomeLock]:
    """Keep files of other homes than `home` where they are while this process works with them.

    A home that cannot be written or locked, as on a volume that is shared for reading, is left as it is.

    Raises:
        AlreadyRunning: the files of one are being moved away.
    """
    own_home = home.resolve()
    found = [path.resolve() for path in files]
    elsewhere = {each for path in found if own_home not in path.parents for each in path.parents}
    locks = []
    for other in sorted(each for each in elsewhere if (each / USERS).is_file()):
        with suppress(SettingsError):
            file = _taken(other / USERS, fcntl.LOCK_SH, patience=MOVING_SECONDS)
            _sign(file, command)
            locks.append(HomeLock(file))
    return locks


def use_alone(home: Path, *, command: str) -> HomeLock:
    """Keep everybody else from working in `home`, until it is shared.

    Raises:
        AlreadyRunning: some do; they are named.
        SettingsError: the home cannot be written to, or its file system has no locks.
    """
    file = _taken(home / USERS, fcntl.LOCK_EX, patience=LEAVING_SECONDS)
    file.truncate(0)
    _sign(file, command)
    return HomeLock(file)


def _taken(path: Path, kind: int, *, patience: float, remedy: str = REMEDY) -> IO[str]:
    """The file, locked. Where the lock is to be exclusive, those that live are not waited for."""
    file, began = _opened(path), time.monotonic()
    while not _take(file, kind):
        living = [each for each in _holders(path) if each.may_live]
        if time.monotonic() > began + (ENDING_SECONDS if living and kind == fcntl.LOCK_EX else patience):
            file.close()
            raise AlreadyRunning(f"{path.parent} is in use by {_named(living)}; {remedy}")
        time.sleep(LOOK_SECONDS)
    if _is_file(file.fileno(), path):
        return file
    # Somebody removed it between opening and locking: a lock on it would keep nobody out.
    file.close()
    return _taken(path, kind, patience=patience, remedy=remedy)


def _make(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"home {home} cannot be made ({error.strerror}); choose another directory with --home"
        ) from error


def _opened(path: Path) -> IO[str]:
    try:
        return path.open("a+")
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written ({error.strerror}); expected a directory of the user who runs this: "
            "change its owner, or choose another home with --home"
        ) from error


def _take(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno == errno.EINTR:
            return False
        raise SettingsError(
            f"{file.name} cannot be locked ({error.strerror}): its file system has no locks; "
            "choose a home on a disk of this machine with --home"
        ) from error
    return True


def _sign(file: IO[str], command: str) -> None:
    if os.fstat(file.fileno()).st_size < LONGEST_BYTES:
        file.write(Holder.here(command).line)
        file.flush()


def _forget_those_that_left(path: Path) -> None:
    """Where nobody has the lock, nobody whom the file names is still there."""
    with _opened(path) as file:
        if _take(file, fcntl.LOCK_EX):
            file.truncate(0)


def _holders(path: Path) -> list[Holder]:
    found = _HOLDER.findall(path.read_text())
    return [Holder(int(pid), host, command) for pid, host, command in found]


def _named(living: list[Holder]) -> str:
    return ", ".join(map(str, dict.fromkeys(living))) or "what a process that has ended left behind"


def _is_lock(descriptor: int, path: Path) -> bool:
    """Whether it is open, is the file at `path`, and holds the lock: nobody else can have handed it on."""
    if not _is_file(descriptor, path):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
