"""Parts that are not written here: skl2onnx converts them, and what it wrote becomes a part of the graph."""

import warnings
from typing import Any, Final

import numpy as np
from onnx import ModelProto, TensorProto, compose, helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

from monitoring.lifecycle.conversion.columns import Column, Columns, NotConverted
from monitoring.lifecycle.conversion.graph import ML, Graph

_OPSET: Final = {"": 18, ML: 3}
REASON_LENGTH: Final = 300
"""Longest reason that is kept. The converter's own messages go on with every number of the model."""


def foreign_transformer(graph: Graph, part: Any, columns: Columns) -> list[Column]:
    tensor, width = _spliced(graph, part, columns, {})
    if width is None:
        raise NotConverted(f"skl2onnx does not say how many columns {type(part).__name__} makes")
    return graph.columns(tensor, width)


def foreign_probability(graph: Graph, part: Any, columns: Columns) -> str:
    tensor, _ = _spliced(graph, part, columns, {id(part): {"zipmap": False}})
    return graph.node("Gather", tensor, np.array([1]), axis=1)


def _spliced(graph: Graph, part: Any, columns: Columns, options: dict[int, dict[str, bool]]) -> tuple[str, int | None]:
    """Its last output as float64, and that output's width. In float64 where skl2onnx has operators for it."""
    tensor = graph.tensor(columns)
    try:
        written, kind = _converted(part, DoubleTensorType([None, len(columns)]), options), TensorProto.DOUBLE
    except NotConverted:
        written, kind = _converted(part, FloatTensorType([None, len(columns)]), options), TensorProto.FLOAT
    prefix = graph.name()
    inner = compose.add_prefix(written, f"{prefix}:")
    (given,) = inner.graph.input
    graph.nodes.append(helper.make_node("Cast", [tensor], [given.name], to=kind))
    graph.nodes.extend(inner.graph.node)
    graph.constants.extend(inner.graph.initializer)
    graph.opsets |= {each.domain: each.version for each in inner.opset_import if each.domain not in graph.opsets}
    output = inner.graph.output[-1]
    dimensions = output.type.tensor_type.shape.dim
    width = dimensions[1].dim_value if len(dimensions) > 1 and dimensions[1].dim_value else None
    return graph.cast(output.name), width


def _converted(part: Any, given: Any, options: dict[int, dict[str, bool]]) -> ModelProto:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            written: ModelProto = convert_sklearn(
                part, initial_types=[("given", given)], options=options, target_opset=_OPSET
            )
    except Exception as error:  # the converter raises whatever it meets
        raise NotConverted(reason_of(error)) from error
    return written


def reason_of(error: Exception) -> str:
    """An error in one line."""
    words = str(error).strip() or type(error).__name__
    return words.splitlines()[0][:REASON_LENGTH]
