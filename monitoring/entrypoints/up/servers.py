"""The servers that a run brings along when it is given the address of none: deploy/'s, with their data in the home."""

import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from monitoring.entrypoints.up.children import ChildFailed
from services.settings import KAFKA, Settings

DEPLOY: Final = Path(__file__).parents[3] / "deploy"
HOST: Final = "127.0.0.1"
START_SECONDS: Final = 180.0
"""The first start of a broker fetches it; later ones take seconds."""
POSTGRESQL: Final = "postgresql"
REDIS: Final = "redis"
"""What `store` and `features` are set to in place of an address."""
THROUGH: Final = 0o711
"""Others may pass to what they know the name of, and list or read nothing."""


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A server for this run alone; it keeps its port and its directory when it is started again."""

    name: str
    script: Path
    port: int
    directory: Path
    arguments: tuple[str, ...] = ()
    """Of the script, behind port and directory."""

    @property
    def command(self) -> list[str]:
        return [str(self.script), str(self.port), str(self.directory), *self.arguments]

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def await_open(self, alive: Callable[[], None]) -> None:
        """Wait until the port takes connections, calling `alive` (which may raise) in between. Raises `ChildFailed`."""
        deadline = time.monotonic() + START_SECONDS
        while not _open(self.port):
            alive()
            if time.monotonic() > deadline:
                raise ChildFailed(f"{self.name} did not open {self.address} within {START_SECONDS:.0f} s")
            time.sleep(0.1)


def with_own_servers(settings: Settings) -> tuple[Settings, list[OwnServer]]:
    """The servers that the settings name without an address, and the settings with their addresses."""
    own: list[OwnServer] = []
    if settings.event_log == KAFKA and settings.kafka:
        settings = _with_own_topics(settings)
    if settings.event_log == KAFKA and not settings.kafka:
        own.append(_own(settings, KAFKA, DEPLOY / "kafka" / "run"))
        settings = replace(settings, kafka=own[-1].address)
    if settings.store == POSTGRESQL:
        own.append(_own(settings, POSTGRESQL, DEPLOY / "local" / "postgresql"))
        settings = replace(settings, store=f"postgresql+psycopg://bellwether@{own[-1].address}/bellwether")
    if settings.features == REDIS:
        own.append(_own(settings, REDIS, DEPLOY / "local" / "redis"))
        settings = replace(settings, features=f"redis://{own[-1].address}/0")
    return settings, own


def let_through(home: Path, servers: Sequence[OwnServer]) -> None:
    """PostgreSQL gives up root's rights, and has to come to its files through a home that is closed to others."""
    if not os.geteuid() and any(server.name == POSTGRESQL for server in servers):
        home.chmod(THROUGH)


def _with_own_topics(settings: Settings) -> Settings:
    """Events of a simulated world have no place among those of the real one, nor of an earlier run."""
    name = f"{settings.kafka_prefix}-run-{uuid.uuid4().hex[:8]}"
    return replace(settings, kafka_prefix=name, kafka_group=name)


def _own(settings: Settings, name: str, script: Path) -> OwnServer:
    return OwnServer(name, script, free_port(), settings.home / name)


def free_port() -> int:
    """One that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _open(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
