"""What a consumer reads from Kafka: the partitions that its group gives it, from the positions in the store.

The client may raise once for a record that it cannot read and then loop inside `poll` for ever, so after any exception
the consumer is thrown away; what cannot be read is looked for beside it, and passed over as dead letters.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import CorruptRecordError, IllegalStateError, KafkaError

from services.adapters.event_log_kafka.cloud_events import event_of, letter_of, unreadable_letter
from services.adapters.event_log_kafka.cluster import KafkaCluster, Topic
from services.adapters.event_log_kafka.group import Rebalances, close, joined, keep_joining
from services.adapters.event_log_kafka.sink import KafkaSink
from services.adapters.event_log_kafka.topic_watch import TopicWatch
from services.adapters.event_log_kafka.unreadable import alone, end_of_unreadable
from services.core.clock import Now
from services.core.errors import EventLogUnavailable, LostPosition, MalformedEvent, PositionLost
from services.core.events import DEAD_LETTERS_TOPIC, LoggedEvent
from services.core.records import DeadLetter
from services.core.transport import Lag, Portion

WAIT_SECONDS: Final = 0.02
"""How long a poll waits for records when there are none; the caller pauses between. Short, because a client whose
broker answers nothing does not wait but turns, and keeps something of every turn until the broker is given up."""

FORM_WAIT_SECONDS: Final = 0.2
"""The same while the group is being formed: long enough for most joinings to fit into one poll."""

JOIN_SECONDS: Final = 5.0
"""A group is formed as soon as every member has heard of it, at its next heartbeat."""

FORMING_SECONDS: Final = 45.0
"""Above the longest that a group waits for its members (`ROUND_MS`): whoever is in no group by then begins anew."""

STALL_SECONDS: Final = 30.0
"""Without a record for so long, the broker is asked whether there are some. Above a broker's restart."""

TELL_WAIT_MS: Final = 2000
TELL_SECONDS: Final = 5.0
"""Between two moments at which the broker is told the positions, for its own tools; nothing here reads them."""

logger = logging.getLogger(__name__)


class Unreadable(Exception):
    """A poll raised this, and the consumer must not be polled again."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class KafkaSource:
    """See `services.core.transport.EventSource`. `position` looks a partition's name up in the store."""

    def __init__(
        self,
        cluster: KafkaCluster,
        *,
        position: Callable[[str], int],
        now: Now,
        stall_seconds: float = STALL_SECONDS,
        forming_seconds: float = FORMING_SECONDS,
    ) -> None:
        self._cluster = cluster
        self._forming_seconds = forming_seconds
        self._stall_seconds = stall_seconds
        self._position = position
        self._now = now
        self._letters = KafkaSink(cluster, now=now)
        self._watch = TopicWatch(cluster)
        self._consumer: KafkaConsumer | None = None
        self._topics: dict[str, tuple[str, Topic]] = {}
        """By the cluster's name of the topic: our name of it, and what it is."""
        self._rebalances = Rebalances()
        self._next: dict[TopicPartition, int] = {}
        """Of each partition that is this consumer's and stands at its position: the offset to be read next."""
        self._to_seek: set[TopicPartition] = set()
        self._handed_out: dict[str, TopicPartition] = {}
        self._told: dict[TopicPartition, int] = {}
        self._tell_at = self._progress_at = self._settled_at = time.monotonic()

    def read(self, *, limit: int) -> list[Portion]:
        consumer = self._connected()
        self._require_same_topics()
        try:
            polled = self._polled(consumer, limit)
        except Unreadable as found:
            return self._passed_over(found.error)
        self._watch_forming()
        self._watch_progress(consumer, polled)
        return [self._portion(part, records) for part, records in polled.items() if part in self._next]

    def bury(self, portion: Portion, letters: Sequence[DeadLetter]) -> None:
        """Letters that were read from the topic of dead letters are told already."""
        part = self._handed_out[portion.partition]
        if letters and self._topics[part.topic][0] != DEAD_LETTERS_TOPIC:
            self._letters.bury(letters)

    def kept(self, portion: Portion) -> None:
        part = self._handed_out.pop(portion.partition)
        self._told[part] = portion.position
        if self._consumer is not None and time.monotonic() >= self._tell_at:
            self._tell(self._consumer)

    def positions_before(self, moment: datetime) -> dict[str, int]:
        topics = self._cluster.topics().values()
        names = {part: topic.part_name(part.partition) for topic in topics for part in topic.parts}
        milliseconds = int(moment.timestamp() * 1000)
        with self._cluster.translated(), contextlib.closing(alone(self._cluster)) as consumer:
            found = consumer.offsets_for_times(dict.fromkeys(names, milliseconds), timeout_ms=self._cluster.patience_ms)
            ends = consumer.end_offsets(list(names), timeout_ms=self._cluster.patience_ms)
        return {name: ends[part] if found[part] is None else found[part].offset for part, name in names.items()}

    def lags(self) -> list[Lag]:
        lags = []
        for part, offset in self._next.items():
            with contextlib.suppress(IllegalStateError):  # it was taken away in this very moment
                end = self._consumer.highwater(part) if self._consumer is not None else None
                if end is not None:
                    lags.append(Lag(topic=part.topic, partition=part.partition, events=max(0, end - offset)))
        return lags

    def close(self) -> None:
        if self._consumer is not None:
            self._tell(self._consumer)
        self._drop()
        self._watch.close()
        self._letters.close()

    def _connected(self) -> KafkaConsumer:
        if self._consumer is None:
            topics = self._watch.topics()
            self._topics = {topic.name: (ours, topic) for ours, topic in topics.items()}
            with self._cluster.translated():
                self._consumer = joined(self._cluster, list(self._topics), self._rebalances)
            self._progress_at = self._settled_at = time.monotonic()
        return self._consumer

    def _require_same_topics(self) -> None:
        """Raises `PositionLost` where the topics were made anew: positions in the old ones mean nothing in them."""
        now = {topic.name: topic for topic in self._watch.topics().values()}
        if gone := [topic for name, (_, topic) in self._topics.items() if now[name].id != topic.id]:
            self._drop()
            raise PositionLost(
                f"Kafka at {self._cluster.servers}: topic {gone[0].name} is not the one that was read before; it is "
                "read from its start",
                partition=gone[0].name,
                reason=LostPosition.TOPICS_REPLACED,
            )

    def _polled(self, consumer: KafkaConsumer, limit: int) -> dict[TopicPartition, list[Any]]:
        """What one poll brings; while the group is being formed, polls follow each other without a pause.

        The client forgets that it was given partitions when that comes about between two polls, and asks for them
        again, which makes every other member begin anew as well: members could do this to each other for ever.
        """
        deadline = time.monotonic() + JOIN_SECONDS
        while True:
            self._go_to_positions(consumer)
            wait = WAIT_SECONDS if self._rebalances.settled else FORM_WAIT_SECONDS
            try:
                polled: dict[TopicPartition, list[Any]] = consumer.poll(int(wait * 1000), max_records=limit)
            except Exception as error:
                raise Unreadable(error) from error
            self._follow_rebalances()
            if not self._rebalances.settled:
                keep_joining(consumer)
            if polled or (self._rebalances.settled and not self._to_seek) or time.monotonic() >= deadline:
                return polled

    def _go_to_positions(self, consumer: KafkaConsumer) -> None:
        """Partitions that are new here, and those whose last portion was not kept, begin at the stored position."""
        self._follow_rebalances()
        self._to_seek.update(self._handed_out.values())
        self._handed_out.clear()
        for part in sorted(self._to_seek):
            offset = self._position(self._name(part))
            self._to_seek.discard(part)
            try:
                consumer.seek(part, offset)
                consumer.resume(part)
            except (ValueError, KeyError):  # it was taken away in this very moment
                continue
            self._next[part] = offset

    def _follow_rebalances(self) -> None:
        """What the group gives is all that it gives: partitions that are not among it are another's."""
        for given, parts in self._rebalances.since():
            if given:
                self._next, self._to_seek = {}, set(parts)
            else:
                self._next = {part: offset for part, offset in self._next.items() if part not in parts}
                self._to_seek -= parts

    def _portion(self, part: TopicPartition, records: list[Any]) -> Portion:
        name = self._name(part)
        events: list[LoggedEvent] = []
        letters: list[DeadLetter] = []
        for record in records:
            self._sort(record, events, letters, origin=f"{name}@{record.offset}")
        start = self._next[part]
        self._next[part] = records[-1].offset + 1
        self._handed_out[name] = part
        return Portion(
            partition=name,
            origin=name,
            events=events,
            dead_letters=letters,
            start=start,
            position=self._next[part],
            expired=max(0, records[0].offset - start),
        )

    def _sort(self, record: Any, events: list[LoggedEvent], letters: list[DeadLetter], *, origin: str) -> None:
        ours, _ = self._topics[record.topic]
        try:
            if ours == DEAD_LETTERS_TOPIC:
                letters.append(letter_of(record))
            else:
                events.append(LoggedEvent(record.offset, event_of(record, topic=ours)))
        except MalformedEvent as error:
            letters.append(unreadable_letter(record, error, origin=origin, now=self._now()))

    def _passed_over(self, error: Exception) -> list[Portion]:
        """Portions of dead letters for what cannot be read, where that is why the client raised."""
        stood = self._drop()
        if isinstance(error, CorruptRecordError) or not isinstance(error, KafkaError):
            logger.exception("a record cannot be read; looking for what can be read behind it", exc_info=error)
            ends = {part: end_of_unreadable(self._cluster, part, offset) for part, offset in stood.items()}
            if bad := [
                self._unreadable(part, stood[part], end, error) for part, end in ends.items() if end > stood[part]
            ]:
                return bad
        raise EventLogUnavailable(f"Kafka at {self._cluster.servers}: {type(error).__name__}: {error}") from error

    def _unreadable(self, part: TopicPartition, start: int, end: int, error: Exception) -> Portion:
        name = self._name(part)
        self._handed_out[name] = part
        letters = [
            DeadLetter(
                event_id=f"{name}@{offset}",
                reason="unreadable",
                detail=f"{type(error).__name__}: {error}".replace("\x00", "\ufffd"),
                origin=f"{name}@{offset}",
                type="",
                key="",
                data=b"",
                at=self._now(),
            )
            for offset in range(start, end)
        ]
        return Portion(partition=name, origin=name, events=[], dead_letters=letters, start=start, position=end)

    def _watch_forming(self) -> None:
        """A consumer that its group gives nothing, not even the word that there is nothing, is replaced."""
        now = time.monotonic()
        if self._rebalances.settled:
            self._settled_at = now
        elif now - self._settled_at >= self._forming_seconds:
            self._drop()
            raise EventLogUnavailable(
                f"Kafka at {self._cluster.servers}: the group {self._cluster.group} took no member in for "
                f"{self._forming_seconds:g} s"
            )

    def _watch_progress(self, consumer: KafkaConsumer, polled: dict[TopicPartition, Any]) -> None:
        """A consumer that gets nothing while there is something is replaced."""
        now = time.monotonic()
        if polled:
            self._progress_at = now
        if now - self._progress_at < self._stall_seconds or not self._next:
            return
        self._progress_at = now
        try:
            ends = consumer.end_offsets(list(self._next), timeout_ms=self._cluster.patience_ms)
        except KafkaError as error:
            self._drop()
            raise EventLogUnavailable(f"Kafka at {self._cluster.servers}: {type(error).__name__}: {error}") from error
        if any(ends[part] > offset for part, offset in self._next.items()):
            self._drop()
            raise EventLogUnavailable(f"Kafka at {self._cluster.servers} gave no record for {self._stall_seconds:g} s")

    def _tell(self, consumer: KafkaConsumer) -> None:
        """Without a limit of time the client tries for ever; a broker that does not listen is no reason to wait."""
        self._tell_at = time.monotonic() + TELL_SECONDS
        told = {
            part: OffsetAndMetadata(offset, str(self._topics[part.topic][1].id), -1)
            for part, offset in self._told.items()
            if part in self._next
        }
        self._told = {}
        if told:
            try:
                consumer.commit(told, timeout_ms=TELL_WAIT_MS)
            except KafkaError as error:
                logger.info("the broker did not take note of the positions: %s", error)

    def _name(self, part: TopicPartition) -> str:
        return self._topics[part.topic][1].part_name(part.partition)

    def _drop(self) -> dict[TopicPartition, int]:
        """Throw the consumer away; returns where each partition stood."""
        consumer, self._consumer = self._consumer, None
        stood, self._next = self._next, {}
        self._rebalances = Rebalances()
        self._to_seek, self._handed_out, self._told = set(), {}, {}
        if consumer is not None:
            close(consumer)
        return stood
