"""What a fault is done to: a prediction service, a broker, a forwarder, a consumer and a store, as real processes."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services import bootstrap
from services.core.ports import RecordStore
from services.settings import KAFKA
from tests.integration.serving_process import ServingProcess, toy_serving
from tests.ports import free_port
from tests.servers.kafka import Broker

FORWARDER: Final = "services.entrypoints.forwarder"
CONSUMER: Final = "services.entrypoints.consumer"
STOP_SECONDS: Final = 20.0
DISK_MEGABYTES: Final = 64
CLOCK: Final = "clock"
"""The file of the stage's time, which stands still unless a fault moves it."""


@dataclass
class Stage:
    """`processes` are the forwarder and the consumer by module; a fault ends and starts them by id."""

    serving: ServingProcess
    broker: Broker
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.serving.settings.home

    def start(self, module: str, *, name: str = "") -> None:
        """Start a process of this module; `name` tells a second one of the same apart, which gets ports of its own."""
        settings = self.serving.settings.with_flags(consumer_port=free_port(), forwarder_port=free_port())
        with (self.home / f"{name or module}.log").open("ab") as log:
            self.processes[name or module] = subprocess.Popen(
                [sys.executable, "-m", module],
                env=os.environ | settings.as_environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(STOP_SECONDS)

    @contextmanager
    def store(self) -> Iterator[RecordStore]:
        with contextlib.closing(bootstrap.record_store(self.serving.settings)) as store:
            yield store


@contextmanager
def small_disk(directory: Path) -> Iterator[bool]:
    """A disk of its own in the directory, small enough to be filled; False where this machine lets nobody mount one."""
    size = f"size={DISK_MEGABYTES}m"
    command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(directory)], check=True)


@contextmanager
def running_stage(home: Path, broker: Broker) -> Iterator[Stage]:
    with ExitStack() as stack:
        # As short as a broker allows: what a killed consumer read goes to its successor after it.
        serving = stack.enter_context(
            toy_serving(
                home,
                versions={"v1": 1},
                event_log=KAFKA,
                kafka=broker.servers,
                kafka_prefix=f"faults-{home.name}",
                kafka_group=f"faults-{home.name}",
                kafka_session_seconds=6.0,
                clock_file=str(home / CLOCK),
            )
        )
        stage = Stage(serving, broker)
        stack.callback(_end_all, stage)
        for module in (FORWARDER, CONSUMER):
            stage.start(module)
        yield stage


def _end_all(stage: Stage) -> None:
    for name in list(stage.processes):
        stage.end(name, signal.SIGTERM)
