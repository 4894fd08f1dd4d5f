"""What the service tells about its models: the spec as JSON, and a plain page of links."""

from datetime import timedelta
from html import escape
from typing import Any

from services.core.spec import Categorical, Feature, Impute, Measure, ModelSpec, Numeric
from services.entrypoints.worker import HostedModel


def model_line(hosted: HostedModel) -> dict[str, Any]:
    spec = hosted.spec
    return {"name": spec.name, "meaning": spec.meaning, "owner": spec.owner, "version": hosted.version}


def model_card(hosted: HostedModel, *, versions: list[str]) -> dict[str, Any]:
    """Everything that the spec declares; `version` is what this worker answers with, "" while the rule answers."""
    spec = hosted.spec
    task = spec.task
    return {
        **model_line(hosted),
        "versions": versions,
        **_served(hosted),
        "problem": hosted.problem,
        "entity": spec.entity,
        "task": {
            "positive": task.positive,
            "negative": task.negative,
            "outcome_delay_seconds": task.outcome_delay.total_seconds(),
        },
        "features": [_feature(feature) for feature in spec.features],
        "measures": [_measure(measure) for measure in spec.measures],
        "slices": spec.slices,
        "objectives": _objectives(spec),
        "control_share": hosted.predictor.control_share,
        "last_resort": {"label": spec.last_resort.label, "action": spec.last_resort.action},
    }


def index_page(models: list[HostedModel]) -> str:
    """Plain links; nothing is loaded from anywhere."""
    rows = "".join(
        f"<li><a href='/v1/models/{escape(hosted.spec.name)}'>{escape(hosted.spec.name)}</a>"
        f" ({escape(hosted.version or 'the rule answers')}): {escape(hosted.spec.meaning)}</li>"
        for hosted in models
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Bellwether</title><h1>Bellwether</h1>"
        f"<p>Models served here:</p><ul>{rows}</ul>"
        "<p><a href='/metrics'>metrics</a> · <a href='/readyz'>ready</a> · <a href='/livez'>alive</a></p></html>"
    )


def _served(hosted: HostedModel) -> dict[str, Any]:
    """What scores, why it is not ONNX, and how far it is from the trained estimator; nulls while the rule answers."""
    serving = hosted.watch.champion()
    if serving is None:
        return {"served_form": None, "not_converted": None, "parity": None}
    manifest = serving.manifest
    return {
        "served_form": manifest.served_form.value,
        "not_converted": manifest.not_converted or None,
        "parity": manifest.parity,
    }


def _feature(feature: Feature) -> dict[str, Any]:
    return {
        "name": feature.name,
        **_kind(feature.kind),
        "source": feature.source.value,
        "meaning": feature.meaning,
        "owner": feature.owner,
        "refreshed": feature.refreshed,
        "max_age_seconds": _seconds(feature.max_age),
        "known_after_seconds": _seconds(feature.known_after),
        **_without(feature),
    }


def _kind(kind: Numeric | Categorical) -> dict[str, Any]:
    if isinstance(kind, Categorical):
        return {"kind": "categorical", "categories": kind.categories}
    return {"kind": "numeric", "low": kind.low, "high": kind.high}


def _without(feature: Feature) -> dict[str, Any]:
    if isinstance(feature.if_unavailable, Impute):
        return {"if_unavailable": "impute", "imputed": feature.if_unavailable.value}
    return {"if_unavailable": feature.if_unavailable.value}


def _measure(measure: Measure) -> dict[str, Any]:
    return {"name": measure.name, "good": measure.good.value, "unit": measure.unit, "meaning": measure.meaning}


def _objectives(spec: ModelSpec) -> dict[str, Any]:
    objectives = spec.objectives
    return {
        "p99_seconds": objectives.p99.total_seconds(),
        "answered": objectives.answered,
        "answered_by_model": objectives.answered_by_model,
    }


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
