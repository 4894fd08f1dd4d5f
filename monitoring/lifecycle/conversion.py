"""From a fitted scikit-learn estimator to its ONNX form."""

from numbers import Integral
from typing import Any, Final

from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.operator_converters.random_forest import convert_sklearn_random_forest_classifier
from sklearn.ensemble import HistGradientBoostingClassifier

from services.core.errors import BellwetherError
from services.core.spec import ModelSpec, Numeric

OPSET: Final = {"": 18, "ai.onnx.ml": 3}
"""ONNX operators of 2022: every runtime that a worker may have knows them, and scikit-learn's models need no newer."""

REASON_LENGTH: Final = 300
"""Longest reason that is kept. The converter's own messages go on with every number of the model."""


class NotConverted(BellwetherError):
    """The converter has no ONNX form of the estimator. The message says in a line what it stumbled over."""

    code = "not_converted"


def to_onnx(spec: ModelSpec, estimator: Any) -> bytes:
    """The ONNX form as `services.core.artifacts.ONNX_FILE` describes it. Raises `NotConverted`."""
    inputs = [
        (each.name, FloatTensorType([None, 1]) if isinstance(each.kind, Numeric) else StringTensorType([None, 1]))
        for each in spec.features
    ]
    try:
        model = convert_sklearn(
            estimator,
            initial_types=inputs,
            options={id(estimator): {"zipmap": False}},
            target_opset=OPSET,
            custom_conversion_functions={HistGradientBoostingClassifier: _boosted_trees},
        )
    except Exception as error:  # the converter raises whatever it meets
        raise NotConverted(_first_line(error)) from error
    return bytes(model.SerializeToString())


def _first_line(error: Exception) -> str:
    words = str(error).strip() or type(error).__name__
    return words.splitlines()[0][:REASON_LENGTH]


def _boosted_trees(scope: Any, operator: Any, container: Any) -> None:
    """The converter of skl2onnx, without what is wrong with it in 1.20.

    It writes flags and ids as the types in which it found them, of which ONNX takes integers alone. And it takes a
    split on a set of categories for one on a threshold, so such a model would convert and score something else.
    """
    if operator.raw_operator.is_categorical_ is not None:
        raise NotConverted(
            "HistGradientBoostingClassifier splits on sets of categories, which the converter cannot say"
        )
    convert_sklearn_random_forest_classifier(scope, operator, _PlainIntegers(container))


class _PlainIntegers:
    """A converter's container that makes integers of the lists of flags and ids which a node is added with."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *arguments: Any, **attributes: Any) -> Any:
        plain = {name: _integers(value) if isinstance(value, list) else value for name, value in attributes.items()}
        return self._container.add_node(*arguments, **plain)


def _integers(values: list[Any]) -> list[Any]:
    return [int(value) if isinstance(value, Integral) else value for value in values]
