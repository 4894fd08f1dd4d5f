"""How far the events of a local log have come through Kafka."""

import contextlib
import time
from collections.abc import Callable
from typing import Final, Protocol

from services.adapters.event_log_kafka.cluster import KafkaCluster, Topic, destination_of
from services.adapters.event_log_kafka.unreadable import alone

LOOK_SECONDS: Final = 0.05


class Forwarded(Protocol):
    """What is asked of the local log."""

    def forwarded(self, destination: str) -> int:
        """Up to which position the destination has everything."""
        ...

    def close(self) -> None: ...


class KafkaPassage:
    """See `services.core.transport.Passage`. `position` looks a partition's name up in the store."""

    def __init__(self, cluster: KafkaCluster, *, outbox: Forwarded, position: Callable[[str], int]) -> None:
        self._cluster = cluster
        self._outbox = outbox
        self._position = position

    def passed(self, *, patience: float) -> int:
        """Everything that was forwarded stands before the ends of the partitions, which are asked for afterwards; once
        the consumers have stored up to there, whatever is missing is on no way any more."""
        with self._cluster.admin() as admin:
            topics = self._cluster.topics_as_they_are(admin)
        if topics is None:
            return 0  # nothing was ever forwarded to these
        forwarded = self._outbox.forwarded(destination_of(topics))
        ends = self._ends({topic.name: topic for topic in topics.values()})
        deadline = time.monotonic() + patience
        while not self._stored_up_to(ends):
            if time.monotonic() >= deadline:
                return 0
            time.sleep(LOOK_SECONDS)
        return forwarded

    def close(self) -> None:
        self._outbox.close()

    def _ends(self, topics: dict[str, Topic]) -> dict[str, int]:
        """By the partition's name in the store."""
        parts = [part for topic in topics.values() for part in topic.parts]
        with self._cluster.translated(), contextlib.closing(alone(self._cluster)) as consumer:
            ends = consumer.end_offsets(parts, timeout_ms=self._cluster.patience_ms)
        return {topics[part.topic].part_name(part.partition): end for part, end in ends.items()}

    def _stored_up_to(self, ends: dict[str, int]) -> bool:
        return all(self._position(name) >= end for name, end in ends.items())
