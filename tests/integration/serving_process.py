"""A real BentoML server with real worker processes, hosting the toy model in a directory of its own."""

import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services import bootstrap
from services.core.ports import Fleet
from services.core.records import CHAMPION
from services.entrypoints.serve import command, environment
from services.settings import Settings
from tests.artifacts import add_toy_version
from tests.ports import free_port
from tests.waiting import eventually

START_SECONDS = 90.0
"""Above what two workers take that import everything on a machine that is busy with something else."""

ROOT = Path(__file__).parents[2]


@dataclass
class ServingProcess:
    settings: Settings
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://{self.settings.host}:{self.settings.port}"

    @property
    def model_url(self) -> str:
        return f"{self.url}/v1/models/toy"

    @property
    def fleet(self) -> Fleet:
        return bootstrap.fleet(self.settings)

    def promote(self, version: str) -> None:
        self.fleet.publish("toy", {CHAMPION: version})

    def serving_everywhere(self, version: str) -> bool:
        reports = self.fleet.workers("toy")
        return len(reports) == self.settings.workers and {report.version for report in reports} == {version}


@contextmanager
def toy_serving(home: Path, *, versions: dict[str, int], workers: int = 2, **more: Any) -> Iterator[ServingProcess]:
    """Serve with `versions` (name → seed) in the store, of which the first is the champion; `more` are settings."""
    settings = Settings(home=home, port=free_port(), workers=workers, alias_poll_seconds=0.1, **more)
    store = bootstrap.model_store(settings)
    for version, seed in versions.items():
        add_toy_version(store, version, seed=seed)
    log = (home / "serving.log").open("wb")
    with log:
        process = subprocess.Popen(
            command(settings, service="tests.integration.toy_service:service"),
            cwd=ROOT,
            env=environment(settings, os.environ),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    serving = ServingProcess(settings, process)
    try:
        serving.promote(next(iter(versions)))
        eventually(
            lambda: _is_ready(serving), what=f"the server is ready, see {home}/serving.log", seconds=START_SECONDS
        )
        yield serving
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _is_ready(serving: ServingProcess) -> bool:
    assert serving.process.poll() is None, "the server ended"
    try:
        with urllib.request.urlopen(f"{serving.url}/readyz", timeout=2) as response:  # noqa: S310 - this machine
            return bool(response.status == 200) and serving.serving_everywhere(_champion(serving))
    except (urllib.error.URLError, OSError):
        return False


def _champion(serving: ServingProcess) -> str:
    return serving.fleet.published("toy")[CHAMPION]
