"""Notices topics that were deleted and made anew, or a cluster that was: the names stay, what they name does not."""

import time
from collections.abc import Callable
from typing import Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from services.adapters.event_log_kafka.cluster import KafkaCluster, Topic

LOOK_SECONDS: Final = 1.0
"""Between two looks. What is sent or read meanwhile, as if nothing had changed, is sent and read again."""


class TopicWatch:
    """The topics as of a moment ago. It keeps its connection: a new one for each look costs a hundred times as much."""

    def __init__(
        self,
        cluster: KafkaCluster,
        *,
        look_seconds: float = LOOK_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._look_seconds = look_seconds
        self._monotonic = monotonic
        self._admin: KafkaAdminClient | None = None
        self._topics: dict[str, Topic] = {}
        self._look_at = 0.0

    def topics(self, *, at_once: bool = False) -> dict[str, Topic]:
        """See `KafkaCluster.topics`. With `at_once` they are looked at now, whenever that was done last."""
        if at_once or not self._topics or self._monotonic() >= self._look_at:
            self._topics = self._looked()
            self._look_at = self._monotonic() + self._look_seconds
        return self._topics

    def close(self) -> None:
        admin, self._admin, self._topics = self._admin, None, {}
        if admin is not None:
            admin.close()

    def _looked(self) -> dict[str, Topic]:
        with self._cluster.translated():
            if self._admin is None:
                self._admin = self._cluster.admin_client()
            try:
                return self._cluster.topics_by(self._admin)
            except (KafkaError, OSError):
                self.close()
                raise
