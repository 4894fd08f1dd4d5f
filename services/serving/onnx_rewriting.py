"""Rewrites a graph that skl2onnx wrote, as versions of before are stored, into one with a single input: the row.

Handing over an array costs ONNX Runtime as much as several operators, strings cost more, and that converter writes an
operator per category; on one row the arithmetic hardly counts. The file that is stored stays as it was converted.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from services.core.artifacts import PROBABILITIES, ROW
from services.core.spec import Categorical, ModelSpec, Numeric
from services.serving.onnx_packing import GAP, Codes, Packed, attributes_of, needed, read_by

_GAP_CODE: Final = -1.0
_NEVER: Final = -2.0


def rewrite(model: ModelProto, spec: ModelSpec) -> Packed:
    """A graph that computes the probabilities of `model` from whole rows of float32, and nothing else of it."""
    packing = _Packing(model, spec)
    joined = [each for node in model.graph.node for each in packing.joined(node)]
    nodes = needed([*packing.features(), *joined], PROBABILITIES)
    read = set().union(*map(read_by, nodes))
    graph = helper.make_graph(
        nodes,
        model.graph.name,
        [helper.make_tensor_value_info(ROW, TensorProto.FLOAT, [None, len(spec.features)])],
        [each for each in model.graph.output if each.name == PROBABILITIES],
        initializer=[each for each in (*model.graph.initializer, *packing.constants) if each.name in read],
    )
    packed = helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    codes = tuple(packing.codes.get(name) for name in spec.feature_names)
    return Packed(packed, codes, PROBABILITIES, np.float32)


class _Packing:
    def __init__(self, model: ModelProto, spec: ModelSpec) -> None:
        self.constants: list[TensorProto] = []
        self.codes: dict[str, Codes] = {
            each.name: {word: float(place) for place, word in enumerate(each.kind.categories)} | {GAP: _GAP_CODE}
            for each in spec.features
            if isinstance(each.kind, Categorical)
        }
        self._features = spec.features
        self._column = {name: column for column, name in enumerate(spec.feature_names)}
        self._made_by = {name: node for node in model.graph.node for name in node.output}

    def features(self) -> Iterator[NodeProto]:
        """Each feature taken out of the row, named as the graph knows it: [n, 1], categories as the words they are."""
        for feature in self._features:
            name, column = feature.name, self._column[feature.name]
            if isinstance(feature.kind, Numeric):
                yield self._taken([column], name)
            else:
                # The code of a gap, -1, takes the last of them.
                words = self._constant(f"{name}:words", np.array([*feature.kind.categories, GAP], dtype=object))
                yield self._taken([column], f"{name}:code")
                yield helper.make_node("Cast", [f"{name}:code"], [f"{name}:place"], to=TensorProto.INT64)
                yield helper.make_node("Gather", [words, f"{name}:place"], [name], axis=0)

    def joined(self, node: NodeProto) -> list[NodeProto]:
        """What does as `node` does in fewer steps where that joins numbers, or indicators of categories."""
        if node.op_type != "Concat":
            return [node]
        axis = attributes_of(node)["axis"]
        if axis in (1, -1) and all(name in self._column and name not in self.codes for name in node.input):
            return [self._taken([self._column[name] for name in node.input], node.output[0])]
        encoders = [self._made_by[name] for name in node.input if name in self._made_by]
        if axis in (2, -1) and len(encoders) == len(node.input) and all(map(self._encodes_a_feature, encoders)):
            return self._indicators(encoders, node.output[0])
        return [node]

    def _encodes_a_feature(self, node: NodeProto) -> bool:
        return node.op_type == "OneHotEncoder" and node.input[0] in self.codes

    def _indicators(self, encoders: Sequence[NodeProto], output: str) -> list[NodeProto]:
        """1.0 where a column has the code of a category, for all categories of all encoders at once: [n, 1, all]."""
        columns, wanted = [], []
        for encoder in encoders:
            feature = encoder.input[0]
            words = [each.decode() for each in attributes_of(encoder)["cats_strings"]]
            columns += [self._column[feature]] * len(words)
            wanted += [self.codes[feature].get(word, _NEVER) for word in words]
            if not attributes_of(encoder).get("zeros", 1):
                known = set(words)
                self.codes[feature] = {word: code for word, code in self.codes[feature].items() if word in known}
        codes = self._constant(f"{output}:wanted", np.array([[wanted]], np.float32))
        return [
            self._taken([columns], f"{output}:codes"),
            helper.make_node("Equal", [f"{output}:codes", codes], [f"{output}:equal"]),
            helper.make_node("Cast", [f"{output}:equal"], [output], to=TensorProto.FLOAT),
        ]

    def _taken(self, columns: list[Any], output: str) -> NodeProto:
        """These columns of the row, in the shape of `columns` behind the row's own dimension."""
        return helper.make_node(
            "Gather", [ROW, self._constant(f"{output}:columns", np.array(columns))], [output], axis=1
        )

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name
