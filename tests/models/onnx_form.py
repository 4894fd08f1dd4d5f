"""The served form of an estimator, converted and run as `services.core.artifacts` says."""

from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

from services.core.spec import Categorical, ModelSpec


def served_scores(spec: ModelSpec, estimator: Any, features: pd.DataFrame) -> np.ndarray:
    """P(positive) of every row by the served form."""
    session = onnxruntime.InferenceSession(_converted(spec, estimator), providers=["CPUExecutionProvider"])
    types = {each.name: str if isinstance(each.kind, Categorical) else np.float32 for each in spec.features}
    inputs = {
        name: features[name].to_numpy().astype(kind).astype(object if kind is str else kind).reshape(-1, 1)
        for name, kind in types.items()
    }
    _, probabilities = session.run(None, inputs)
    return np.asarray(probabilities)[:, 1]


def _converted(spec: ModelSpec, estimator: Any) -> bytes:
    inputs = [
        (each.name, StringTensorType([None, 1]) if isinstance(each.kind, Categorical) else FloatTensorType([None, 1]))
        for each in spec.features
    ]
    model = convert_sklearn(estimator, initial_types=inputs, options={id(estimator): {"zipmap": False}})
    return bytes(model.SerializeToString())
