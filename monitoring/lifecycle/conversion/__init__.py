"""From a fitted scikit-learn estimator to its ONNX form."""

from typing import Any

from monitoring.lifecycle.conversion.classifiers import probability
from monitoring.lifecycle.conversion.columns import Columns, NotConverted
from monitoring.lifecycle.conversion.foreign import REASON_LENGTH, reason_of
from monitoring.lifecycle.conversion.graph import Graph
from services.core.spec import ModelSpec

__all__ = ["REASON_LENGTH", "NotConverted", "reason_of", "to_onnx"]


def to_onnx(spec: ModelSpec, estimator: Any) -> bytes:
    """The ONNX form as `services.core.artifacts.ONNX_FILE` describes it. Raises `NotConverted`."""
    graph = Graph(spec)
    try:
        model = graph.model(probability(graph, estimator, _given(graph, estimator)))
    except NotConverted:
        raise
    except Exception as error:  # a part that was fitted in a way that nobody thought of
        raise NotConverted(reason_of(error)) from error
    return bytes(model.SerializeToString())


def _given(graph: Graph, estimator: Any) -> Columns:
    """The columns that it was fitted with, in their order."""
    columns = dict(zip(graph.spec.feature_names, graph.features(), strict=True))
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        return list(columns.values())
    if unknown := [str(name) for name in names if name not in columns]:
        raise NotConverted(f"the estimator was fitted with columns that are no features: {', '.join(unknown)}")
    return [columns[name] for name in names]
