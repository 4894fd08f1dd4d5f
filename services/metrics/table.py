"""Every metric of the online path: its name, what it means, and which process shows it.

Rules, panels and docs/metrics.md are made from these names, so that none of them asks for what nobody counts.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Described(NamedTuple):
    meaning: str
    labels: tuple[str, ...] = ()
    kind: Kind = Kind.GAUGE


PREDICTIONS: Final = "bellwether_predictions_total"
PREDICTION_SECONDS: Final = "bellwether_prediction_seconds"
FEATURE_STATUS: Final = "bellwether_feature_status_total"
PREDICTIONS_REPEATED: Final = "bellwether_predictions_repeated_total"
PREDICTIONS_LOST: Final = "bellwether_predictions_lost_total"
ANSWER_FAILURES: Final = "bellwether_answer_failures_total"
EVENTS_APPENDED: Final = "bellwether_events_appended_total"
OUTCOMES: Final = "bellwether_outcomes_total"
FEATURE_WRITES: Final = "bellwether_feature_writes_total"
REQUESTS_REFUSED: Final = "bellwether_requests_refused_total"
MODEL_INFO: Final = "bellwether_model_info"
"""Shown by the serving process and by the monitor: what answers, and what should."""
MODEL_ROW_SECONDS: Final = "bellwether_model_row_seconds"
MODEL_LOAD_FAILURES: Final = "bellwether_model_load_failures_total"
HOME_FREE: Final = "bellwether_home_free_bytes"
HOME_SIZE: Final = "bellwether_home_size_bytes"
WORKERS: Final = "bellwether_workers"
WORKERS_WANTED: Final = "bellwether_workers_wanted"
WORKER_HEARTBEAT: Final = "bellwether_worker_heartbeat_timestamp_seconds"

EVENTS_STORED: Final = "bellwether_events_stored_total"
EVENTS_DUPLICATE: Final = "bellwether_events_duplicate_total"
EVENTS_DEAD_LETTERED: Final = "bellwether_events_dead_lettered_total"
EVENTS_EXPIRED: Final = "bellwether_events_expired_total"
EVENTS_EXPIRED_AT: Final = "bellwether_events_expired_timestamp_seconds"
POSITION_RESETS: Final = "bellwether_position_resets_total"
POSITION_RESET_AT: Final = "bellwether_position_reset_timestamp_seconds"
CONSUMER_LAG: Final = "bellwether_consumer_lag"
CONSUMER_LAST_ROUND: Final = "bellwether_consumer_last_round_timestamp_seconds"
STORE_UP: Final = "bellwether_store_up"

EVENTS_DELIVERED: Final = "bellwether_events_delivered_total"
OUTBOX_DEPTH: Final = "bellwether_outbox_depth"
OUTBOX_LIMIT: Final = "bellwether_outbox_limit"
OUTBOX_OLDEST: Final = "bellwether_outbox_oldest_seconds"
FORWARDER_LAST_ROUND: Final = "bellwether_forwarder_last_round_timestamp_seconds"

SERVING: Final[Mapping[str, Described]] = {
    PREDICTIONS: Described(
        "Answers recorded, by who gave them and in which arm.", ("model", "version", "served_by", "arm"), Kind.COUNTER
    ),
    PREDICTION_SECONDS: Described(
        "Time from a checked request to its recorded answer.", ("model", "served_by"), Kind.HISTOGRAM
    ),
    FEATURE_STATUS: Described(
        "Availability verdicts of recorded answers, per feature.", ("model", "feature", "status"), Kind.COUNTER
    ),
    PREDICTIONS_REPEATED: Described(
        "Requests whose request_id was answered before, and got that answer.", ("model",), Kind.COUNTER
    ),
    PREDICTIONS_LOST: Described(
        "Sound requests that got no answer: nothing could be recorded, or it took too long.", ("model",), Kind.COUNTER
    ),
    ANSWER_FAILURES: Described(
        "Times that a model or a rule raised, or gave no answer that can be used.",
        ("model", "served_by"),
        Kind.COUNTER,
    ),
    EVENTS_APPENDED: Described("Events made durable in the local log.", ("model", "type"), Kind.COUNTER),
    OUTCOMES: Described(
        "Outcomes received, by what became of them: accepted, corrected, kept_newer, duplicate or refused.",
        ("model", "result"),
        Kind.COUNTER,
    ),
    FEATURE_WRITES: Described(
        "Requests to write online features, by what became of them: written, refused for what they hold, or failed.",
        ("model", "result"),
        Kind.COUNTER,
    ),
    REQUESTS_REFUSED: Described("Requests that got an error, by its code.", ("code",), Kind.COUNTER),
    MODEL_INFO: Described(
        "1 while a live worker answers with this version of the model.", ("model", "version", "alias")
    ),
    MODEL_ROW_SECONDS: Described(
        "What scoring one row took when a live worker loaded the version, by what scores: onnx or scikit-learn; "
        "0 for versions that it served before.",
        ("model", "version", "form"),
    ),
    MODEL_LOAD_FAILURES: Described(
        "Versions that a worker refused to serve because they did not pass their checks.", ("model",), Kind.COUNTER
    ),
    HOME_FREE: Described("Room that is left on the disk of the home, for this service."),
    HOME_SIZE: Described("Size of that disk."),
    WORKERS: Described("Serving workers that work: those that hang or were stopped are not among them."),
    WORKERS_WANTED: Described("Serving workers that there should be."),
    WORKER_HEARTBEAT: Described("When the worker that has been silent for longest last showed that it works."),
}

CONSUMER: Final[Mapping[str, Described]] = {
    EVENTS_STORED: Described("Events that became rows of the store.", (), Kind.COUNTER),
    EVENTS_DUPLICATE: Described("Events that were read again and are in the store already.", (), Kind.COUNTER),
    EVENTS_DEAD_LETTERED: Described("Events that could not become rows, by reason.", ("reason",), Kind.COUNTER),
    EVENTS_EXPIRED: Described(
        "Events that the log had lost before the consumer came to them, and that it does not have.", (), Kind.COUNTER
    ),
    EVENTS_EXPIRED_AT: Described("When that happened last, 0 for never since the consumer started."),
    POSITION_RESETS: Described(
        "Times that reading began again, because the log or the store was another one or an earlier copy, by reason.",
        ("reason",),
        Kind.COUNTER,
    ),
    POSITION_RESET_AT: Described("When that happened last, 0 for never since the consumer started.", ("reason",)),
    CONSUMER_LAG: Described(
        "Events of a partition that this consumer has not stored yet, also while the store is away; absent while that "
        "is unknown.",
        ("topic", "partition"),
    ),
    CONSUMER_LAST_ROUND: Described("When the consumer last looked for events, or for a store to put them into."),
    STORE_UP: Described("1 while the record store takes what the consumer has, 0 while it does not."),
}

FORWARDER: Final[Mapping[str, Described]] = {
    EVENTS_DELIVERED: Described("Events of the local log that the broker has for good.", (), Kind.COUNTER),
    OUTBOX_DEPTH: Described("Events of the local log that the broker does not have yet."),
    OUTBOX_LIMIT: Described("How many may wait."),
    OUTBOX_OLDEST: Described("Age of the oldest event that waits, 0 for none."),
    FORWARDER_LAST_ROUND: Described("When the forwarder last saw what waits in the local log."),
}
