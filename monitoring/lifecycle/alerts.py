"""From an alert to one job: Alertmanager's webhook payload (version 4), whoever sends it.

Alertmanager repeats and duplicates, and knows nothing of cool-downs; here each alert ends in a job or in a reason.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from services.core.clock import require_aware
from services.core.errors import BellwetherError
from services.core.ports import Jobs
from services.core.records import Job, JobState
from services.core.spec import ModelSpec

RETRAINING_ALERTS: Final = frozenset({"ModelInputDrift"})
JOBS_REMEMBERED: Final = 200
"""How many of a model's newest jobs a repeated alert is recognised by: months of them at one a day."""


class MalformedAlert(BellwetherError):
    code = "malformed_alert"


class Alert(msgspec.Struct, frozen=True, rename="camel"):
    """One alert of the payload, with the members that matter here."""

    status: str
    labels: dict[str, str]
    starts_at: datetime
    fingerprint: str
    annotations: dict[str, str] = {}

    @property
    def features(self) -> list[str]:
        return [name for each in self.annotations.get("features", "").split(",") if (name := each.strip())]

    @property
    def since(self) -> datetime:
        """When the change began, in event time."""
        return require_aware(datetime.fromisoformat(self.annotations["since"]), name="annotation 'since'")


class Payload(msgspec.Struct, frozen=True):
    """Alertmanager's webhook body. `version` must be "4"."""

    version: str
    alerts: list[Alert]


class Receipt(msgspec.Struct, frozen=True):
    """What became of one alert. `result` is `accepted`, `ignored` or `refused`; `job` is set when it was accepted."""

    result: str
    reason: str
    job: int | None = None


def intake(
    payload: bytes | Mapping[str, Any], *, store: Jobs, specs: Mapping[str, ModelSpec], now: datetime
) -> list[Receipt]:
    """One receipt per alert of the payload, in its order. `now` is event time.

    Raises:
        MalformedAlert: the payload is not Alertmanager's; nothing of it was taken.
    """
    return [_receipt(alert, store=store, specs=specs, now=now) for alert in _decoded(payload).alerts]


def _decoded(payload: bytes | Mapping[str, Any]) -> Payload:
    try:
        if isinstance(payload, bytes):
            found = msgspec.json.decode(payload, type=Payload)
        else:
            found = msgspec.convert(payload, type=Payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedAlert(f"the body is no Alertmanager webhook payload: {error}") from error
    if found.version != "4":
        raise MalformedAlert(f"found webhook version {found.version[:16]!r}, expected '4'")
    return found


def _receipt(alert: Alert, *, store: Jobs, specs: Mapping[str, ModelSpec], now: datetime) -> Receipt:
    if alert.status != "firing":
        return Receipt("ignored", f"status is {alert.status[:32]!r}, only firing alerts start work")
    if (name := alert.labels.get("alertname", "")) not in RETRAINING_ALERTS:
        return Receipt("refused", f"alert {name[:64]!r} starts no retraining; {', '.join(RETRAINING_ALERTS)} does")
    spec = specs.get(alert.labels.get("model", ""))
    if spec is None:
        return Receipt("refused", f"no model {alert.labels.get('model', '')[:64]!r}; there are {', '.join(specs)}")
    try:
        since = alert.since
    except (KeyError, ValueError, OverflowError) as error:
        # The last one: an offset that carries the first or the last day out of the calendar.
        return Receipt("refused", f"annotation 'since' is no time with an offset: {error}")
    past = store.jobs(spec.name, limit=JOBS_REMEMBERED)
    if reason := _too_soon(spec, alert, past, now):
        return Receipt("ignored", reason)
    # Nothing can have changed later than now, and a job that waits for outcomes of the future blocks its model.
    return _opened(spec, alert, min(since, now), store=store, now=now)


def _too_soon(spec: ModelSpec, alert: Alert, past: list[Job], now: datetime) -> str | None:
    """Why this alert starts nothing now, or None.

    A refused or failed job may be tried again while its alert lasts, once the cool-down is over: outcomes have come.
    """
    for job in past:
        if job.dedupe_key == _key(alert) and job.state is JobState.PROMOTED:
            return f"job {job.id} has answered this alert with a new version"
        if job.state.open:
            return f"job {job.id} is open; a model has one at a time"
    ended = max((job.closed_at for job in past if job.closed_at is not None), default=None)
    if ended is not None and now - ended < spec.retraining.cool_down:
        return f"the last job ended at {ended.isoformat()}, cool-down {spec.retraining.cool_down}"
    today = sum(now - job.opened_at < timedelta(days=1) for job in past)
    if today >= spec.retraining.per_day:
        return f"{today} jobs within a day, at most {spec.retraining.per_day}"
    return None


def _opened(spec: ModelSpec, alert: Alert, since: datetime, *, store: Jobs, now: datetime) -> Receipt:
    job = store.open_job(
        model=spec.name,
        trigger="drift",
        dedupe_key=_key(alert),
        since=since,
        opened_at=now,
        note=alert.annotations.get("summary", "inputs drifted"),
        evidence={"features": alert.features},
    )
    if job is None:
        return Receipt("ignored", "another alert opened a job at the same moment")
    return Receipt("accepted", job.note, job.id)


def _key(alert: Alert) -> str:
    return f"{alert.fingerprint}@{alert.starts_at.isoformat()}"
