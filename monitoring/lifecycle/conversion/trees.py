"""Trees of scikit-learn as one TreeEnsemble: the same thresholds, leaves and ways of gaps, in float64."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from monitoring.lifecycle.conversion.columns import ByCategory, Column, Columns, NotConverted, Number, numbers_by_code
from monitoring.lifecycle.conversion.graph import ML, Graph
from monitoring.lifecycle.conversion.transformers import transformed

_LEQ: Final = 0
"""The mode of a node that goes to its true branch where the value is at most its split."""

_SUM: Final = 1


@dataclass(frozen=True, slots=True)
class Tree:
    """Arrays of one entry per node; the first is the root.

    A row goes left where its value is at most the threshold, or is NaN and `gap_left` says so. `left` and `right` are
    -1 at a leaf, and `value` counts there alone.
    """

    feature: NDArray[Any]
    threshold: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    gap_left: NDArray[Any]
    value: NDArray[Any]

    @property
    def leaf(self) -> NDArray[Any]:
        return self.left < 0

    @property
    def split(self) -> NDArray[Any]:
        """The features that it looks at."""
        return np.unique(self.feature[~self.leaf])


def tree_of(tree: Any, value: NDArray[Any], *, of: NDArray[Any] | None = None) -> Tree:
    """A `tree_` of scikit-learn, whose leaves say these values; `of` are the columns that it was given, if not all."""
    return Tree(
        feature=tree.feature if of is None else np.asarray(of)[tree.feature],
        threshold=tree.threshold,
        left=tree.children_left,
        right=tree.children_right,
        gap_left=np.asarray(tree.missing_go_to_left, dtype=bool),
        value=np.asarray(value, dtype=float),
    )


def sum_of_float32(graph: Graph, trees: Sequence[Tree], columns: Columns) -> str:
    """As `sum_of`, of trees that look at their numbers as float32, as all of scikit-learn's do but one kind."""
    return sum_of(graph, trees, columns, as_float32=True)


def sum_of(graph: Graph, trees: Sequence[Tree], columns: Columns, *, as_float32: bool = False) -> str:
    """What the leaves that a row falls into add up to, float64 [n, 1]."""
    used = np.unique(np.concatenate([tree.split for tree in trees]))
    tensor = graph.tensor([columns[place] for place in used] or columns[:1])
    if as_float32:
        tensor = graph.cast(graph.cast(tensor, TensorProto.FLOAT))
    return graph.node("TreeEnsemble", tensor, domain=ML, **_attributes(trees, used))


def _attributes(trees: Sequence[Tree], used: NDArray[Any]) -> dict[str, Any]:
    joined = [_numbered(tree, used) for tree in trees]
    nodes = np.cumsum([0, *(len(each["features"]) for each in joined)])
    leaves = np.cumsum([0, *(len(each["weights"]) for each in joined)])

    def ids(side: str) -> list[int]:
        return _flat(
            np.where(each[f"{side}_leaf"], each[side] + leaf, each[side] + node)
            for each, node, leaf in zip(joined, nodes, leaves, strict=False)
        )

    def all_of(name: str) -> NDArray[Any]:
        return np.concatenate([each[name] for each in joined])

    return {
        "aggregate_function": _SUM,
        "n_targets": 1,
        "post_transform": 0,
        "tree_roots": nodes[:-1].tolist(),
        "nodes_featureids": all_of("features").tolist(),
        "nodes_splits": _tensor(all_of("splits").astype(np.float64)),
        "nodes_modes": _tensor(np.full(nodes[-1], _LEQ, dtype=np.uint8)),
        "nodes_missing_value_tracks_true": all_of("gaps").astype(int).tolist(),
        "nodes_truenodeids": ids("left"),
        "nodes_falsenodeids": ids("right"),
        "nodes_trueleafs": all_of("left_leaf").astype(int).tolist(),
        "nodes_falseleafs": all_of("right_leaf").astype(int).tolist(),
        "leaf_targetids": [0] * int(leaves[-1]),
        "leaf_weights": _tensor(all_of("weights").astype(np.float64)),
    }


def _numbered(tree: Tree, used: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Its splits and its leaves apart, each counted from 0."""
    leaf = tree.leaf
    if leaf[0]:
        return _trunk(tree.value[:1])
    inner = ~leaf
    number = np.where(leaf, np.cumsum(leaf), np.cumsum(inner)) - 1
    return {
        "features": np.searchsorted(used, tree.feature[inner]),
        "splits": tree.threshold[inner],
        "gaps": tree.gap_left[inner],
        "left": number[tree.left[inner]],
        "right": number[tree.right[inner]],
        "left_leaf": leaf[tree.left[inner]],
        "right_leaf": leaf[tree.right[inner]],
        "weights": tree.value[leaf],
    }


def _trunk(value: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """A tree without a split: ONNX wants one, so both ways lead to the same leaf."""
    zero, yes = np.zeros(1, dtype=int), np.ones(1, dtype=bool)
    return {
        "features": zero,
        "splits": np.zeros(1),
        "gaps": yes,
        "left": zero,
        "right": zero,
        "left_leaf": yes,
        "right_leaf": yes,
        "weights": value,
    }


def _flat(parts: Any) -> list[int]:
    return [int(each) for part in parts for each in part]


def _tensor(values: NDArray[Any]) -> TensorProto:
    return numpy_helper.from_array(values)


# Histogram gradient boosting looks at float64, and splits on sets of categories.


def boosted_sum(graph: Graph, estimator: Any, columns: Columns) -> str:
    """What the trees of a histogram gradient boosting add up to, without its baseline."""
    if estimator._preprocessor is not None:  # noqa: SLF001 - where its categories become numbers
        columns = transformed(graph, estimator._preprocessor, columns)  # noqa: SLF001
    sets = _Sets(estimator, list(columns))
    trees = [sets.tree_of(predictor) for (predictor,) in estimator._predictors]  # noqa: SLF001 - of two classes
    return sum_of(graph, trees, sets.columns)


class _Sets:
    """Splits on sets of categories become splits on columns of their own, which say of each category where it goes."""

    def __init__(self, estimator: Any, columns: list[Column]) -> None:
        self.columns = columns
        self._made: dict[tuple[int, bytes, bool], int] = {}
        self._known, self._place_of = estimator._bin_mapper.make_known_categories_bitsets()  # noqa: SLF001

    def tree_of(self, predictor: Any) -> Tree:
        nodes = predictor.nodes
        feature, threshold = nodes["feature_idx"].astype(int), nodes["num_threshold"].copy()
        for number in np.flatnonzero((nodes["is_categorical"] == 1) & (nodes["is_leaf"] == 0)):
            goes_left = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][number]]
            feature[number] = self._column(feature[number], goes_left, bool(nodes["missing_go_to_left"][number]))
            threshold[number] = 0.5
        leaf = nodes["is_leaf"] == 1
        return Tree(
            feature=feature,
            threshold=threshold,
            left=np.where(leaf, -1, nodes["left"].astype(int)),
            right=np.where(leaf, -1, nodes["right"].astype(int)),
            gap_left=nodes["missing_go_to_left"].astype(bool),
            value=nodes["value"],
        )

    def _column(self, place: int, goes_left: NDArray[Any], gap_left: bool) -> int:
        key = (place, goes_left.tobytes(), gap_left)
        if key not in self._made:
            column = self.columns[place]
            if isinstance(column, Number):
                raise NotConverted("HistGradientBoostingClassifier splits on sets of categories that are numbers")
            known = self._known[self._place_of[place]]
            sides = [0.0 if _left(each, goes_left, known, gap_left) else 1.0 for each in numbers_by_code(column)]
            self._made[key] = len(self.columns)
            self.columns.append(ByCategory(column.feature, np.array(sides)))
        return self._made[key]


def _left(value: float, goes_left: NDArray[Any], known: NDArray[Any], gap_left: bool) -> bool:
    """As scikit-learn's predictor decides: what it does not know goes the way of gaps."""
    if np.isnan(value) or value < 0:
        return gap_left
    if _holds(goes_left, int(value)):
        return True
    return gap_left if not _holds(known, int(value)) else False


def _holds(bits: NDArray[Any], number: int) -> bool:
    return bool(bits[number // 32] >> np.uint32(number % 32) & np.uint32(1))
