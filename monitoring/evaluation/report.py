"""The Evidently report of a drift result, in figures. It takes seconds and megabytes: made at onset, or when asked for.

The columns are the cleaned ones of `drift`, with its methods and thresholds, so both show the same numbers. The one
place that knows Evidently, whose import takes seconds and some hundred megabytes: the monitor's process alone has it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
from numpy.typing import NDArray

from monitoring.evaluation.distances import unit_of
from monitoring.evaluation.drift import FeatureDrift, Reference, ReferenceColumn, column_of, drift
from monitoring.evaluation.unknown import NotEnoughData
from services.core.records import Judged
from services.core.spec import Categorical, ModelSpec

UNSEEN_LABEL: Final = "(not in the reference)"

SMALLEST_UNIT: Final = 0.001
"""Evidently measures no numeric column in less: one in tiny units is shown in its own deviations, with its distance."""

MARKUP: Final = str.maketrans({"<": "‹", ">": "›", "&": "＆"})
"""Evidently writes category values into a script block as they are, and values come from callers."""


def drift_report(spec: ModelSpec, *, reference: Reference, rows: Sequence[Judged]) -> str | NotEnoughData:
    """The report as one HTML page, or why there is none: columns that could not be compared are left out."""
    compared = {
        name: found
        for name, found in drift(spec, reference=reference, rows=rows).items()
        if isinstance(found, FeatureDrift)
    }
    if not compared:
        return NotEnoughData(len(rows), spec.drift.minimum_rows, "answers in the window with a usable feature")
    known = {name: column for name, column in reference.columns.items() if isinstance(column, ReferenceColumn)}
    categorical = [name for name in compared if _categories(spec, name) is not None]
    definition = DataDefinition(
        numerical_columns=[name for name in compared if name not in categorical], categorical_columns=categorical
    )
    windows = {name: known[name].fenced(column_of(spec, name, rows).values) for name in compared}
    current = {name: _sizeable(known[name], values) for name, values in windows.items()}
    trained = {name: _sizeable(known[name], known[name].values) for name in compared}
    snapshot = Report([_preset(spec, compared)]).run(
        Dataset.from_pandas(_frame(spec, current), data_definition=definition),
        Dataset.from_pandas(_frame(spec, trained), data_definition=definition),
    )
    html: str = snapshot.get_html_str(as_iframe=False)
    return html


def _preset(spec: ModelSpec, compared: Mapping[str, FeatureDrift]) -> DataDriftPreset:
    return DataDriftPreset(
        drift_share=spec.drift.enough_features / len(compared),
        columns=list(compared),
        per_column_method={name: found.method for name, found in compared.items()},
        per_column_threshold={name: found.threshold for name, found in compared.items()},
        include_tests=False,
    )


def _sizeable(known: ReferenceColumn, values: NDArray[Any]) -> NDArray[Any]:
    unit = unit_of(known.values) if known.is_numeric else 1.0
    return values if unit >= SMALLEST_UNIT else values / unit


def _frame(spec: ModelSpec, columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """Columns of different lengths side by side: each has lost its own unusable rows, and Evidently drops the gaps."""
    return pd.DataFrame({name: pd.Series(_shown(spec, name, values)) for name, values in columns.items()})


def _shown(spec: ModelSpec, name: str, values: NDArray[Any]) -> NDArray[Any]:
    categories = _categories(spec, name)
    if categories is None:
        return values
    # Code -1, an unseen category, is the last of the labels.
    labels = np.array([*(category.translate(MARKUP) for category in categories), UNSEEN_LABEL], dtype=object)
    shown: NDArray[Any] = labels[values]
    return shown


def _categories(spec: ModelSpec, name: str) -> tuple[str, ...] | None:
    """The categories of a feature, None for numbers (the model's score among them)."""
    kind = next((feature.kind for feature in spec.features if feature.name == name), None)
    return kind.categories if isinstance(kind, Categorical) else None
