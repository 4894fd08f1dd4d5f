"""The served form of a version over whole tables, for parity, references and the gate."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from numpy.typing import NDArray

from services.core.artifacts import ONNX_FILE
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


def scores_of_version(spec: ModelSpec, directory: Path, features: pd.DataFrame) -> NDArray[Any]:
    """P(positive) of every row by a registered version."""
    return scores(spec, (directory / ONNX_FILE).read_bytes(), features)


def scores_of_rule(spec: ModelSpec, features: pd.DataFrame) -> NDArray[Any]:
    """The rule's score of every row; where it has none, what its label comes to: 1 for an action, 0 for none."""
    return np.array([_rule_score(spec, row) for row in features.to_dict("records")], dtype=float)


def _rule_score(spec: ModelSpec, row: dict[Any, Any]) -> float:
    decision = spec.rule(row) or spec.last_resort
    if decision.score is not None:
        return decision.score
    return float(decision.action != spec.last_resort.action)
