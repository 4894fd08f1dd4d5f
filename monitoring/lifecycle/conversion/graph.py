"""An ONNX graph while it is written: everything in float64, as scikit-learn computes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from monitoring.lifecycle.conversion.columns import (
    ByCategory,
    Column,
    Columns,
    Indicator,
    NotConverted,
    Number,
    numbers_of,
)
from services.core.artifacts import LABEL, POSITIVE, PROBABILITIES, REFUSED_CODE, ROW
from services.core.spec import Categorical, ModelSpec

ML: Final = "ai.onnx.ml"
OPSETS: Final = {"": 18, ML: 5}
"""Version 5 of the second has trees whose thresholds and leaves are float64; ONNX Runtime has it since 2024."""
IR_VERSION: Final = 10

GAP: Final = ""
UNKNOWN: Final = "\ufffe"
"""Stands for every word that the spec does not declare. No request can carry it."""


@dataclass(slots=True)
class Graph:
    """Nodes in the order in which they compute.

    `refused` has, for a feature's place in the row, the codes with which a part of the estimator raises.
    """

    spec: ModelSpec
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)
    refused: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    opsets: dict[str, int] = field(default_factory=lambda: dict(OPSETS))
    _tensors: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _widths: dict[str, int] = field(default_factory=dict)
    _names: int = 0

    def __post_init__(self) -> None:
        self._widths[ROW] = len(self.spec.features)

    def features(self) -> list[Column]:
        """What the estimator is given: a column per feature of the spec."""
        return [
            ByCategory(place, np.array(words_of(feature.kind), dtype=object))
            if isinstance(feature.kind, Categorical)
            else Number(ROW, place)
            for place, feature in enumerate(self.spec.features)
        ]

    def name(self) -> str:
        """A new one, which no feature can have."""
        self._names += 1
        return f":{self._names}"

    def node(self, kind: str, *inputs: str | NDArray[Any] | float, domain: str = "", **attributes: Any) -> str:
        """Add one; what it reads are names, or constants. Returns the name of what it computes."""
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        output = self.name()
        self.nodes.append(helper.make_node(kind, names, [output], domain=domain, **attributes))
        return output

    def constant(self, value: NDArray[Any] | float) -> str:
        name = self.name()
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def cast(self, tensor: str, to: int = TensorProto.DOUBLE) -> str:
        return self.node("Cast", tensor, to=to)

    def columns(self, tensor: str, width: int) -> list[Column]:
        """All columns of a tensor that was computed."""
        self._widths[tensor] = width
        return [Number(tensor, place) for place in range(width)]

    def tensor(self, columns: Columns) -> str:
        """The columns side by side, float64 [n, len(columns)]. Raises `NotConverted` where words are among them."""
        key = tuple(columns)
        if key not in self._tensors:
            self._tensors[key] = self._joined(columns)
        return self._tensors[key]

    def _joined(self, columns: Columns) -> str:
        """Columns of one origin together, whatever stands between them: few steps matter more than their order."""
        if not columns:
            raise NotConverted("a part of the estimator takes no column at all")
        places: dict[str, list[int]] = defaultdict(list)
        for place, column in enumerate(columns):
            places[column.tensor if isinstance(column, Number) else type(column).__name__].append(place)
        parts = [self._of_one_origin([columns[place] for place in group]) for group in places.values()]
        joined = parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=1)
        order = np.argsort(np.concatenate([np.array(group) for group in places.values()]))
        return self._taken(joined, order, len(columns))

    def _of_one_origin(self, columns: Columns) -> str:
        first = columns[0]
        if isinstance(first, Number):
            numbers = [each.place for each in columns if isinstance(each, Number)]
            return self._taken(first.tensor, np.array(numbers), self._widths[first.tensor])
        if isinstance(first, Indicator):
            return self._indicators([each for each in columns if isinstance(each, Indicator)])
        return self._looked_up([each for each in columns if isinstance(each, ByCategory)])

    def _taken(self, tensor: str, places: NDArray[Any], width: int) -> str:
        if np.array_equal(places, np.arange(width)):
            return tensor
        return self.node("Gather", tensor, places.astype(np.int64), axis=1)

    def _indicators(self, columns: Sequence[Indicator]) -> str:
        codes = self.node("Gather", ROW, np.array([each.feature for each in columns]), axis=1)
        return self.cast(self.node("Equal", codes, np.array([[float(each.code) for each in columns]])))

    def _looked_up(self, columns: Sequence[ByCategory]) -> str:
        """Tables one behind the other, read at the code plus where the column's own begins."""
        tables = [numbers_of(each) for each in columns]
        begins = np.cumsum([0, *map(len, tables)])[:-1]
        codes = self.cast(
            self.node("Gather", ROW, np.array([each.feature for each in columns]), axis=1), TensorProto.INT64
        )
        return self.node("Gather", np.concatenate(tables), self.node("Add", codes, begins[None, :]), axis=0)

    def model(self, positive: str) -> ModelProto:
        """Around what was written: an input for each feature in front, label and probabilities behind."""
        front = [node for place in range(len(self.spec.features)) for node in self._input(place)]
        names = [f"{feature.name}:in" for feature in self.spec.features]
        front.append(helper.make_node("Concat", names, [ROW], axis=1))
        self.nodes.append(helper.make_node("Identity", [positive], [POSITIVE]))
        negative = self.node("Sub", np.ones(1), POSITIVE)
        behind = [
            helper.make_node("Concat", [negative, POSITIVE], [PROBABILITIES], axis=1),
            helper.make_node("ArgMax", [PROBABILITIES], [LABEL], axis=1, keepdims=0),
        ]
        graph = helper.make_graph(
            [*front, *self.nodes, *behind],
            self.spec.name,
            [
                helper.make_tensor_value_info(
                    each.name,
                    TensorProto.STRING if isinstance(each.kind, Categorical) else TensorProto.DOUBLE,
                    [None, 1],
                )
                for each in self.spec.features
            ],
            [
                helper.make_tensor_value_info(LABEL, TensorProto.INT64, [None]),
                helper.make_tensor_value_info(PROBABILITIES, TensorProto.DOUBLE, [None, 2]),
            ],
            initializer=self.constants,
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)

    def _input(self, place: int) -> list[NodeProto]:
        feature = self.spec.features[place]
        into = f"{feature.name}:in"
        if not isinstance(feature.kind, Categorical):
            return [helper.make_node("Identity", [feature.name], [into])]
        codes = self._codes(feature.kind, self.refused[place])
        encoder = helper.make_node(
            "LabelEncoder",
            [feature.name],
            [f"{feature.name}:code"],
            domain=ML,
            keys_strings=[word for word in codes if word != UNKNOWN],
            values_int64s=[code for word, code in codes.items() if word != UNKNOWN],
            default_int64=codes.get(UNKNOWN, REFUSED_CODE),
        )
        return [encoder, helper.make_node("Cast", [f"{feature.name}:code"], [into], to=TensorProto.DOUBLE)]

    @staticmethod
    def _codes(kind: Categorical, refused: set[int]) -> Mapping[str, int]:
        return {word: code for code, word in enumerate(words_of(kind)) if code not in refused}


def words_of(kind: Categorical) -> tuple[str, ...]:
    """A category's words by their codes: what the spec declares, the gap, and what stands for every other word."""
    return (*kind.categories, GAP, UNKNOWN)
