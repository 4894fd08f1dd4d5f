"""Kafka as the event log: what the forwarder delivers to, and what consumers read."""

from services.adapters.event_log_kafka.cluster import KafkaCluster
from services.adapters.event_log_kafka.passage import KafkaPassage
from services.adapters.event_log_kafka.sink import KafkaSink
from services.adapters.event_log_kafka.source import KafkaSource
from services.adapters.event_log_kafka.stored import KafkaStored

__all__ = ["KafkaCluster", "KafkaPassage", "KafkaSink", "KafkaSource", "KafkaStored"]
