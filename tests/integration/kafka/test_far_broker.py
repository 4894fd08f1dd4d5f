"""A broker far away: each packet takes a tenth of a second in each direction."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import bootstrap
from services.settings import Settings
from tests.integration.kafka.carrying import append, event
from tests.ports import free_port
from tests.servers.kafka import Broker, running_broker
from tests.servers.slow_way import slow_way

SECONDS = 0.1
PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{near},FAR://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{{controller}}
advertised.listeners=PLAINTEXT://127.0.0.1:{near},FAR://127.0.0.1:{far}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT,CONTROLLER:PLAINTEXT
"""


@pytest.fixture
def far(tmp_path: Path, broker: Broker) -> Iterator[str]:
    """The server's name on the slow way. Beside the session's broker, which advertises the short one."""
    far_port, behind = free_port(), free_port()

    def written(near: int) -> Path:
        path = tmp_path / "broker.properties"
        path.write_text(PROPERTIES.format(near=near, behind=behind, far=far_port))
        return path

    with running_broker(written), slow_way(listening=far_port, to=behind, seconds=SECONDS):
        yield f"127.0.0.1:{far_port}"


def test_what_is_forwarded_and_consumed_once_over_a_slow_way_is_all_that_there_is(far: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, event_log="kafka", kafka=far, kafka_session_seconds=6.0)
    append(tmp_path, *(event(number) for number in range(400)))

    for command in ("forward", "consume"):
        run_once(command, settings)

    store = bootstrap.record_store(settings)
    assert store.counts().predictions == 400
    store.close()


def run_once(command: str, settings: Settings) -> None:
    environment = os.environ | settings.as_environment()
    subprocess.run(
        [sys.executable, "-m", "monitoring.entrypoints.cli", command, "--once"],
        env=environment,
        check=True,
        timeout=120,
    )
