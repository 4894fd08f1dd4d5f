"""Fixtures that several rooms of the tests share: the servers, started once for all."""

from tests.servers.kafka import broker, cluster

__all__ = ["broker", "cluster"]
