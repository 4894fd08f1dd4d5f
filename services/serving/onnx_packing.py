"""The part of a graph that a worker runs: from the row, as one array of numbers, to P(positive).

Handing over an array costs ONNX Runtime as much as several operators, and strings cost more. So the words of a request
become their codes in Python, and what stands in front of the row in the stored graph is left out, as is what stands
behind P(positive). The file that is stored stays as it was written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from services.core.artifacts import POSITIVE, REFUSED_CODE, ROW
from services.core.spec import Categorical, ModelSpec

GAP: Final = ""

Codes = Mapping[str, float]
"""What stands in the row for each category; for a gap too. The words that the estimator refuses have none."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A graph with the input `ROW` of numbers of this type, and an output whose last column is P(positive).

    `codes` per feature in the order of the spec, None for a number.
    """

    model: ModelProto
    codes: tuple[Codes | None, ...]
    output: str
    dtype: type[np.floating[Any]]


def has_row(model: ModelProto) -> bool:
    """Whether the graph computes every score from one row, so that it can be cut there."""
    return any(ROW in node.output for node in model.graph.node)


def pack(model: ModelProto, spec: ModelSpec) -> Packed:
    """What computes P(positive) from the row, and nothing else of `model`."""
    behind = [node for node in model.graph.node if ROW not in node.output]
    nodes = needed(behind, POSITIVE, given=ROW)
    read = set().union(*map(read_by, nodes))
    graph = helper.make_graph(
        nodes,
        model.graph.name,
        [helper.make_tensor_value_info(ROW, TensorProto.DOUBLE, [None, len(spec.features)])],
        [helper.make_tensor_value_info(POSITIVE, TensorProto.DOUBLE, [None, 1])],
        initializer=[each for each in model.graph.initializer if each.name in read],
    )
    packed = helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    encoders = {node.input[0]: attributes_of(node) for node in model.graph.node if node.op_type == "LabelEncoder"}
    codes = tuple(
        _codes(each.kind, encoders[each.name]) if isinstance(each.kind, Categorical) else None for each in spec.features
    )
    return Packed(packed, codes, POSITIVE, np.float64)


def _codes(kind: Categorical, encoder: Mapping[str, Any]) -> Codes:
    """As the stored graph encodes; what it refuses is behind the end of its tables, and gets no code here."""
    known = {
        word.decode(): float(code) for word, code in zip(encoder["keys_strings"], encoder["values_int64s"], strict=True)
    }
    other = encoder["default_int64"]
    if other < REFUSED_CODE:
        return {word: known.get(word, float(other)) for word in (*kind.categories, GAP)}
    return {word: known[word] for word in (*kind.categories, GAP) if word in known}


def attributes_of(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def needed(nodes: Sequence[NodeProto], output: str, *, given: str = "") -> list[NodeProto]:
    """Those that `output` depends on besides what is `given`; what follows stands behind what it reads."""
    read = {output}
    found = []
    for node in reversed(nodes):
        if read & set(node.output):
            found.append(node)
            read |= read_by(node) - {given}
    return found[::-1]


def read_by(node: NodeProto) -> set[str]:
    """Inputs of a node, and those of the graphs inside it, which may read what is computed around them."""
    inner = [graph for each in node.attribute for graph in ([each.g] if each.HasField("g") else each.graphs)]
    return set(node.input).union(*(read_by(each) for graph in inner for each in graph.node))
