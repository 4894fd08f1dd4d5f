"""An Alertmanager for tests, a typed client of its HTTP API, and amtool."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx
import msgspec
import pytest

from tests.servers.missing import provided, skip_without
from tests.servers.process import DEPLOY, ServerProcess, Unavailable, running
from tests.servers.prometheus import answers_ready

SCRIPT: Final = DEPLOY / "local" / "alertmanager"


class Receiver(msgspec.Struct, frozen=True):
    name: str


class Status(msgspec.Struct, frozen=True, rename="camel"):
    state: str
    """`active`, `suppressed` or `unprocessed`."""
    inhibited_by: list[str]
    silenced_by: list[str]


class Alert(msgspec.Struct, frozen=True, rename="camel"):
    labels: dict[str, str]
    annotations: dict[str, str]
    fingerprint: str
    starts_at: datetime
    ends_at: datetime
    receivers: list[Receiver]
    status: Status

    @property
    def name(self) -> str:
        return self.labels["alertname"]


class Group(msgspec.Struct, frozen=True):
    labels: dict[str, str]
    receiver: Receiver
    alerts: list[Alert]


@dataclass(frozen=True)
class AlertmanagerClient:
    """What a running Alertmanager answers. Raises httpx.HTTPError."""

    address: str

    def alerts(self) -> list[Alert]:
        """Those that it holds, the suppressed ones among them."""
        return msgspec.json.decode(self._ask("alerts"), type=list[Alert])

    def groups(self) -> list[Group]:
        return msgspec.json.decode(self._ask("alerts/groups"), type=list[Group])

    def send(self, alerts: Sequence[Mapping[str, object]]) -> None:
        """As Prometheus does: each with `labels`, and perhaps `annotations`, `startsAt` and `endsAt`."""
        httpx.post(f"{self.address}/api/v2/alerts", json=list(alerts), timeout=10).raise_for_status()

    def _ask(self, path: str) -> bytes:
        return httpx.get(f"{self.address}/api/v2/{path}", timeout=10).raise_for_status().content


def running_alertmanager(config: Path | None = None) -> AbstractContextManager[ServerProcess]:
    """With a configuration, or one that notifies nobody. Raises `Unavailable`."""
    return running(SCRIPT, _answers, [str(config)] if config else [])


def client_of(server: ServerProcess) -> AlertmanagerClient:
    return AlertmanagerClient(f"http://127.0.0.1:{server.port}")


@pytest.fixture(scope="session")
def alertmanager() -> Iterator[AlertmanagerClient]:
    """One that notifies nobody."""
    try:
        with running_alertmanager() as server:
            provided("Alertmanager")
            yield client_of(server)
    except Unavailable as error:
        skip_without("Alertmanager", str(error))


@dataclass(frozen=True)
class Amtool:
    program: str

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Its exit code, and both of its outputs as text."""
        return subprocess.run(
            [self.program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture(scope="session")
def amtool() -> Amtool:
    program = shutil.which("amtool")
    if program is None:
        skip_without("Alertmanager", "found no amtool; install it, such as the package prometheus-alertmanager")
    provided("Alertmanager")
    return Amtool(program)


def _answers(port: int) -> bool:
    return answers_ready(f"http://127.0.0.1:{port}/-/ready")
