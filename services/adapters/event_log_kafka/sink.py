"""Where the forwarder delivers to, and where dead letters are told to others.

The client's producer keeps what it is given without a limit, and waits for metadata inside `send`; so no more is given
to it than one call's events, every wait has an end, and none of this is on a request's path.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from services.adapters.event_log_kafka.cloud_events import Headers, headers_of, headers_of_letter
from services.adapters.event_log_kafka.cluster import KafkaCluster, Topic, destination_of
from services.adapters.event_log_kafka.topic_watch import TopicWatch
from services.core.clock import Now
from services.core.errors import EventLogUnavailable
from services.core.events import DEAD_LETTERS_TOPIC, Event
from services.core.records import DeadLetter

REQUEST_BYTES: Final = 32_000_000
"""Below what a broker takes in one request (100 MB); how large one record may be is the topic's own setting."""

LINGER_MS: Final = 5

APART: Final = 50
"""Of what was refused, so many are sent at once: a hundred requests where each of them is too large, which are through
in ten seconds if an answer takes a tenth of one."""

TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)

logger = logging.getLogger(__name__)


class Record(NamedTuple):
    """What is sent; `topic` is our name of it."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


class KafkaSink:
    """See `services.core.transport.EventSink`."""

    def __init__(self, cluster: KafkaCluster, *, now: Now) -> None:
        self._cluster = cluster
        self._now = now
        self._watch = TopicWatch(cluster)
        self._producer: KafkaProducer | None = None
        self._topics: dict[str, Topic] = {}

    def destination(self) -> str:
        topics = self._watch.topics()
        if self._topics and destination_of(topics) != destination_of(self._topics):
            logger.warning(
                "the topics of %s are not those that were there before: they get the whole local log again",
                self._cluster.servers,
            )
            self._drop_producer()
        self._topics = topics
        return destination_of(topics)

    def deliver(self, events: Sequence[Event]) -> None:
        refused = self._sent(
            [Record(event.topic, event.key.encode(), event.data, headers_of(event)) for event in events]
        )
        self.bury([self._oversized(events[place]) for place in refused])

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Return once every letter is in the topic of dead letters; one that is too large leaves its data out."""
        refused = self._sent([_record_of(letter) for letter in letters])
        for place in self._sent([_record_of(_without_data(letters[place])) for place in refused]):
            logger.error("no topic takes the dead letter of event %s", letters[refused[place]].event_id)

    def close(self) -> None:
        self._drop_producer()
        self._watch.close()

    def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            _close(producer)

    def _connected(self) -> KafkaProducer:
        if self._producer is None:
            self._topics = self._watch.topics()
            with self._cluster.translated():
                self._producer = produced(self._cluster)
        return self._producer

    def _sent(self, records: Sequence[Record]) -> list[int]:
        """Send them all and wait for each; returns the places of those that are too large for their topics."""
        refused = self._sent_together(records)
        return [refused[place] for place in self._sent_apart([records[place] for place in refused])]

    def _sent_together(self, records: Sequence[Record]) -> list[int]:
        """Returns the places of those that were refused, some of them for what they were sent with."""
        if not records:
            return []
        producer = self._connected()
        try:
            with self._cluster.translated():
                refused = self._arrivals(producer, records)
        except EventLogUnavailable:
            self.close()  # the topics too are looked for again
            raise
        if refused:
            # A batch that the broker refused leaves a gap in the producer's numbering of its batches.
            self._drop_producer()
        return refused

    def _sent_apart(self, records: Sequence[Record]) -> list[int]:
        """Returns the places of those that are refused alone.

        A producer that numbers its batches gives up whatever it has in hand as soon as one of them cannot be made
        smaller. One that does not halves what is refused until each record of it stands alone, and goes on; what is
        sent twice by that is stored once. Few at once: each has to be through before the broker counts as away.
        """
        if not records:
            return []
        self._connected()
        refused: list[int] = []
        with self._cluster.translated():
            producer = produced(self._cluster, numbered=False)
            try:
                for start in range(0, len(records), APART):
                    arrivals = self._arrivals(producer, records[start : start + APART])
                    refused += [start + place for place in arrivals]
            finally:
                _close(producer)
        return refused

    def _arrivals(self, producer: KafkaProducer, records: Sequence[Record]) -> list[int]:
        """Returns the places of those that were refused. Raises `KafkaError`."""
        deadline = time.monotonic() + self._cluster.patience.total_seconds()
        waiting = [_begun(producer, self._topics[record.topic].name, record) for record in records]
        return [place for place, future in enumerate(waiting) if future is None or not _arrived(future, deadline)]

    def _oversized(self, event: Event) -> DeadLetter:
        return DeadLetter(
            event_id=event.id,
            reason="oversized",
            detail=f"{len(event.data)} bytes of data are more than topic {self._topics[event.topic].name} takes",
            origin=f"forwarder@{event.id}",
            type=event.type,
            key=event.key,
            data=event.data,
            at=self._now(),
        )


def produced(cluster: KafkaCluster, *, numbered: bool = True) -> KafkaProducer:
    """`numbered`: whether its batches are, so that the broker takes none of them twice. They stay in order."""
    return KafkaProducer(
        **cluster.connection(),
        acks="all",
        enable_idempotence=numbered,
        max_in_flight_requests_per_connection=5 if numbered else 1,
        allow_auto_create_topics=False,
        metrics_enabled=False,
        max_block_ms=cluster.patience_ms,
        delivery_timeout_ms=cluster.patience_ms + LINGER_MS,
        max_request_size=REQUEST_BYTES,
        # What is sent in one call shares requests: bytes per partition, and the wait for more of them.
        batch_size=128_000,
        linger_ms=LINGER_MS,
    )


def _close(producer: KafkaProducer) -> None:
    try:
        producer.close(timeout=1)
    except (KafkaError, OSError, RuntimeError) as error:
        logger.info("a producer did not close in time: %s", error)


def _begun(producer: KafkaProducer, topic: str, record: Record) -> Any:
    try:
        return producer.send(topic, key=record.key, value=record.value, headers=record.headers)
    except TOO_LARGE:
        return None


def _arrived(future: Any, deadline: float) -> bool:
    """False for a record that is too large. Raises `KafkaError`."""
    try:
        future.get(timeout=max(0.0, deadline - time.monotonic()))
    except TOO_LARGE:
        return False
    return True


def _record_of(letter: DeadLetter) -> Record:
    key = letter.key.encode(errors="replace")
    return Record(DEAD_LETTERS_TOPIC, key, letter.data, headers_of_letter(letter))


def _without_data(letter: DeadLetter) -> DeadLetter:
    detail = f"{letter.detail[:1000]}; its data of {len(letter.data)} bytes is too large for the dead letters, too"
    return msgspec.structs.replace(letter, data=b"", key=letter.key[:1000], detail=detail)
