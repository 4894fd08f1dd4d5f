"""What a consumer reads from Kafka: the partitions that its group gives it, from the positions in the store.

The client may raise once for a record that it cannot read and then loop inside `poll` for ever, so after any exception
the consumer is thrown away; what cannot be read is looked for beside it, and passed over as dead letters.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CorruptRecordError,
    IllegalStateError,
    KafkaError,
    LogTruncationError,
    OffsetOutOfRangeError,
    UnsupportedCodecError,
)

from services.adapters.event_log_kafka.cloud_events import event_of, letter_of, unreadable_letter
from services.adapters.event_log_kafka.cluster import KafkaCluster, Topic
from services.adapters.event_log_kafka.group import Rebalances, close, connections, joined, keep_joining, stands_at
from services.adapters.event_log_kafka.sink import KafkaSink
from services.adapters.event_log_kafka.topic_watch import TopicWatch
from services.adapters.event_log_kafka.unreadable import alone, unreadable_at
from services.core.clock import Now
from services.core.errors import EventLogUnavailable, LostPosition, MalformedEvent, PositionLost
from services.core.events import DEAD_LETTERS_TOPIC, LoggedEvent
from services.core.letters import findable
from services.core.records import DeadLetter, Position
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

COMPARE_SECONDS: Final = 5.0
"""Between two looks at whether the store still has what it had; a commit looks as well, where there is one."""

TELL_WAIT_MS: Final = 2000
TELL_SECONDS: Final = 5.0
"""Between two moments at which the broker is told the positions, for its own tools, and for forwarders, which keep in
their local logs what is not stored. What is delivered never depends on them."""

logger = logging.getLogger(__name__)


class PollFailed(Exception):
    """A poll raised this, and the consumer must not be polled again."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Displaced(Exception):
    """The log has no record at the positions of these partitions: it begins behind them, or ends before them."""

    def __init__(self, parts: Iterable[TopicPartition]) -> None:
        super().__init__(", ".join(f"{part.topic}/{part.partition}" for part in parts))
        self.parts = set(parts)


class KafkaSource:
    """See `services.core.transport.EventSource`.

    `committed` looks a partition's position up in the store.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        *,
        committed: Callable[[str], Position],
        now: Now,
        stall_seconds: float = STALL_SECONDS,
        forming_seconds: float = FORMING_SECONDS,
    ) -> None:
        self._cluster = cluster
        self._forming_seconds = forming_seconds
        self._stall_seconds = stall_seconds
        self._committed = committed
        self._now = now
        self._letters = KafkaSink(cluster, now=now)
        self._watch = TopicWatch(cluster)
        self._consumer: KafkaConsumer | None = None
        self._topics: dict[str, tuple[str, Topic]] = {}
        """By the cluster's name of the topic: our name of it, and what it is."""
        self._rebalances = Rebalances()
        self._next: dict[TopicPartition, int] = {}
        """Of each partition that is this consumer's and stands at its position: the offset to be read next."""
        self._connections: set[Any] = set()
        self._displaced: set[TopicPartition] = set()
        """Those at whose position the log has nothing."""
        self._seams: dict[TopicPartition, str] = {}
        """Of those whose first record is the last one that was stored, to be recognised: the id of its event."""
        self._looks_back = True
        """Whether that record is looked for. Not after a poll that failed, perhaps on that very record."""
        self._ends: dict[TopicPartition, int] = {}
        """Of each partition as of the first time that somebody asked whether it is reached."""
        self._to_seek: set[TopicPartition] = set()
        self._handed_out: dict[str, TopicPartition] = {}
        self._told: dict[TopicPartition, int] = {}
        self._tell_at = self._progress_at = self._settled_at = time.monotonic()
        self._compare_at = time.monotonic() + COMPARE_SECONDS

    def read(self, *, limit: int) -> list[Portion]:
        consumer = self._connected()
        self._require_same_topics()
        self._require_same_store()
        if self._displaced:
            return self._put_right(consumer)
        try:
            polled = self._polled(consumer, limit)
        except Displaced as found:
            self._displaced |= found.parts
            return self._put_right(consumer)
        except PollFailed as found:
            return self._passed_over(found.error)
        if time.monotonic() >= self._tell_at:
            self._tell(consumer)
        self._watch_forming()
        self._watch_progress(consumer, polled)
        self._require_same_log(consumer, polled)
        return [
            self._portion(part, polled.get(part, []), position)
            for part in self._next.keys() - self._to_seek
            if (position := stands_at(consumer, part)) is not None and position > self._next[part]
        ]

    def bury(self, portion: Portion, letters: Sequence[DeadLetter]) -> None:
        """Letters that were read from the topic of dead letters are told already."""
        part = self._handed_out[portion.partition]
        if letters and self._topics[part.topic][0] != DEAD_LETTERS_TOPIC:
            self._letters.bury(letters)

    def kept(self, portion: Portion) -> None:
        part = self._handed_out.pop(portion.partition)
        self._told[part] = portion.position
        self._looks_back = True

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

    def reached_end(self) -> bool:
        if self._consumer is None or not self._rebalances.settled or self._to_seek or self._handed_out:
            return False
        if new := [part for part in self._next if part not in self._ends]:
            with self._cluster.translated():
                self._ends |= self._consumer.end_offsets(new, timeout_ms=self._cluster.patience_ms)
        return all(offset >= self._ends[part] for part, offset in self._next.items())

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

    def _require_same_topics(self, *, at_once: bool = False) -> None:
        """Raises `PositionLost` where the topics were made anew: positions in the old ones mean nothing in them."""
        now = {topic.name: topic for topic in self._watch.topics(at_once=at_once).values()}
        if gone := [topic for name, (_, topic) in self._topics.items() if now[name].id != topic.id]:
            self._drop()
            raise PositionLost(
                f"Kafka at {self._cluster.servers}: topic {gone[0].name} is not the one that was read before; it is "
                "read from its start",
                partition=gone[0].name,
                reason=LostPosition.TOPICS_REPLACED,
            )

    def _require_same_store(self) -> None:
        """Raises `PositionLost` where the store's positions went back: nothing may ever come that would show it."""
        if time.monotonic() < self._compare_at:
            return
        self._compare_at = time.monotonic() + COMPARE_SECONDS
        waiting = self._to_seek | set(self._handed_out.values())
        behind = [
            part for part in self._next.keys() - waiting if self._committed(self._name(part)).offset < self._next[part]
        ]
        if behind:
            self._to_seek.update(behind)
            raise PositionLost(
                f"the record store has {len(behind)} partitions of Kafka at {self._cluster.servers} less far than they "
                "were stored: it is an earlier copy, another one, or was rewound; reading goes on from what it has",
                partition=self._name(min(behind)),
                reason=LostPosition.STORE_BEHIND,
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
            except OffsetOutOfRangeError as error:
                raise Displaced(error.args[0]) from error
            except LogTruncationError as error:
                raise Displaced(error.divergent_offsets) from error
            except Exception as error:
                raise PollFailed(error) from error
            self._follow_rebalances()
            if not self._rebalances.settled:
                keep_joining(consumer)
            if self._is_another_broker(consumer):
                self._to_seek |= self._next.keys()
                polled = {}  # what was stored last is looked for first
            if polled or (self._rebalances.settled and not self._to_seek) or time.monotonic() >= deadline:
                return polled

    def _is_another_broker(self, consumer: KafkaConsumer) -> bool:
        """Whether what was polled may come from a broker that lost something meanwhile: a connection was lost."""
        before, self._connections = self._connections, connections(consumer)
        return not before <= self._connections

    def _go_to_positions(self, consumer: KafkaConsumer) -> None:
        """Partitions that are new here, and those whose last portion was not kept, begin at the stored position.

        They begin at the record before it, where its event is known: a log that has grown again behind a loss is not
        told from the one that was read by its offsets.
        """
        self._follow_rebalances()
        self._to_seek.update(self._handed_out.values())
        self._handed_out.clear()
        for part in sorted(self._to_seek):
            committed = self._committed(self._name(part))
            self._to_seek.discard(part)
            seam = committed.last_event if self._looks_back and committed.offset else ""
            try:
                consumer.seek(part, committed.offset - 1 if seam else committed.offset)
                consumer.resume(part)
            except (ValueError, KeyError):  # it was taken away in this very moment
                continue
            self._next[part] = self._told[part] = committed.offset
            self._seams.pop(part, None)
            if seam:
                self._seams[part] = seam

    def _follow_rebalances(self) -> None:
        """What the group gives is all that it gives: partitions that are not among it are another's."""
        for given, parts in self._rebalances.since():
            if given:
                self._next, self._to_seek = {}, set(parts)
            else:
                self._next = {part: offset for part, offset in self._next.items() if part not in parts}
                self._to_seek -= parts

    def _require_same_log(self, consumer: KafkaConsumer, polled: dict[TopicPartition, list[Any]]) -> None:
        """Take the last records that were stored out of what was polled.

        Raises:
            PositionLost: another record stands in the place of one.
        """
        for part in polled.keys() & self._seams.keys() & self._next.keys():
            known, before = self._seams.pop(part), self._next[part] - 1
            if polled[part][0].offset != before:
                continue  # nothing stands there any more: a topic that keeps the latest of each key has replaced it
            last = polled[part].pop(0)
            if self._id_of(last) != known:
                self._to_seek |= polled.keys()
                self._require_same_topics(at_once=True)
                raise self._lost(part, f"the log has another event at {before}", self._begin(consumer, part))

    def _portion(self, part: TopicPartition, records: list[Any], position: int) -> Portion:
        """The records, up to where the client stands behind them.

        Offsets in between without a record are no losses: there stand the marks that end transactions, what was never
        committed, and what a topic that keeps the latest of each key has replaced. None of it is an event for us.
        """
        name, start = self._name(part), self._next[part]
        events: list[LoggedEvent] = []
        letters: list[DeadLetter] = []
        for record in records:
            self._sort(record, events, letters, origin=f"{name}@{record.offset}")
        self._next[part] = position
        self._handed_out[name] = part
        return Portion(
            partition=name,
            origin=name,
            events=events,
            dead_letters=letters,
            start=start,
            position=position,
            last_event=self._id_of(records[-1]) if records and records[-1].offset == position - 1 else "",
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

    def _put_right(self, consumer: KafkaConsumer) -> list[Portion]:
        """Empty portions over what the log no longer has.

        Raises:
            PositionLost: the log does not begin behind a position, so it ended before it, or was another one there.
        """
        self._require_same_topics(at_once=True)
        parts = sorted(self._displaced & self._next.keys())
        with self._cluster.translated():
            begins = consumer.beginning_offsets(parts, timeout_ms=self._cluster.patience_ms)
        portions = []
        for part in parts:
            self._displaced.discard(part)
            if begins[part] <= self._next[part] - (part in self._seams):
                raise self._lost(part, "the log ends before that, or has others there", begins[part])
            portions += self._expired(consumer, part, begins[part])
        self._displaced.clear()
        return portions

    def _expired(self, consumer: KafkaConsumer, part: TopicPartition, begin: int) -> list[Portion]:
        """What stood there cannot be known any more, so each offset of it counts as an event."""
        name, start = self._name(part), self._next[part]
        consumer.seek(part, begin)
        self._seams.pop(part, None)
        if begin == start:
            return []
        self._next[part] = begin
        self._handed_out[name] = part
        gone = begin - start
        return [
            Portion(partition=name, origin=name, events=[], dead_letters=[], start=start, position=begin, expired=gone)
        ]

    def _begin(self, consumer: KafkaConsumer, part: TopicPartition) -> int:
        with self._cluster.translated():
            begins: dict[TopicPartition, int] = consumer.beginning_offsets([part], timeout_ms=self._cluster.patience_ms)
        return begins[part]

    def _lost(self, part: TopicPartition, found: str, begin: int) -> PositionLost:
        self._to_seek.add(part)
        self._ends.pop(part, None)
        return PositionLost(
            f"{self._name(part)} was stored up to position {self._next[part]}, and {found}: the broker lost records or "
            f"was restored. The partition is read again from its start, {begin}; the audit names what is missing",
            partition=self._name(part),
            reason=LostPosition.OFFSET_GONE,
            restart_at=begin,
        )

    def _id_of(self, record: Any) -> str:
        """ "" for a record that has none."""
        ours, _ = self._topics[record.topic]
        try:
            found = letter_of(record).event_id if ours == DEAD_LETTERS_TOPIC else event_of(record, topic=ours).id
            return findable(found)  # as the store has it
        except MalformedEvent:
            return ""

    def _passed_over(self, error: Exception) -> list[Portion]:
        """Portions of dead letters for what cannot be read, where that is why the client raised."""
        stood = self._drop()
        self._looks_back = False
        if isinstance(error, (CorruptRecordError, UnsupportedCodecError)) or not isinstance(error, KafkaError):
            logger.error("a record cannot be read; looking for what can be read behind it", exc_info=error)
            bad = unreadable_at(self._cluster, stood)
            if bad:
                return [self._unreadable(part, stood[part], end, reason) for part, (end, reason) in bad.items()]
        raise EventLogUnavailable(f"Kafka at {self._cluster.servers}: {type(error).__name__}: {error}") from error

    def _unreadable(self, part: TopicPartition, start: int, end: int, reason: str) -> Portion:
        name = self._name(part)
        self._handed_out[name] = part
        letters = [
            DeadLetter(
                event_id=f"{name}@{offset}",
                reason="unreadable",
                detail=reason.replace("\x00", "\ufffd"),
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
        if told:
            try:
                consumer.commit(told, timeout_ms=TELL_WAIT_MS)
                self._told = {}
            except KafkaError as error:
                logger.info("the broker did not take note of the positions, and is told again: %s", error)

    def _name(self, part: TopicPartition) -> str:
        return self._topics[part.topic][1].part_name(part.partition)

    def _drop(self) -> dict[TopicPartition, int]:
        """Throw the consumer away; returns where each partition stood."""
        consumer, self._consumer = self._consumer, None
        stood, self._next = self._next, {}
        self._rebalances = Rebalances()
        self._to_seek, self._handed_out, self._told, self._ends = set(), {}, {}, {}
        self._displaced, self._seams, self._connections = set(), {}, set()
        if consumer is not None:
            close(consumer)
        return stood
