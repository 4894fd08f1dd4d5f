"""Confirmed drift as an Alertmanager webhook payload (version 4), so that there is one way into the lifecycle."""

import hashlib
import json
from typing import Any, Final

from services.core.records import EvaluationResult, ResultStatus
from services.core.spec import ModelSpec

ALERT: Final = "ModelInputDrift"
RECEIVER: Final = "lifecycle"


def drift_alert(spec: ModelSpec, result: EvaluationResult) -> dict[str, Any] | None:
    """The payload for a drift result, or None when it confirms nothing or its window did not count as a new one.

    Handed over again with each counted window while the drift lasts, as Alertmanager repeats a firing alert;
    `fingerprint` and `startsAt` stay the same, so the receiver can tell.
    """
    body = result.body
    if result.status is not ResultStatus.OK or not (body["confirmed"] and body["is_new_window"]):
        return None
    labels = {"alertname": ALERT, "model": spec.name, "severity": "ticket", "version": result.version}
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{ALERT}", model="{spec.name}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": RECEIVER,
        "groupLabels": {"alertname": ALERT, "model": spec.name},
        "commonLabels": labels,
        "commonAnnotations": {},
        "externalURL": "",
        "alerts": [_alert(spec, body, labels)],
    }


def _alert(spec: ModelSpec, body: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    features = body["confirmed_features"]
    return {
        "status": "firing",
        "labels": labels,
        "annotations": {
            "summary": f"The inputs of {spec.name} differ from its training: {', '.join(features)}",
            "features": ",".join(features),
            "since": body["since"],
        },
        "startsAt": body["since"],
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": _fingerprint(labels),
    }


def _fingerprint(labels: dict[str, str]) -> str:
    """Sixteen hexadecimal digits of the label set, as Alertmanager's own look."""
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16]
