"""The served form of a version over whole tables, for parity, references and the gate."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pandas as pd
from numpy.typing import NDArray

from services.core.artifacts import MANIFEST_FILE, ONNX_FILE, Manifest
from services.core.errors import CorruptArtifact
from services.core.features import Value
from services.core.spec import ModelSpec, Numeric


def scores(spec: ModelSpec, content: bytes, features: pd.DataFrame) -> NDArray[Any]:
    """P(positive) of every row by an ONNX model, float64 of length n."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    inputs = {
        feature.name: features[[feature.name]].to_numpy(np.float32 if isinstance(feature.kind, Numeric) else object)
        for feature in spec.features
    }
    (probabilities,) = session.run(["probabilities"], inputs)
    return np.asarray(probabilities, dtype=float)[:, 1]


def scores_of_version(spec: ModelSpec, directory: Path, features: pd.DataFrame) -> NDArray[Any] | None:
    """P(positive) of every row by a registered version, None when it takes other features than the spec has now.

    Raises:
        CorruptArtifact: it is not the version that was registered; what it scores would say nothing about what serves.
    """
    manifest = _manifest(directory)
    if tuple(manifest.features) != spec.feature_names:
        return None
    content = (directory / ONNX_FILE).read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != manifest.files.get(ONNX_FILE):
        raise CorruptArtifact(
            f"{directory / ONNX_FILE} has SHA-256 {found}, expected {manifest.files.get(ONNX_FILE)}; "
            f"promote another version of {spec.name}"
        )
    return scores(spec, content, features)


def _manifest(directory: Path) -> Manifest:
    try:
        return msgspec.json.decode((directory / MANIFEST_FILE).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptArtifact(
            f"{directory / MANIFEST_FILE} cannot be read: {error}; promote another version"
        ) from error


def without_gaps(row: Mapping[Any, Any]) -> dict[str, Value]:
    """A table's row as a request has it: what is not known is absent."""
    return {str(name): value for name, value in row.items() if value != "" and not pd.isna(value)}


def scores_of_rule(spec: ModelSpec, features: pd.DataFrame) -> NDArray[Any]:
    """The rule's score of every row; where it has none, what its label comes to: 1 for an action, 0 for none."""
    return np.array([_rule_score(spec, row) for row in features.to_dict("records")], dtype=float)


def _rule_score(spec: ModelSpec, row: dict[Any, Any]) -> float:
    decision = spec.rule(without_gaps(row)) or spec.last_resort
    if decision.score is not None:
        return decision.score
    return float(decision.action != spec.last_resort.action)
