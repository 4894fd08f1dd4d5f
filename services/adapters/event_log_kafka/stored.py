"""Up to where the consumers have stored what was forwarded: what is not stored yet has to stay in the local log."""

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from kafka import KafkaAdminClient, TopicPartition
from kafka.protocol.consumer import OffsetSpec

from services.adapters.event_log_kafka.cluster import KafkaCluster, Topic, destination_of

LOOK_SECONDS: Final = 30.0
"""Between two looks: what is removed from the log is days old."""


class _Awaited(NamedTuple):
    """Everything up to `position` of the local log stands before these ends."""

    position: int
    ends: Mapping[TopicPartition, int]


class KafkaStored:
    """Of the topics that are there now. Consumers tell the broker how far they have stored, with the topic's id beside.

    A position that was forwarded is stored once every partition is, up to where it ended afterwards. `forwarded` looks
    up how far a destination has come.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        *,
        forwarded: Callable[[str], int],
        look_seconds: float = LOOK_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._forwarded = forwarded
        self._look_seconds = look_seconds
        self._monotonic = monotonic
        self._look_at = 0.0
        self._destination = ""
        self._awaited: _Awaited | None = None
        self._stored = 0

    def position(self) -> int:
        """A position of the local log; 0 until one is known. Raises `EventLogUnavailable`."""
        if self._monotonic() >= self._look_at:
            self._look_at = self._monotonic() + self._look_seconds
            with self._cluster.admin() as admin:
                self._look(admin)
        return self._stored

    def _look(self, admin: KafkaAdminClient) -> None:
        topics = self._cluster.topics_by(admin)
        if (destination := destination_of(topics)) != self._destination:
            self._destination, self._awaited, self._stored = destination, None, 0
        if self._awaited is None:
            # In this order: what is forwarded after the look-up may stand behind the ends, and is awaited next time.
            position = self._forwarded(destination)
            self._awaited = _Awaited(position, _ends(admin, topics))
        if self._are_stored(admin, topics, self._awaited.ends):
            self._stored, self._awaited = self._awaited.position, None
        elif any(end < self._awaited.ends.get(part, 0) for part, end in _ends(admin, topics).items()):
            self._awaited = None  # a broker that lost its newest records never has that end again

    def _are_stored(
        self, admin: KafkaAdminClient, topics: Mapping[str, Topic], ends: Mapping[TopicPartition, int]
    ) -> bool:
        ids = {topic.name: str(topic.id) for topic in topics.values()}
        told = admin.list_group_offsets({self._cluster.group: None})[self._cluster.group]
        stored = {part: each.offset for part, each in told.items() if each.metadata == ids.get(part.topic)}
        return all(stored.get(part, 0) >= end for part, end in ends.items())


def _ends(admin: KafkaAdminClient, topics: Mapping[str, Topic]) -> dict[TopicPartition, int]:
    wanted = {part: OffsetSpec.LATEST for topic in topics.values() for part in topic.parts}
    return {part: found.offset for part, found in admin.list_partition_offsets(wanted).items()}
