"""A broker for tests: deploy/kafka/run on a free port, one for the whole session, topics of its own for each test."""

import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from services.adapters.event_log_kafka import KafkaCluster
from tests.ports import free_port
from tests.servers.missing import provided, skip_without
from tests.servers.process import DEPLOY, ServerProcess, Unavailable

SCRIPT: Final = DEPLOY / "kafka" / "run"


class Broker(ServerProcess):
    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def files(self) -> Path:
        """Where the broker keeps the partitions' directories."""
        return self.directory / "data" / "data"


def broker_in(directory: Path, *, port: int, properties: Path | None = None) -> Broker:
    """A broker to be started, which keeps its directory and port; `properties` is a file of further ones."""
    return Broker(SCRIPT, directory, port, _answers, arguments=[str(properties)] if properties else [])


@contextmanager
def running_broker(properties: Callable[[int], Path] | None = None) -> Iterator[Broker]:
    """`properties` writes further ones for the port that it is given. Raises `Unavailable`."""
    with tempfile.TemporaryDirectory(prefix="bellwether-kafka-") as directory:
        port = free_port()
        broker = broker_in(Path(directory), port=port, properties=properties(port) if properties else None)
        try:
            broker.start()
            yield broker
        finally:
            broker.stop()


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    try:
        with running_broker() as running:
            provided("Kafka")
            yield running
    except Unavailable as error:
        skip_without("Kafka", str(error))


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


def _answers(port: int) -> bool:
    try:
        KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}", bootstrap_timeout_ms=500).close()
    except KafkaError:
        return False
    return True
