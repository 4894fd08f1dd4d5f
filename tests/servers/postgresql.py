"""A PostgreSQL for tests: one server for the whole session, a database of its own for each test."""

import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

import psycopg
import pytest

from tests.servers.missing import provided, skip_without
from tests.servers.process import DEPLOY, ServerProcess, Unavailable, running

SCRIPT: Final = DEPLOY / "local" / "postgresql"
NAME: Final = "bellwether"


def running_postgresql() -> AbstractContextManager[ServerProcess]:
    """Raises `Unavailable`."""
    # At once, without the checkpoint of every test's database, which takes a slow disk longer than anybody waits.
    return running(SCRIPT, _answers, ending=signal.SIGQUIT)


def new_database(server: ServerProcess, *, options: str = "") -> str:
    """The SQLAlchemy URL of a database that nobody else has, made with these options of CREATE DATABASE."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(_address(server.port), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" {options}')
    return f"postgresql+psycopg://{NAME}@127.0.0.1:{server.port}/{name}"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[ServerProcess]:
    try:
        with running_postgresql() as server:
            provided("PostgreSQL")
            yield server
    except Unavailable as error:
        skip_without("PostgreSQL", str(error))


@pytest.fixture
def postgresql_url(postgresql: ServerProcess) -> str:
    return new_database(postgresql)


def _address(port: int) -> str:
    return f"host=127.0.0.1 port={port} user={NAME} dbname={NAME} connect_timeout=2"


def _answers(port: int) -> bool:
    try:
        psycopg.connect(_address(port)).close()
    except psycopg.OperationalError:
        time.sleep(0.05)
        return False
    return True
