"""Our services outside of containers: same arguments, variables and checks, at addresses and paths of this machine."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from monitoring.entrypoints.up.children import tied
from services.settings import variable_of
from tests.compose.reading import COMPOSE, image_environment, is_ours, services
from tests.ports import free_port
from tests.waiting import eventually

PORTS: Final = {
    "port": 3000,
    "monitor_port": 3001,
    "consumer_port": 3002,
    "forwarder_port": 3003,
    "lifecycle_port": 3004,
}
"""What each process listens on where no setting says otherwise."""
HEALTHY_SECONDS: Final = 150.0
"""For all of them at once on a busy machine of two cores; alone it takes a few seconds each."""


@dataclass(frozen=True)
class Outside:
    """Where things are here: the directory takes the place of volumes and secrets, `elsewhere` that of other texts."""

    directory: Path
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=lambda: {name: free_port() for name in PORTS})

    @property
    def secrets(self) -> Path:
        return self.directory / "secrets"

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def __call__(self, text: str) -> str:
        for inside, here in self._places().items():
            text = text.replace(inside, here)
        return text

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text()

    def environment(self, service: Mapping[str, Any]) -> dict[str, str]:
        """The image's variables and the service's, translated; of this process's own only those that are no setting."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(variable_of(""))}
        of_ports = {variable_of(name): str(port) for name, port in self.ports.items()}
        said = image_environment() | {name: str(value) for name, value in service["environment"].items()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return own | of_ports | {name: self(value) for name, value in said.items()} | {"PATH": path}

    def _places(self) -> dict[str, str]:
        return {
            "/run/secrets": str(self.secrets),
            "/var/lib/bellwether": str(self.home),
            # Every address of a container is one address of this machine.
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - the text that is replaced
            **{f"127.0.0.1:{PORTS[name]}": f"127.0.0.1:{port}" for name, port in self.ports.items()},
            **self.elsewhere,
        }


@dataclass(frozen=True)
class Started:
    """One service as a process."""

    name: str
    service: Mapping[str, Any]
    outside: Outside
    process: subprocess.Popen[bytes]

    def check(self) -> subprocess.CompletedProcess[str]:
        """Run its healthcheck once, for as long as it may take in a container."""
        form, *command = self.service["healthcheck"]["test"]
        assert form == "CMD"
        return subprocess.run(
            [self.outside(each) for each in command],
            env=self.outside.environment(self.service),
            capture_output=True,
            text=True,
            timeout=seconds(self.service["healthcheck"]["timeout"]),
            check=False,
        )

    def is_healthy(self) -> bool:
        assert self.process.poll() is None, f"{self.name} ended:\n{self.log.read_text()}"
        try:
            return self.check().returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def stop(self) -> int:
        """Ask it to end as an engine does; returns its exit code. Raises where its grace period is not enough."""
        self.process.terminate()
        return self.process.wait(seconds(self.service["stop_grace_period"]))

    @property
    def log(self) -> Path:
        return self.outside.directory / f"{self.name}.log"


@contextmanager
def running(profile: str, outside: Outside) -> Iterator[dict[str, Started]]:
    """Our services of a profile, each started once those that it depends on answer healthy, and ended at the end."""
    outside.home.mkdir(mode=0o700)
    make_secrets(outside.secrets)
    started: dict[str, Started] = {}
    with ExitStack() as ending:
        waiting = {name: each for name, each in services(profile).items() if is_ours(each)}
        for name in sorted(waiting, key=lambda each: len(waiting.keys() & waiting[each].get("depends_on", {}).keys())):
            for needed in waiting.keys() & waiting[name].get("depends_on", {}).keys():
                await_healthy(started[needed])
            started[name] = _started(name, waiting[name], outside)
            ending.callback(_end, started[name].process)
        yield started


def make_secrets(directory: Path) -> None:
    subprocess.run([COMPOSE / "make-secrets", directory], check=True, capture_output=True)


def await_healthy(service: Started) -> None:
    eventually(service.is_healthy, what=f"{service.name} is healthy, see {service.log}", seconds=HEALTHY_SECONDS)


def seconds(text: str) -> float:
    """A duration of the file, which states all of them in seconds."""
    assert text.endswith("s")
    return float(text[:-1])


def _started(name: str, service: Mapping[str, Any], outside: Outside) -> Started:
    command = ["bellwether", *(outside(each) for each in service["command"])]
    environment = outside.environment(service)
    with (outside.directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            tied(command), env=environment, cwd=outside.home, stdout=log, stderr=subprocess.STDOUT
        )
    return Started(name, service, outside, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait(10)
