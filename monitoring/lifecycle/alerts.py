"""From an alert to one job: Alertmanager's webhook payload (version 4), whoever sends it.

Alertmanager repeats and duplicates, and knows nothing of cool-downs; here each alert ends in a job or in a reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec

from services.core.clock import DAY, require_aware
from services.core.errors import UNDECODABLE, BellwetherError
from services.core.limits import ID_LENGTH, harmless, time_problem
from services.core.ports import Jobs, Results
from services.core.records import Job, JobState, ResultKind, ResultStatus
from services.core.spec import ModelSpec

RETRAINING_ALERTS: Final = frozenset({"ModelInputDrift"})
JOBS_REMEMBERED: Final = 200
"""How many of a model's newest jobs a repeated alert is recognised by: months of them at one a day."""
NOTE_LENGTH: Final = 1000
"""Characters of a summary that a job keeps, and with it each page that shows the job."""

RESULTS_REMEMBERED: Final = 5
"""Drift results among which the newest confirmation is looked for: a failed evaluation or two do not hide it."""


class Result(StrEnum):
    ACCEPTED = "accepted"
    IGNORED = "ignored"
    REFUSED = "refused"


class Code(StrEnum):
    """Why, in one word that can be counted."""

    JOB_OPENED = "job_opened"
    NOT_FIRING = "not_firing"
    STARTS_NOTHING = "starts_nothing"
    UNKNOWN_MODEL = "unknown_model"
    NO_TIME = "no_time"
    NOT_ON_RECORD = "not_on_record"
    ANSWERED = "answered"
    JOB_OPEN = "job_open"
    COOL_DOWN = "cool_down"
    DAILY_CAP = "daily_cap"


REFUSALS: Final = (Code.STARTS_NOTHING, Code.UNKNOWN_MODEL, Code.NO_TIME, Code.NOT_ON_RECORD)
"""What is wrong with an alert; the other codes say what became of one that is right."""


class MalformedAlert(BellwetherError):
    code = "malformed_alert"


class Alert(msgspec.Struct, frozen=True, rename="camel"):
    """One alert of the payload, with the members that matter here."""

    status: str
    labels: dict[str, str]
    starts_at: datetime
    fingerprint: str
    annotations: dict[str, str] = {}


class Payload(msgspec.Struct, frozen=True):
    """Alertmanager's webhook body. `version` must be "4"."""

    version: str
    alerts: list[Alert]


class Receipt(msgspec.Struct, frozen=True):
    """What became of one alert, and why. `job` is set when it was accepted."""

    result: Result
    code: Code
    reason: str
    job: int | None = None


@dataclass(frozen=True, slots=True)
class Onset:
    """What drifted, of the model's features, and when it began, in event time."""

    since: datetime
    features: list[str]


class Desk(Jobs, Results, Protocol):
    """What the intake reads and writes of the record store."""


def intake(
    payload: bytes | Mapping[str, Any], *, store: Desk, specs: Mapping[str, ModelSpec], now: datetime
) -> list[Receipt]:
    """One receipt per alert of the payload, in its order. `now` is event time.

    Texts that the store refuses are made harmless, and nothing is refused for them: Alertmanager does not ask its rule
    for another summary, it drops the alert or sends the same one for ever.

    Raises:
        MalformedAlert: the payload is not Alertmanager's; nothing of it was taken.
    """
    past: dict[str, list[Job]] = {}
    receipts = []
    for alert in _decoded(payload).alerts:
        receipts.append(_receipt(alert, store=store, specs=specs, past=past, now=now))
        if receipts[-1].code is Code.JOB_OPENED:
            past.clear()
    return receipts


def _decoded(payload: bytes | Mapping[str, Any]) -> Payload:
    try:
        if isinstance(payload, bytes):
            found = msgspec.json.decode(payload, type=Payload)
        else:
            found = msgspec.convert(payload, type=Payload)
    except UNDECODABLE as error:
        raise MalformedAlert(f"the body is no Alertmanager webhook payload: {str(error)[:200]}") from error
    if found.version != "4":
        raise MalformedAlert(f"found webhook version {found.version[:16]!r}, expected '4'")
    return found


def _receipt(
    alert: Alert, *, store: Desk, specs: Mapping[str, ModelSpec], past: dict[str, list[Job]], now: datetime
) -> Receipt:
    """`past` are the jobs that were read for alerts before this one, by model: a payload may have thousands."""
    if alert.status != "firing":
        return _ignored(Code.NOT_FIRING, f"status is {alert.status[:32]!r}, only firing alerts start work")
    if (name := alert.labels.get("alertname", "")) not in RETRAINING_ALERTS:
        known = ", ".join(RETRAINING_ALERTS)
        return _refused(Code.STARTS_NOTHING, f"alert {name[:64]!r} starts no retraining; {known} does")
    spec = specs.get(alert.labels.get("model", ""))
    if spec is None:
        found = alert.labels.get("model", "")[:64]
        return _refused(Code.UNKNOWN_MODEL, f"no model {found!r}; GET /status has those that there are")
    if spec.name not in past:
        past[spec.name] = store.jobs(spec.name, limit=JOBS_REMEMBERED)
    if refusal := _too_soon(spec, alert, past[spec.name], now):
        return refusal
    onset = _told(spec, alert) if "since" in alert.annotations else _on_record(spec, store, now)
    return onset if isinstance(onset, Receipt) else _opened(spec, alert, onset, store=store, now=now)


def _told(spec: ModelSpec, alert: Alert) -> Onset | Receipt:
    """As the alert's annotations say."""
    try:
        since = require_aware(datetime.fromisoformat(alert.annotations["since"]), name="annotation 'since'")
    except (ValueError, OverflowError) as error:
        # The last one: an offset that carries the first or the last day out of the calendar.
        return _refused(Code.NO_TIME, f"annotation 'since' is no time with an offset: {str(error)[:200]}")
    if problem := time_problem(since):
        return _refused(Code.NO_TIME, f"annotation 'since': {problem}")
    named = {each.strip() for each in alert.annotations.get("features", "").split(",")}
    return Onset(since, [name for name in spec.feature_names if name in named])


def _on_record(spec: ModelSpec, store: Desk, now: datetime) -> Onset | Receipt:
    """As the evaluation that confirmed it has recorded; a rule knows no more than that there is drift."""
    for drift in reversed(store.results(spec.name, ResultKind.DRIFT, limit=RESULTS_REMEMBERED, until=now)):
        if drift.status is ResultStatus.OK and drift.body["confirmed"]:
            return Onset(datetime.fromisoformat(drift.body["since"]), list(drift.body["confirmed_features"]))
    return _refused(Code.NOT_ON_RECORD, f"no evaluation has confirmed drift of {spec.name}; see its /status")


def _too_soon(spec: ModelSpec, alert: Alert, past: list[Job], now: datetime) -> Receipt | None:
    """Why this alert starts nothing now, or None.

    A refused or failed job may be tried again while its alert lasts, once the cool-down is over: outcomes have come.
    A job counts while it is near in time. One that lies far ahead was told the time by a clock that has been set back
    since, and must not keep the model from its retrainings until then; each such moment allows one job more.
    """
    for job in past:
        if job.dedupe_key == _key(alert) and job.state is JobState.PROMOTED:
            return _ignored(Code.ANSWERED, f"job {job.id} has answered this alert with a new version")
        if job.state.open:
            return _ignored(Code.JOB_OPEN, f"job {job.id} is open; a model has one at a time")
    within = [at for job in past if (at := job.closed_at) is not None and abs(now - at) < spec.retraining.cool_down]
    if ended := max(within, default=None):
        cool_down = f"the last job ended at {ended.isoformat()}, cool-down {spec.retraining.cool_down}"
        return _ignored(Code.COOL_DOWN, cool_down)
    today = sum(abs(now - job.opened_at) < DAY for job in past)
    if today >= spec.retraining.per_day:
        return _ignored(Code.DAILY_CAP, f"{today} jobs within a day, at most {spec.retraining.per_day}")
    return None


def _opened(spec: ModelSpec, alert: Alert, onset: Onset, *, store: Desk, now: datetime) -> Receipt:
    job = store.open_job(
        model=spec.name,
        trigger="drift",
        dedupe_key=_key(alert),
        # Nothing can have changed later than now, and a job that waits for outcomes of the future blocks its model.
        since=min(onset.since, now),
        opened_at=now,
        note=harmless(alert.annotations.get("summary", "inputs drifted")[:NOTE_LENGTH]),
        evidence={"features": onset.features},
    )
    if job is None:
        return _ignored(Code.JOB_OPEN, "another alert opened a job at the same moment")
    return Receipt(Result.ACCEPTED, Code.JOB_OPENED, job.note, job.id)


def _ignored(code: Code, reason: str) -> Receipt:
    return Receipt(Result.IGNORED, code, reason)


def _refused(code: Code, reason: str) -> Receipt:
    return Receipt(Result.REFUSED, code, reason)


def _key(alert: Alert) -> str:
    return f"{harmless(alert.fingerprint[:ID_LENGTH])}@{alert.starts_at.isoformat()}"
