"""A real server for tests, started by one of deploy/'s scripts on a free port, and ended by its process id."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.ports import free_port

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
UNAVAILABLE: Final = 69
START_SECONDS: Final = 180.0
"""For a first start that fetches the server; otherwise a few seconds are enough."""


class Unavailable(Exception):
    """This machine cannot provide the server; the message is what the script said."""


@dataclass
class ServerProcess:
    """A server with a port and a directory that it keeps when it is started again. `answers` asks it for real."""

    script: Path
    directory: Path
    port: int
    answers: Callable[[int], bool]
    process: subprocess.Popen[bytes] | None = None
    arguments: Sequence[str] = ()
    """Of the script, behind port and directory."""
    ending: signal.Signals = signal.SIGTERM
    """What ends it in the end, when nobody wants its data any more."""

    def start(self) -> None:
        """Return when it answers. Raises `Unavailable`."""
        with self.log.open("ab") as log:
            command = [str(self.script), str(self.port), str(self.directory / "data"), *self.arguments]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers(self.port):
            self._require_running(self.process)
            assert time.monotonic() < deadline, f"no answer within {START_SECONDS:.0f} s:\n{self.log.read_text()}"

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def stop(self, number: signal.Signals | None = None) -> None:
        if self.process is not None and self.process.poll() is None:
            self.send(self.ending if number is None else number)
            self.process.wait(30)

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def _require_running(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() == UNAVAILABLE:
            raise Unavailable(self.log.read_text().strip())
        assert process.poll() is None, f"the server ended:\n{self.log.read_text()}"


@contextmanager
def running(
    script: Path,
    answers: Callable[[int], bool],
    arguments: Sequence[str] = (),
    ending: signal.Signals = signal.SIGTERM,
) -> Iterator[ServerProcess]:
    """Raises `Unavailable`."""
    with tempfile.TemporaryDirectory(prefix="bellwether-server-") as name:
        directory = Path(name)
        # Some servers give up root's rights, and their files lie in this directory.
        directory.chmod(0o755)
        server = ServerProcess(script, directory, free_port(), answers, arguments=arguments, ending=ending)
        try:
            server.start()
            yield server
        finally:
            server.stop()
