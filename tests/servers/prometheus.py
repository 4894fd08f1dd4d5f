"""A Prometheus for tests, a typed client of its HTTP API, and promtool."""

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest

from tests.servers.missing import provided, skip_without
from tests.servers.process import DEPLOY, ServerProcess, Unavailable, running

SCRIPT: Final = DEPLOY / "local" / "prometheus"


class Sample(msgspec.Struct, frozen=True):
    """One series of an instant vector. `value` is (seconds since 1970, the number as text)."""

    metric: dict[str, str]
    value: tuple[float, str]

    @property
    def number(self) -> float:
        return float(self.value[1])


class Alert(msgspec.Struct, frozen=True, rename="camel"):
    labels: dict[str, str]
    annotations: dict[str, str]
    state: str
    """`pending` or `firing`."""
    active_at: datetime
    value: str

    @property
    def name(self) -> str:
        return self.labels["alertname"]


class Rule(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    query: str
    health: str
    """`ok`, `err` or `unknown` before the first evaluation."""
    type: str
    """`alerting` or `recording`."""
    state: str = ""
    """Of an alerting rule: `inactive`, `pending` or `firing`."""
    last_error: str = ""


class RuleGroup(msgspec.Struct, frozen=True):
    name: str
    rules: list[Rule]


class Target(msgspec.Struct, frozen=True, rename="camel"):
    labels: dict[str, str]
    health: str
    """`up`, `down` or `unknown` before the first scrape."""
    last_error: str = ""


@dataclass(frozen=True)
class PrometheusClient:
    """What a running Prometheus answers. Raises httpx.HTTPError, and ValueError with the reason of a refusal."""

    address: str

    def query(self, expression: str) -> list[Sample]:
        """The instant vector of an expression, now; a scalar is one sample without labels."""
        found = self._ask("query", {"query": expression})
        if found["resultType"] == "scalar":
            return [Sample(metric={}, value=msgspec.convert(found["result"], tuple[float, str]))]
        return msgspec.convert(found["result"], list[Sample])

    def series(self, expression: str, *, began: float, ended: float) -> int:
        """How many series the expression had at any second between two, in seconds since 1970."""
        asked = {"query": expression, "start": str(began), "end": str(ended), "step": "1"}
        return len(self._ask("query_range", asked)["result"])

    def rules(self) -> list[Rule]:
        groups = msgspec.convert(self._ask("rules")["groups"], list[RuleGroup])
        return [rule for group in groups for rule in group.rules]

    def alerts(self) -> list[Alert]:
        """Those that are pending or firing."""
        return msgspec.convert(self._ask("alerts")["alerts"], list[Alert])

    def targets(self) -> list[Target]:
        return msgspec.convert(self._ask("targets")["activeTargets"], list[Target])

    def _ask(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        answer = httpx.get(f"{self.address}/api/v1/{path}", params=parameters, timeout=10).json()
        if answer["status"] != "success":
            raise ValueError(f"{path} {parameters}: {answer['error']}")
        return answer["data"]


def running_prometheus(config: Path | None = None) -> AbstractContextManager[ServerProcess]:
    """With a configuration, or one that watches itself alone. Raises `Unavailable`."""
    return running(SCRIPT, _answers, [str(config)] if config else [])


def client_of(server: ServerProcess) -> PrometheusClient:
    return PrometheusClient(f"http://127.0.0.1:{server.port}")


@pytest.fixture(scope="session")
def prometheus() -> Iterator[PrometheusClient]:
    """One that watches itself alone, for questions about PromQL."""
    try:
        with running_prometheus() as server:
            provided("Prometheus")
            yield client_of(server)
    except Unavailable as error:
        skip_without("Prometheus", str(error))


@dataclass(frozen=True)
class Promtool:
    program: str

    def run(self, *arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Its exit code, and both of its outputs as text."""
        return subprocess.run(
            [self.program, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    program = shutil.which("promtool")
    if program is None:
        skip_without("Prometheus", "found no promtool; install it, such as the package prometheus")
    provided("Prometheus")
    return Promtool(program)


def _answers(port: int) -> bool:
    return answers_ready(f"http://127.0.0.1:{port}/-/ready")


def answers_ready(address: str) -> bool:
    try:
        return httpx.get(address, timeout=1).is_success
    except httpx.TransportError:
        time.sleep(0.05)
        return False
