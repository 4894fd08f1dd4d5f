"""Fixtures that several rooms of the tests share: the servers, started once for all, and an account of them."""

from tests.servers.alertmanager import alertmanager, amtool
from tests.servers.kafka import broker, cluster
from tests.servers.missing import pytest_sessionfinish, pytest_terminal_summary
from tests.servers.postgresql import postgresql, postgresql_url
from tests.servers.prometheus import prometheus, promtool
from tests.servers.redis import redis

__all__ = [
    "alertmanager",
    "amtool",
    "broker",
    "cluster",
    "postgresql",
    "postgresql_url",
    "prometheus",
    "promtool",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "redis",
]
