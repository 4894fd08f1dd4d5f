"""What the record store holds, as values."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from services.core.outcomes import OutcomeObserved
from services.core.predictions import PredictionMade


class Judged(msgspec.Struct, frozen=True):
    """A prediction with its latest outcome, or None while there is none."""

    prediction: PredictionMade
    outcome: str | None = None
    observed_at: datetime | None = None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that could not become rows, kept whole. `origin` says which log and position it came from."""

    event_id: str
    reason: str
    detail: str
    origin: str
    type: str
    key: str
    data: bytes
    at: datetime


class Position(msgspec.Struct, frozen=True):
    """How far a consumer has stored a partition: its next read begins at `offset`.

    `last_event` is the id of the event before it, "" where that is not known. A log that has another event there, or
    none, is not the log that was read.
    """

    offset: int = 0
    last_event: str = ""


class Batch(msgspec.Struct, frozen=True):
    """What a run of events turns into; each list keeps the order of the log."""

    predictions: list[PredictionMade]
    outcomes: list[tuple[str, OutcomeObserved]]
    """(event id, outcome)"""
    dead_letters: list[DeadLetter]


class Stored(msgspec.Struct, frozen=True):
    """What a committed batch did: rows added, and events that were already there."""

    stored: int
    duplicates: int
    dead_lettered: int


class ResultKind(StrEnum):
    DRIFT = "drift"
    AVAILABILITY = "availability"
    PERFORMANCE = "performance"
    BUSINESS = "business"


class ResultStatus(StrEnum):
    OK = "ok"
    NOT_ENOUGH_DATA = "not_enough_data"
    FAILED = "failed"


class EvaluationResult(msgspec.Struct, frozen=True, kw_only=True):
    """One judgement: about which window of event time, on how many rows, with what outcome.

    `version` is the version judged ("" for all). `body` is the kind's own numbers, JSON-ready.
    `computed_at` is wall-clock time: its age tells whether the monitor is alive.
    """

    model: str
    version: str
    kind: ResultKind
    window_start: datetime
    window_end: datetime
    n: int
    status: ResultStatus
    body: dict[str, Any]
    computed_at: datetime


class JobState(StrEnum):
    """`AWAITS_APPROVAL`: a version is registered, and a person has to promote it. `OUTCOMES_DOUBTED`: no version was
    made, because what it would have learnt from cannot be true."""

    WAITING = "waiting"
    RUNNING = "running"
    PROMOTED = "promoted"
    AWAITS_APPROVAL = "awaits_approval"
    REFUSED = "refused"
    OUTCOMES_DOUBTED = "outcomes_doubted"
    FAILED = "failed"

    @property
    def open(self) -> bool:
        return self in (JobState.WAITING, JobState.RUNNING)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One retraining. `dedupe_key` is the same for alerts about the same thing; `since` is when the change began.

    `note` says in one sentence what the job is doing or why it ended. `evidence` is JSON-ready.
    """

    id: int
    model: str
    trigger: str
    dedupe_key: str
    state: JobState
    since: datetime
    opened_at: datetime
    note: str = ""
    evidence: dict[str, Any] = {}
    closed_at: datetime | None = None


class VersionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A registered version. `evidence` is what the gate saw: challenger, champion, rule, and the reasons.

    `manifest_sha256` is what the version's manifest has to be, and by it every other file of the version; "" for one
    that was registered before this was recorded.
    """

    model: str
    version: str
    registered_at: datetime
    training_set: str
    training_set_sha256: str
    training_rows: int
    evidence: dict[str, Any]
    manifest_sha256: str = ""


class AliasChange(msgspec.Struct, frozen=True, kw_only=True):
    """An alias moved: `previous` is "" the first time. `at` is event time."""

    model: str
    alias: str
    version: str
    previous: str
    at: datetime
    reason: str


CHAMPION = "champion"


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right of one process to a piece of work, such as "lifecycle/churn", until it expires.

    `token` rises with every change of hands, so that the store can tell a holder that came back from the present one.
    """

    name: str
    holder: str
    token: int
    until: datetime
