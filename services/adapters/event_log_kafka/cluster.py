"""Which cluster, how to connect to it, and the topics in it."""

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaConfigurationError, KafkaError, KafkaTimeoutError

from services.adapters.event_log_kafka.decompression import limit_decompression
from services.adapters.event_log_kafka.listening import Wanted, misfit
from services.adapters.wire import require_tls
from services.core.errors import EventLogUnavailable, SettingsError
from services.core.events import DEAD_LETTERS_TOPIC, OUTCOMES_TOPIC, PREDICTIONS_TOPIC

UNENCRYPTED: Final = ("PLAINTEXT", "SASL_PLAINTEXT")
TOPICS: Final = (PREDICTIONS_TOPIC, OUTCOMES_TOPIC, DEAD_LETTERS_TOPIC)
PREFIX: Final = "bellwether"

BOOTSTRAP_SECONDS: Final = 5
"""How long a client tries to begin, before somebody looks for the reason; whoever needs it tries again."""

METADATA_SECONDS: Final = 5
"""How often clients ask for the topics' partitions; what is written into new ones is read so soon."""

READING: Final[dict[str, Any]] = {
    "enable_auto_commit": False,
    # Which record comes next is never the client's choice: see `KafkaSource`.
    "auto_offset_reset": "none",
    "isolation_level": "read_committed",
    "allow_auto_create_topics": False,
    # Of a few thousand events. The client holds what it fetched several times over, and takes 50 MB by itself;
    # a record that is larger comes alone.
    "fetch_max_bytes": 4_000_000,
}
"""What every consumer is made with. Of a transaction that was not committed, nothing is read."""

limit_decompression()

DEAD_LETTER_BYTES: Final = 8_000_000
"""A dead letter may hold what was too large for the other topics: eight times what a broker takes by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic that exists. One that is deleted and made again is another one, with another `id`."""

    name: str
    id: uuid.UUID
    partitions: int

    @property
    def parts(self) -> list[TopicPartition]:
        return [TopicPartition(self.name, number) for number in range(self.partitions)]

    def part_name(self, partition: int) -> str:
        """The name of a partition that no other cluster or later topic has, for positions and origins."""
        return f"{self.name}/{partition}/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaCluster:
    """`servers` are host:port, with commas between them. Topics begin with `prefix`.

    `replication` of -1 leaves the number of replicas to the broker. `patience` bounds every wait for an answer: a
    broker that takes longer counts as away, and whoever needs it tries again. `user` and `password` are for SASL;
    `cert_file` and `key_file` are what this client shows a broker that asks for a certificate.

    Raises `SettingsError` where a server on another machine would be spoken to without TLS.
    """

    servers: str
    prefix: str = PREFIX
    group: str = PREFIX
    partitions: int = 6
    replication: int = -1
    retention: timedelta = timedelta(days=7)
    session: timedelta = timedelta(seconds=15)
    patience: timedelta = timedelta(seconds=15)
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    key_password: str = field(default="", repr=False)
    allow_plaintext: bool = False

    def __post_init__(self) -> None:
        require_tls(
            "Kafka",
            self.addresses,
            encrypted=self.security_protocol not in UNENCRYPTED,
            allowed=self.allow_plaintext,
            found=self.security_protocol,
            remedy="set BELLWETHER_KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL",
        )

    @property
    def addresses(self) -> list[str]:
        """The servers one by one; blanks around the commas are none of theirs."""
        return [each.strip() for each in self.servers.split(",") if each.strip()]

    @property
    def patience_ms(self) -> int:
        return self.patience // timedelta(milliseconds=1)

    def connection(self) -> dict[str, Any]:
        """What every client of the cluster is made with."""
        return {
            "bootstrap_servers": self.addresses,
            "bootstrap_timeout_ms": min(self.patience_ms, BOOTSTRAP_SECONDS * 1000),
            "request_timeout_ms": self.patience_ms,
            "metadata_max_age_ms": METADATA_SECONDS * 1000,
            # After a broker's return nobody should wait half a minute more, which is the client's own limit.
            "reconnect_backoff_max_ms": 2000,
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism or None,
            "sasl_plain_username": self.user or None,
            "sasl_plain_password": self.password or None,
            "ssl_cafile": self.ca_file or None,
            "ssl_certfile": self.cert_file or None,
            "ssl_keyfile": self.key_file or None,
            "ssl_password": self.key_password or None,
        }

    def topic_name(self, topic: str) -> str:
        """The cluster's name for one of `TOPICS`."""
        return self.prefix + topic.removeprefix(PREFIX)

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except KafkaConfigurationError as error:
            raise SettingsError(f"Kafka at {self.servers}: {error}; look at the settings BELLWETHER_KAFKA_…") from error
        except (KafkaError, OSError) as error:
            raise EventLogUnavailable(f"Kafka at {self.servers}: {type(error).__name__}: {error}") from error

    @contextlib.contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        """Raises `EventLogUnavailable`."""
        with self.translated(), contextlib.closing(self.admin_client()) as admin:
            yield admin

    def topics(self) -> dict[str, Topic]:
        """Each of `TOPICS`; those that are missing are created. Raises `EventLogUnavailable`."""
        with self.admin() as admin:
            return self.topics_by(admin)

    def topics_as_they_are(self, admin: KafkaAdminClient) -> dict[str, Topic] | None:
        """The same for somebody who only looks, and creates none; None where one is missing. Raises `KafkaError`."""
        names = {topic: self.topic_name(topic) for topic in TOPICS}
        found = _described(admin, names.values())
        return {topic: found[name] for topic, name in names.items()} if len(found) == len(names) else None

    def topics_by(self, admin: KafkaAdminClient) -> dict[str, Topic]:
        """The same, asked for over this client's connection. Raises `KafkaError` and `EventLogUnavailable`."""
        names = {topic: self.topic_name(topic) for topic in TOPICS}
        found = _described(admin, names.values())
        missing = [topic for topic, name in names.items() if name not in found]
        if missing:
            # Another process may create them at the same moment, so what counts is what is there afterwards.
            wanted = {names[topic]: self._wanted(topic) for topic in missing}
            admin.create_topics(wanted, raise_errors=False)
            admin.wait_for_topics(list(wanted), timeout_ms=self.patience_ms)
            found = _described(admin, names.values())
        if gone := [name for name in names.values() if name not in found]:
            raise EventLogUnavailable(f"Kafka at {self.servers} has no topic {', '.join(gone)}, or not any more")
        return {topic: found[name] for topic, name in names.items()}

    def admin_client(self) -> KafkaAdminClient:
        """Raises `EventLogUnavailable`, with the reason where the listener gives one."""
        try:
            return KafkaAdminClient(**self.connection())
        except KafkaTimeoutError as error:
            raise EventLogUnavailable(f"Kafka at {self.servers}: {self._misfits() or error}") from error

    def _misfits(self) -> str:
        wanted = Wanted(protocol=self.security_protocol, mechanism=self.sasl_mechanism, ca_file=self.ca_file)
        return "; ".join(filter(None, (misfit(server, wanted) for server in self.addresses)))

    def _wanted(self, topic: str) -> dict[str, Any]:
        configs = {"retention.ms": str(self.retention // timedelta(milliseconds=1)), "cleanup.policy": "delete"}
        if topic == DEAD_LETTERS_TOPIC:
            configs["max.message.bytes"] = str(DEAD_LETTER_BYTES)
        return {"num_partitions": self.partitions, "replication_factor": self.replication, "configs": configs}


def destination_of(topics: Mapping[str, Topic]) -> str:
    """What the forwarder's position belongs to: topics that were made anew have to get everything again."""
    return "/".join(str(topics[topic].id) for topic in TOPICS)


def _described(admin: KafkaAdminClient, names: Any) -> Mapping[str, Topic]:
    described = admin.describe_topics(list(names))
    return {
        each["name"]: Topic(name=each["name"], id=each["topic_id"], partitions=len(each["partitions"]))
        for each in described
        if not each["error_code"]
    }
