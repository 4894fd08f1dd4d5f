"""One member of the group of consumers: what the group gave it and took, and how it joins and leaves."""

import logging
import queue
from collections.abc import Iterable
from typing import Any, Final

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError

from services.adapters.event_log_kafka.cluster import READING, KafkaCluster

HEARTBEAT_MS: Final = 1000
ROUND_MS: Final = 30_000
"""A group that is being formed waits so long for a member that is busy with the store. A member that takes longer loses
its partitions, and what it still commits changes nothing."""

CLOSE_SECONDS: Final = 2.0

logger = logging.getLogger(__name__)


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # the library is untyped
    """Takes note of what the group gave and took, on the client's own thread, where nothing may wait.

    A partition that was given is not read before it stands at its stored position. Until then it stands anywhere: the
    client takes one that stands nowhere for an error.
    """

    def __init__(self) -> None:
        self.consumer: KafkaConsumer | None = None
        self.settled = False
        """Whether the group has said which partitions are this member's, if any."""
        self._noted: queue.SimpleQueue[tuple[bool, set[TopicPartition]]] = queue.SimpleQueue()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        if self.consumer is not None:
            self.consumer.pause(*assigned)
            for part in assigned:
                self.consumer.seek(part, 0)
        self._noted.put((True, set(assigned)))
        self.settled = True

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.settled = False
        self._noted.put((False, set(revoked)))

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self.settled = False
        self._noted.put((False, set(lost)))

    def since(self) -> Iterable[tuple[bool, set[TopicPartition]]]:
        """What happened since the last call, in order: whether partitions were given (or taken), and which."""
        while not self._noted.empty():
            yield self._noted.get()


def joined(cluster: KafkaCluster, topics: list[str], rebalances: Rebalances) -> KafkaConsumer:
    """A consumer of the group. It decodes nothing: the client does not survive a decoder that raises."""
    consumer = KafkaConsumer(
        **cluster.connection(),
        client_id="bellwether-consumer",
        group_id=cluster.group,
        session_timeout_ms=int(cluster.session.total_seconds() * 1000),
        heartbeat_interval_ms=HEARTBEAT_MS,
        max_poll_interval_ms=ROUND_MS,
        **READING,
        # Each member gives up all that it has before anything is given anew, and equal numbers of topics' partitions
        # go to the same member.
        partition_assignment_strategy=(RangePartitionAssignor,),
        metrics_enabled=False,
    )
    rebalances.consumer = consumer
    consumer.subscribe(topics, listener=rebalances)
    return consumer


def keep_joining(consumer: KafkaConsumer) -> None:
    """Call it after a poll that ended while the group was being formed.

    A leader that joins again because it has heard of partitions takes the matter for settled as soon as it has
    divided them, waits for nothing more, and never hears what it was given itself. It is told to go on.
    """
    coordinator = consumer._coordinator  # noqa: SLF001 - the client has no other word for it
    if coordinator.rejoining and not coordinator.need_rejoin():
        coordinator.request_rejoin()


def stands_at(consumer: KafkaConsumer, part: TopicPartition) -> int | None:
    """The offset that the client reads next: behind what it gave, and behind what it passed over without a word.

    None for a partition that was taken away. The client's own `position` may ask the broker, and wait for it.
    """
    state = consumer._subscription.assignment.get(part)  # noqa: SLF001
    return state.position.offset if state is not None and state.position is not None else None


def connections(consumer: KafkaConsumer) -> set[Any]:
    """Those that the client has now. One that is lost does not come back: there is another one in its place."""
    return set(consumer._manager._conns.values())  # noqa: SLF001


def close(consumer: KafkaConsumer) -> None:
    """Leave the group if the broker listens; it would find out by itself."""
    try:
        consumer.close(autocommit=False, timeout_ms=int(CLOSE_SECONDS * 1000))
    except (KafkaError, OSError, RuntimeError) as error:
        logger.info("a consumer did not close in time: %s", error)
