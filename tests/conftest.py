"""Fixtures that several rooms of the tests share: the servers, started once for all, and an account of them."""

from tests.servers.kafka import broker, cluster
from tests.servers.missing import pytest_sessionfinish, pytest_terminal_summary
from tests.servers.postgresql import postgresql, postgresql_url
from tests.servers.redis import redis

__all__ = [
    "broker",
    "cluster",
    "postgresql",
    "postgresql_url",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "redis",
]
