"""A broker for tests: deploy/kafka/run on a free port, one for the whole session, topics of its own for each test."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from services.adapters.event_log_kafka import KafkaCluster
from tests.ports import free_port

RUN: Final = Path(__file__).parents[2] / "deploy" / "kafka" / "run"
UNAVAILABLE: Final = 69
START_SECONDS: Final = 180.0
"""Where the artifacts are still to be fetched; otherwise a few seconds are enough."""


class BrokerUnavailable(Exception):
    """This machine cannot provide a broker; the message is what the script said."""


@dataclass
class Broker:
    """A broker in a directory and on a port that it keeps when it is started again.

    `properties` are further ones of the broker, in a file.
    """

    directory: Path
    port: int
    properties: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [str(RUN), str(self.port), str(self.directory)]
            command += [str(self.properties)] if self.properties else []
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            self._require_running(self.process)
            assert time.monotonic() < deadline, f"no broker within {START_SECONDS:.0f} s:\n{self.log.read_text()}"

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.send(number)
            self.process.wait(30)

    @property
    def log(self) -> Path:
        return self.directory / "broker.log"

    def _require_running(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() == UNAVAILABLE:
            raise BrokerUnavailable(self.log.read_text().strip())
        assert process.poll() is None, f"the broker ended:\n{self.log.read_text()}"

    def _answers(self) -> bool:
        try:
            KafkaAdminClient(bootstrap_servers=self.servers, bootstrap_timeout_ms=500).close()
        except KafkaError:
            return False
        return True


@contextlib.contextmanager
def running_broker(properties: Callable[[int], Path] | None = None) -> Iterator[Broker]:
    """`properties` writes further ones for the port that it is given. Raises `BrokerUnavailable`."""
    with tempfile.TemporaryDirectory(prefix="bellwether-kafka-") as directory:
        port = free_port()
        broker = Broker(Path(directory), port, properties(port) if properties else None)
        try:
            broker.start()
            yield broker
        finally:
            broker.stop()


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    try:
        with running_broker() as running:
            yield running
    except BrokerUnavailable as error:
        pytest.skip(f"no Kafka broker: {error}")


@pytest.fixture
def cluster(broker: Broker) -> KafkaCluster:
    """Topics and a group that no other test has."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    return KafkaCluster(
        servers=broker.servers,
        prefix=name,
        group=name,
        partitions=2,
        # As short as a broker allows: the partitions of a consumer that was killed go to others after it.
        session=timedelta(seconds=6),
        patience=timedelta(seconds=3),
    )
