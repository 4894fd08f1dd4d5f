"""How the transformers of scikit-learn become columns of a graph, with its own operations in its own order.

A column of a category goes through scikit-learn itself, value by value; only columns of numbers become operations.
"""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from onnx import TensorProto
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from monitoring.lifecycle.conversion.columns import (
    ByCategory,
    Column,
    Columns,
    Indicator,
    NotConverted,
    Number,
    values_of,
)
from monitoring.lifecycle.conversion.foreign import foreign_transformer
from monitoring.lifecycle.conversion.graph import Graph

Transform = Callable[[Graph, Any, Columns], list[Column]]
Emit = Callable[[Graph, Any, str, NDArray[Any]], str]
"""Writes what a part does to some of its columns: (graph, part, their tensor, their places among all) → a tensor."""

_LARGEST_TABLE: Final = 20_000_000
"""Numbers that the tables of one encoder may hold, 160 MB: indicators of categories need none."""


def transformed(graph: Graph, part: Any, columns: Columns) -> list[Column]:
    """The columns that `part` makes of these. Raises `NotConverted`."""
    if isinstance(part, str):
        if part != "passthrough":
            raise NotConverted(f"a part of the estimator is {part!r}")
        return list(columns)
    if part is None:
        return list(columns)
    if isinstance(part, SelectorMixin):
        return [column for column, kept in zip(columns, part.get_support(), strict=True) if kept]
    convert = _TRANSFORMS.get(type(part))
    return foreign_transformer(graph, part, columns) if convert is None else convert(graph, part, columns)


def _pipeline(graph: Graph, part: Any, columns: Columns) -> list[Column]:
    for _, step in part.steps:
        columns = transformed(graph, step, columns)
    return list(columns)


def _column_transformer(graph: Graph, part: Any, columns: Columns) -> list[Column]:
    if part.transformer_weights:
        raise NotConverted("ColumnTransformer weighs its parts (transformer_weights)")
    made: list[Column] = []
    for name, inner, _ in part.transformers_:
        chosen = [columns[place] for place in part._transformer_to_input_indices[name]]  # noqa: SLF001 - nothing else tells which
        if chosen and not (isinstance(inner, str) and inner == "drop"):
            made += transformed(graph, inner, chosen)
    return made


def _union(graph: Graph, part: Any, columns: Columns) -> list[Column]:
    if part.transformer_weights:
        raise NotConverted("FeatureUnion weighs its parts (transformer_weights)")
    return [
        column
        for _, inner in part.transformer_list
        if not (isinstance(inner, str) and inner == "drop")
        for column in transformed(graph, inner, columns)
    ]


# What treats every column by itself, and makes one of each.


def _each(emit: Emit) -> Transform:
    def transform(graph: Graph, part: Any, columns: Columns) -> list[Column]:
        made: list[Column] = list(columns)
        places = [place for place, column in enumerate(columns) if isinstance(column, Number)]
        if places:
            tensor = emit(graph, part, graph.tensor([columns[place] for place in places]), np.array(places))
            for place, column in zip(places, graph.columns(tensor, len(places)), strict=True):
                made[place] = column
        for place, column in enumerate(columns):
            if isinstance(column, ByCategory):
                made[place] = ByCategory(column.feature, _by_code(graph, part, columns, place)[:, place])
        return _with_indicators(graph, part, columns, made)

    return transform


def _with_indicators(graph: Graph, part: Any, columns: Columns, made: list[Column]) -> list[Column]:
    """What `part` makes of 0 and of 1, of all indicators at once: a category of ten thousand words has as many, and a
    table for each would hold a hundred million numbers."""
    places = [place for place, column in enumerate(columns) if isinstance(column, Indicator)]
    if not places:
        return made
    rows = np.array([[_known(column) for column in columns]] * 2)
    rows[:, places] = [[0.0], [1.0]]
    without, with_it = _dense(part.transform(rows))[:, places]
    changed = [place for place, *both in zip(places, without, with_it, strict=True) if both != [0.0, 1.0]]
    if changed:
        chosen = np.isin(places, changed)
        is_one = graph.cast(graph.tensor([columns[place] for place in changed]), TensorProto.BOOL)
        tensor = graph.node("Where", is_one, with_it[chosen][None, :], without[chosen][None, :])
        for place, column in zip(changed, graph.columns(tensor, len(changed)), strict=True):
            made[place] = column
    return made


def _standard(graph: Graph, part: Any, tensor: str, places: NDArray[Any]) -> str:
    if part.with_mean:
        tensor = graph.node("Sub", tensor, part.mean_[places])
    return graph.node("Div", tensor, part.scale_[places]) if part.with_std else tensor


def _min_max(graph: Graph, part: Any, tensor: str, places: NDArray[Any]) -> str:
    tensor = graph.node("Add", graph.node("Mul", tensor, part.scale_[places]), part.min_[places])
    return _clipped(graph, tensor, *part.feature_range) if part.clip else tensor


def _max_abs(graph: Graph, part: Any, tensor: str, places: NDArray[Any]) -> str:
    tensor = graph.node("Div", tensor, part.scale_[places])
    return _clipped(graph, tensor, -1.0, 1.0) if getattr(part, "clip", False) else tensor


def _robust(graph: Graph, part: Any, tensor: str, places: NDArray[Any]) -> str:
    if part.with_centering:
        tensor = graph.node("Sub", tensor, part.center_[places])
    return graph.node("Div", tensor, part.scale_[places]) if part.with_scaling else tensor


def _clipped(graph: Graph, tensor: str, low: float, high: float) -> str:
    return graph.node("Min", graph.node("Max", tensor, np.array(float(low))), np.array(float(high)))


def _binarized(graph: Graph, part: Any, tensor: str, _places: NDArray[Any]) -> str:
    return graph.cast(graph.node("Greater", tensor, np.array(float(part.threshold))))


def _binned(graph: Graph, part: Any, tensor: str, places: NDArray[Any]) -> str:
    """Of how many of its column's inner edges a number is at least as large."""
    edges = [part.bin_edges_[place][1:-1] for place in places]
    of = np.repeat(np.arange(len(places)), [len(each) for each in edges])
    each = graph.node("Gather", tensor, of, axis=1)
    reached = graph.cast(graph.node("GreaterOrEqual", each, np.concatenate(edges)[None, :]))
    return graph.node("MatMul", reached, (of[:, None] == np.arange(len(places))[None, :]).astype(float))


_bin_numbers: Final = _each(_binned)


def _bins(graph: Graph, part: Any, columns: Columns) -> list[Column]:
    if not all(isinstance(column, Number) for column in columns):
        raise NotConverted("KBinsDiscretizer is given categories")
    codes = _bin_numbers(graph, part, columns)
    if part.encode == "ordinal":
        return codes
    bins = [int(number) for number in part.n_bins_]
    of = np.repeat(np.arange(len(bins)), bins)
    each = graph.node("Gather", graph.tensor(codes), of, axis=1)
    wanted = np.concatenate([np.arange(number, dtype=float) for number in bins])
    return graph.columns(graph.cast(graph.node("Equal", each, wanted[None, :])), len(of))


_FUNCTIONS: Final[dict[Any, Sequence[str]]] = {
    np.log: ("Log",),
    np.exp: ("Exp",),
    np.sqrt: ("Sqrt",),
    np.abs: ("Abs",),
    np.log1p: ("Log",),
}


def _applied(graph: Graph, part: Any, tensor: str, _places: NDArray[Any]) -> str:
    if part.func is np.log1p:
        tensor = graph.node("Add", tensor, np.array(1.0))
    for kind in _FUNCTIONS[part.func]:
        tensor = graph.node(kind, tensor)
    return tensor


_apply_to_each: Final = _each(_applied)


def _function(graph: Graph, part: Any, columns: Columns) -> list[Column]:
    if part.func is None or _only_checks(part.func):
        return list(columns)
    if part.func not in _FUNCTIONS or part.kw_args:
        raise NotConverted(f"FunctionTransformer calls {getattr(part.func, '__name__', part.func)}")
    return _apply_to_each(graph, part, columns)


def _only_checks(function: Any) -> bool:
    """What a gradient boosting puts in front of its numbers."""
    called = getattr(function, "func", None)
    return getattr(called, "__name__", "") == "check_array" and "sklearn" in getattr(called, "__module__", "")


def _quantiles(graph: Graph, part: Any, columns: Columns) -> list[Column]:
    if part.output_distribution != "uniform":
        return foreign_transformer(graph, part, columns)
    return _rank_each(graph, part, columns)


def _ranked(graph: Graph, part: Any, tensor: str, places: NDArray[Any]) -> str:
    """Where among the quantiles a number lies: from below and from above, and the mean, for some may be equal."""
    shares = part.references_
    made = []
    for column, place in enumerate(places):
        quantiles = part.quantiles_[:, place]
        number = graph.node("Gather", tensor, np.array([column]), axis=1)
        below = _interpolated(graph, number, quantiles, shares)
        above = _interpolated(graph, graph.node("Neg", number), -quantiles[::-1], -shares[::-1])
        ranked = graph.node("Mul", graph.node("Sub", below, above), np.array(0.5))
        for end, share in ((quantiles[-1], 1.0), (quantiles[0], 0.0)):
            ranked = graph.node("Where", graph.node("Equal", number, np.array(end)), np.array(share), ranked)
        made.append(graph.node("Where", graph.node("IsNaN", number), number, ranked))
    return made[0] if len(made) == 1 else graph.node("Concat", *made, axis=1)


_rank_each: Final = _each(_ranked)


def _interpolated(graph: Graph, number: str, x: NDArray[Any], y: NDArray[Any]) -> str:
    """As numpy.interp: from the last of the x that were reached along its slope, the first y before all of them."""
    reached = graph.node("ReduceSum", graph.cast(graph.node("GreaterOrEqual", number, x[None, :])), np.array([1]))
    place = graph.node("Max", graph.node("Sub", graph.cast(reached, TensorProto.INT64), np.array(1)), np.array(0))
    with np.errstate(all="ignore"):
        slopes = np.append(np.where(np.diff(x) > 0, np.diff(y) / np.diff(x), 0.0), 0.0)
    along = graph.node("Sub", number, graph.node("Gather", x, place, axis=0))
    risen = graph.node("Mul", graph.node("Gather", slopes, place, axis=0), along)
    found = graph.node("Add", risen, graph.node("Gather", y, place, axis=0))
    return graph.node("Where", graph.node("Less", number, np.array(x[0])), np.array(y[0]), found)


# Gaps.


def _imputer(graph: Graph, part: Any, columns: Columns) -> list[Column]:
    statistics = np.asarray(part.statistics_, dtype=object)
    keeps_all = part.keep_empty_features or part.strategy == "constant"
    kept = [place for place in range(len(columns)) if keeps_all or not _is_nan(statistics[place])]
    numbers = [place for place in kept if _may_lack(part, columns[place])]
    filled = iter(_filled(graph, part, [columns[place] for place in numbers], statistics[numbers]))
    made: list[Column] = []
    for output, place in enumerate(kept):
        column = columns[place]
        if isinstance(column, ByCategory):
            made.append(ByCategory(column.feature, _by_code(graph, part, columns, place)[:, output]))
        else:
            made.append(next(filled) if _may_lack(part, column) else column)
    return made + (_missing_indicator(graph, part.indicator_, columns) if part.add_indicator else [])


def _may_lack(part: Any, column: Column) -> bool:
    """Whether an operation has to look for its gaps: an indicator is 0 or 1, and a category's values are known."""
    return isinstance(column, Number) or (isinstance(column, Indicator) and not _is_nan(part.missing_values))


def _filled(graph: Graph, part: Any, numbers: Columns, statistics: NDArray[Any]) -> list[Column]:
    if not numbers:
        return []
    tensor = graph.tensor(numbers)
    missing = _missing(graph, tensor, part.missing_values)
    return graph.columns(graph.node("Where", missing, statistics.astype(float)[None, :], tensor), len(numbers))


def _missing_indicator(graph: Graph, part: Any, columns: Columns) -> list[Column]:
    chosen = [columns[place] for place in part.features_]
    numbers = [column for column in chosen if not isinstance(column, ByCategory)]
    told: Iterator[Column] = iter(())
    if numbers:
        missing = graph.cast(_missing(graph, graph.tensor(numbers), part.missing_values))
        told = iter(graph.columns(missing, len(numbers)))
    return [_gaps(column, part.missing_values) if isinstance(column, ByCategory) else next(told) for column in chosen]


def _gaps(column: ByCategory, value: Any) -> ByCategory:
    gap = pd.isna(column.values) if _is_nan(value) else column.values == value
    return ByCategory(column.feature, np.asarray(gap, dtype=float))


def _missing(graph: Graph, tensor: str, value: Any) -> str:
    return graph.node("IsNaN", tensor) if _is_nan(value) else graph.node("Equal", tensor, np.array(float(value)))


def _is_nan(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


# Encoders.


def _one_hot(graph: Graph, part: Any, columns: Columns) -> list[Column]:
    part = copy.copy(part)
    part.sparse_output = True
    made: list[Column] = []
    for place, column in enumerate(columns):
        alone = _of_one_column(part, place)
        if isinstance(column, Number):
            made += _of_numbers(graph, alone, column)
        else:
            made += _split(column.feature, _by_code(graph, alone, [column], 0))
    return made


def _codes(graph: Graph, part: Any, columns: Columns) -> list[Column]:
    """Ordinal and target encoding: a number for each category."""
    made: list[Column] = []
    for place, column in enumerate(columns):
        alone = _of_one_column(part, place)
        if isinstance(column, Number):
            made += _of_numbers(graph, alone, column)
        else:
            made.append(ByCategory(column.feature, _by_code(graph, alone, [column], 0)[:, 0]))
    return made


_FITTED_BY_COLUMN: Final = (
    "categories_",
    "encodings_",
    "drop_idx_",
    "_drop_idx_after_grouping",
    "_infrequent_indices",
    "_default_to_infrequent_mappings",
    "_n_features_outs",
)


def _of_one_column(encoder: Any, place: int) -> Any:
    """The same encoder of one column: one that is asked about each of hundreds by itself looks through all of them."""
    alone = copy.copy(encoder)
    alone.n_features_in_ = 1
    vars(alone).pop("feature_names_in_", None)
    for name in _FITTED_BY_COLUMN:
        fitted = getattr(encoder, name, None)
        if fitted is not None:
            setattr(alone, name, fitted[place : place + 1])
    missing = getattr(encoder, "_missing_indices", {})
    alone._missing_indices = {0: missing[place]} if place in missing else {}  # noqa: SLF001 - as the others
    return alone


def _split(feature: int, encoded: Any) -> list[Column]:
    """A column per output of an encoder; an indicator where it is 1 for one code, and 0 for every other."""
    encoded = sparse.csc_matrix(encoded)
    made: list[Column] = []
    tables = 0
    for place in range(encoded.shape[1]):
        column = encoded[:, [place]]
        if column.nnz == 1 and column.data[0] == 1.0:
            made.append(Indicator(feature, int(column.indices[0]), encoded.shape[0]))
        else:
            tables += encoded.shape[0]
            if tables > _LARGEST_TABLE:
                raise NotConverted(f"an encoder's tables are larger than {_LARGEST_TABLE:,} numbers")
            made.append(ByCategory(feature, column.toarray()[:, 0]))
    return made


def _of_numbers(graph: Graph, part: Any, column: Number) -> list[Column]:
    """Of a column of numbers that an encoder of this column alone takes for categories."""
    known = np.array([each for each in part.categories_[0] if not _is_nan(each)], dtype=float)
    strange = float(np.nextafter(np.max(np.abs(known), initial=0.0), np.inf))
    rows = _dense(_transformed_values(graph, part, [column], 0, np.array([*known, strange, np.nan])))
    if np.isnan(rows[: len(known)]).any():
        raise NotConverted(f"{type(part).__name__} makes NaN of a number that it knows")
    number = graph.tensor([column])
    equal = graph.cast(graph.node("Equal", number, known[None, :]))
    found = graph.node("Greater", graph.node("ReduceSum", equal, np.array([1])), np.array(0.0))
    coded = graph.node("Where", found, graph.node("MatMul", equal, rows[: len(known)]), rows[-2][None, :])
    coded = graph.node("Where", graph.node("IsNaN", number), rows[-1][None, :], coded)
    return graph.columns(coded, rows.shape[1])


# Several columns at once.


def _polynomial(graph: Graph, part: Any, columns: Columns) -> list[Column]:
    """Products of the columns, a factor at a time from the last one on; the column behind the last is 1."""
    tensor = graph.tensor(columns)
    ones = graph.node("Expand", np.ones((1, 1)), _rows_by_one(graph, tensor))
    wide = graph.node("Concat", tensor, ones, axis=1)
    factors = [np.repeat(np.arange(len(columns)), powers)[::-1] for powers in part.powers_]
    longest = max(map(len, factors))
    padded = np.array([np.pad(each, (0, longest - len(each)), constant_values=len(columns)) for each in factors])
    product = graph.node("Gather", wide, padded[:, 0], axis=1)
    for step in range(1, longest):
        product = graph.node("Mul", product, graph.node("Gather", wide, padded[:, step], axis=1))
    return graph.columns(product, len(factors))


def _rows_by_one(graph: Graph, tensor: str) -> str:
    return graph.node("Concat", graph.node("Shape", tensor, start=0, end=1), np.array([1]), axis=0)


# What scikit-learn itself makes of a category.


def _by_code(graph: Graph, part: Any, columns: Columns, place: int) -> Any:
    """What `part` makes of each code of the column at `place`, the others being one that it knows: [codes, outputs]."""
    column = columns[place]
    if isinstance(column, Number):
        raise TypeError("a column of numbers has no codes")
    values = values_of(column)
    return _transformed_values(graph, part, columns, place, values, feature=column.feature)


def _transformed_values(
    graph: Graph, part: Any, columns: Columns, place: int, values: NDArray[Any], *, feature: int | None = None
) -> Any:
    """Raises nothing for values with which scikit-learn raises: they are refused, and what stands there is not read."""
    known = [_known(column) for column in columns]
    numeric = all(isinstance(each, float) for each in known) and values.dtype != object
    rows = np.empty((len(values), len(columns)), dtype=float if numeric else object)
    rows[:] = np.array(known, dtype=rows.dtype)[None, :]
    rows[:, place] = values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts, refused = _attempted(part, rows, first=0)
    if not parts:
        raise NotConverted(f"{type(part).__name__} takes none of a feature's categories: {refused[0][1]}")
    if feature is not None:
        graph.refused[feature] |= {code for code, _ in refused}
    return parts[0][1] if len(parts) == 1 and not refused else _assembled(parts, len(values))


def _attempted(part: Any, rows: NDArray[Any], *, first: int) -> tuple[list[tuple[int, Any]], list[tuple[int, str]]]:
    """([first row, transformed rows], [refused row, why]), by halves around the rows that are refused."""
    try:
        return [(first, part.transform(rows))], []
    except Exception as error:  # noqa: BLE001 - a part raises whatever it likes at what it does not take
        if len(rows) == 1:
            return [], [(first, str(error))]
    half = len(rows) // 2
    before = _attempted(part, rows[:half], first=first)
    behind = _attempted(part, rows[half:], first=first + half)
    return before[0] + behind[0], before[1] + behind[1]


def _assembled(parts: list[tuple[int, Any]], length: int) -> Any:
    """The rows at their places. What stands at refused ones is never read."""
    blocks = [block for _, block in parts]
    places = np.concatenate([np.arange(first, first + block.shape[0]) for first, block in parts])
    if sparse.issparse(blocks[0]):
        spread = sparse.csr_matrix((np.ones(len(places)), (places, np.arange(len(places)))), (length, len(places)))
        return spread @ sparse.vstack(blocks)
    whole = np.zeros((length, blocks[0].shape[1]), dtype=blocks[0].dtype)
    whole[places] = np.concatenate(blocks)
    return whole


def _dense(matrix: Any) -> NDArray[Any]:
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix)


def _known(column: Column) -> Any:
    """A value that a part takes in this column."""
    if isinstance(column, Number):
        return 0.0
    found = values_of(column)[0]
    return float(found) if isinstance(found, int | float | np.number) else found


_TRANSFORMS: Final[dict[type, Transform]] = {
    Pipeline: _pipeline,
    ColumnTransformer: _column_transformer,
    FeatureUnion: _union,
    StandardScaler: _each(_standard),
    MinMaxScaler: _each(_min_max),
    MaxAbsScaler: _each(_max_abs),
    RobustScaler: _each(_robust),
    Binarizer: _each(_binarized),
    KBinsDiscretizer: _bins,
    QuantileTransformer: _quantiles,
    FunctionTransformer: _function,
    SimpleImputer: _imputer,
    MissingIndicator: _missing_indicator,
    OneHotEncoder: _one_hot,
    OrdinalEncoder: _codes,
    TargetEncoder: _codes,
    PolynomialFeatures: _polynomial,
}
