"""A version over whole tables, for parity, references and the gate: by the code that serves it."""

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.evaluation.baseline import score_without_model
from services.core.errors import BellwetherError, UnfitVersion
from services.core.features import Value
from services.core.spec import ModelSpec
from services.serving.form import Form, Row
from services.serving.runtime import load

PORTION: Final = 5_000


class Unscorable(BellwetherError):
    """A version cannot score a table's rows."""

    code = "unscorable"


def scores(form: Form, features: pd.DataFrame) -> NDArray[Any]:
    """P(positive) of every row, float64 of length n. Raises `Unscorable`."""
    try:
        found = [score for rows in _in_portions(features) for score in form.score_many(cast("list[Row]", rows))]
    except Exception as error:  # an estimator raises whatever its parts raise
        raise Unscorable(f"{len(features)} rows could not be scored: {error}") from error
    return np.array(found, dtype=float)


def scores_of_version(
    spec: ModelSpec, directory: Path, features: pd.DataFrame, *, manifest_sha256: str = ""
) -> NDArray[Any] | None:
    """P(positive) of every row by a registered version, None when it needs what the spec does not have any more.

    `manifest_sha256` as for `load`.

    Raises:
        Unscorable: it takes these features and cannot score these rows.
        CorruptArtifact: it is not the version that was registered; what it scores would say nothing about what serves.
    """
    try:
        version = load(directory, spec, manifest_sha256=manifest_sha256)
    except UnfitVersion:
        return None
    return scores(version, features)


def without_gaps(row: Mapping[Any, Any]) -> dict[str, Value]:
    """A table's row as a request has it: what is not known is absent."""
    return {str(name): value for name, value in row.items() if value != "" and not pd.isna(value)}


def scores_of_rule(spec: ModelSpec, features: pd.DataFrame) -> NDArray[Any]:
    """What would rank every row without a model, float64 of length n."""
    found = [score_without_model(spec, without_gaps(row)) for rows in _in_portions(features) for row in rows]
    return np.array(found, dtype=float)


def _in_portions(features: pd.DataFrame) -> Iterator[list[dict[Hashable, Any]]]:
    """As rows, a kilobyte each, so many at a time."""
    for start in range(0, len(features), PORTION):
        yield features.iloc[start : start + PORTION].to_dict("records")
