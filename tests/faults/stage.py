"""What a fault is done to: a prediction service, a broker, a forwarder, a consumer and a store, as real processes."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

import httpx
from kafka import KafkaAdminClient

from services import bootstrap
from services.core.ports import RecordStore
from services.settings import KAFKA
from tests.faults.database import Database
from tests.integration.serving_process import ServingProcess, toy_serving
from tests.ports import free_port
from tests.servers.kafka import Broker
from tests.servers.postgresql import new_database
from tests.servers.process import ServerProcess, Unavailable
from tests.waiting import eventually

FORWARDER: Final = "services.entrypoints.forwarder"
CONSUMER: Final = "services.entrypoints.consumer"
STOP_SECONDS: Final = 20.0
FIRST_SECONDS: Final = 60.0
"""Until topics are made and the consumer has joined its group."""
DISK_MEGABYTES: Final = 64
CLOCK: Final = "clock"
"""The file of the stage's time, which stands still unless a fault moves it."""


class Scene(Enum):
    """Where the records are kept."""

    SQLITE = "SQLite"
    SMALL_DISK = "SQLite on a small disk"
    """Everything that the stage writes is on one that can be filled without hurting anybody else."""
    POSTGRESQL = "PostgreSQL"


@dataclass
class Stage:
    """`processes` are the forwarder and the consumers by module or name; a fault ends and starts them by id."""

    serving: ServingProcess
    broker: Broker
    database: Database | None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.serving.settings.home

    @property
    def postgresql(self) -> Database:
        assert self.database is not None, f"a fault of {Scene.POSTGRESQL.value} needs a stage with one"
        return self.database

    def pids(self) -> dict[str, list[int]]:
        """Of the processes that live, by kind."""
        kinds: dict[str, list[int]] = {"serving worker": [each.pid for each in self.serving.fleet.workers("toy")]}
        for name, process in list(self.processes.items()):
            kinds.setdefault("forwarder" if name == FORWARDER else "consumer", []).append(process.pid)
        return kinds

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

    def make_topics_anew(self) -> None:
        """Under the same names, by somebody else."""
        prefix = self.serving.settings.kafka_prefix
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=self.broker.servers)) as admin:
            topics = [name for name in admin.list_topics() if name.startswith(prefix)]
            admin.delete_topics(topics)
            eventually(lambda: not set(topics) & set(admin.list_topics()), what="the topics are gone")

    @contextmanager
    def store(self) -> Iterator[RecordStore]:
        with contextlib.closing(bootstrap.record_store(self.serving.settings)) as store:
            yield store


@contextmanager
def running_stage(scene: Scene, home: Path, broker: Broker, server: ServerProcess | None) -> Iterator[Stage]:
    """`server` is the PostgreSQL of a scene that has one. Raises `Unavailable`."""
    with ExitStack() as stack:
        if scene is Scene.SMALL_DISK:
            stack.enter_context(_small_disk(home))
        database = Database(server, new_database(server)) if server else None
        serving = stack.enter_context(
            toy_serving(
                home,
                versions={"v1": 1},
                event_log=KAFKA,
                kafka=broker.servers,
                kafka_prefix=f"faults-{home.name}",
                kafka_group=f"faults-{home.name}",
                # As short as a broker allows: what a killed consumer read goes to its successor after it.
                kafka_session_seconds=6.0,
                clock_file=str(home / CLOCK),
                store=database.url if database else "",
            )
        )
        stage = Stage(serving, broker, database)
        stack.callback(_end_all, stage)
        for module in (FORWARDER, CONSUMER):
            stage.start(module)
        _carry_one(stage)
        yield stage


def _carry_one(stage: Stage) -> None:
    """A prediction, all the way into the store: what is measured afterwards are processes that are warm."""
    question = {"entity_id": "first", "features": {"plan": "monthly", "amount": 9.0}}
    answer = httpx.post(f"{stage.serving.model_url}/predict", json=question).raise_for_status().json()
    with stage.store() as store:
        eventually(
            lambda: bool(store.stored_event_ids([answer["prediction_id"]])),
            what=f"a prediction is stored, see the logs in {stage.home}",
            seconds=FIRST_SECONDS,
        )


@contextmanager
def _small_disk(directory: Path) -> Iterator[None]:
    """A disk of its own in the directory, small enough to be filled."""
    size = f"size={DISK_MEGABYTES}m"
    command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(directory)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise Unavailable("nobody may mount a disk here that could be filled")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def _end_all(stage: Stage) -> None:
    for name in list(stage.processes):
        stage.end(name, signal.SIGTERM)
