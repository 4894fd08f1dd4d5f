"""A version over whole tables, for parity, references and the gate: by the code that serves it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.evaluation.baseline import score_without_model
from services.core.errors import BellwetherError
from services.core.features import Value
from services.core.spec import ModelSpec
from services.serving.form import Form, Row
from services.serving.runtime import load, read_manifest


class Unscorable(BellwetherError):
    """A version cannot score a table's rows."""

    code = "unscorable"


def scores(form: Form, features: pd.DataFrame) -> NDArray[Any]:
    """P(positive) of every row, float64 of length n. Raises `Unscorable`."""
    rows = cast("list[Row]", features.to_dict("records"))
    try:
        return np.array(form.score_many(rows), dtype=float)
    except Exception as error:  # an estimator raises whatever its parts raise
        raise Unscorable(f"{len(rows)} rows could not be scored: {error}") from error


def scores_of_version(
    spec: ModelSpec, directory: Path, features: pd.DataFrame, *, manifest_sha256: str = ""
) -> NDArray[Any] | None:
    """P(positive) of every row by a registered version, None when it takes other features than the spec has now.

    `manifest_sha256` as for `load`.

    Raises:
        Unscorable: it takes these features and cannot score these rows.
        CorruptArtifact: it is not the version that was registered; what it scores would say nothing about what serves.
    """
    if tuple(read_manifest(directory, sha256=manifest_sha256).features) != spec.feature_names:
        return None
    return scores(load(directory, spec, manifest_sha256=manifest_sha256), features)


def without_gaps(row: Mapping[Any, Any]) -> dict[str, Value]:
    """A table's row as a request has it: what is not known is absent."""
    return {str(name): value for name, value in row.items() if value != "" and not pd.isna(value)}


def scores_of_rule(spec: ModelSpec, features: pd.DataFrame) -> NDArray[Any]:
    """What would rank every row without a model, float64 of length n."""
    rows = features.to_dict("records")
    return np.array([score_without_model(spec, without_gaps(row)) for row in rows], dtype=float)
