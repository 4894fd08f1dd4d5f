"""A Redis for tests: one server for the whole session, a prefix of its own for each test."""

import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

import pytest

from tests.servers.missing import provided, skip_without
from tests.servers.process import DEPLOY, ServerProcess, Unavailable, running

SCRIPT: Final = DEPLOY / "local" / "redis"


def running_redis() -> AbstractContextManager[ServerProcess]:
    """Raises `Unavailable`."""
    return running(SCRIPT, _answers)


def url_of(server: ServerProcess) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(scope="session")
def redis() -> Iterator[ServerProcess]:
    try:
        with running_redis() as server:
            provided("Redis")
            yield server
    except Unavailable as error:
        skip_without("Redis", str(error))


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as asking:
            asking.sendall(b"PING\r\n")
            return asking.recv(7) == b"+PONG\r\n"
    except OSError:
        time.sleep(0.05)
        return False
