"""The ONNX form says what the estimator says, gaps and categories included, or there is none."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, SplineTransformer

from monitoring.lifecycle.conversion import REASON_LENGTH, NotConverted, to_onnx
from services.core.artifacts import ServedForm
from services.core.features import Value
from services.serving.runtime import open_form
from tests.artifacts import train_on_sets, training_set
from tests.toy import toy_spec

SPEC = toy_spec()
TRAINING = training_set(1)
CODES = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)


def pipeline(classifier: Any, encoder: Any = None, *, numbers: tuple[str, ...] = ("amount", "visits", "mood")) -> Any:
    """Leaves out, by `remainder="drop"`, the numbers that are not named."""
    columns = ColumnTransformer(
        [("numbers", "passthrough", list(numbers))] + ([("plan", encoder, ["plan"])] if encoder else [])
    )
    return make_pipeline(columns, classifier)


def with_gaps() -> pd.DataFrame:
    """A fifth of `mood` is unknown, and being unknown means something."""
    gaps = np.random.default_rng(3).random(len(TRAINING.features)) < 0.2
    return TRAINING.features.assign(mood=TRAINING.features["mood"].mask(gaps & (TRAINING.target == 1)))


def largest_difference(estimator: Any, features: pd.DataFrame) -> float:
    form = open_form(SPEC, ServedForm.ONNX, to_onnx(SPEC, estimator))
    served = form.score_many(features.to_dict("records"))  # type: ignore[arg-type]  # pandas names columns by anything
    return float(np.max(np.abs(estimator.predict_proba(features)[:, 1] - served)))


@pytest.mark.parametrize("encoder", [OneHotEncoder(sparse_output=False), CODES], ids=["one-hot", "codes"])
def test_gradient_boosting_converts_and_follows_gaps_as_it_learnt(encoder: Any) -> None:
    features = with_gaps()
    estimator = pipeline(HistGradientBoostingClassifier(max_iter=40), encoder).fit(features, TRAINING.target)
    assert largest_difference(estimator, features) < 1e-6
    unseen = features.assign(mood=np.nan, visits=features["visits"] * 3)
    assert largest_difference(estimator, unseen) < 1e-6


def test_gradient_boosting_inside_another_estimator_converts_as_well() -> None:
    boosted = HistGradientBoostingClassifier(max_iter=5)
    stack = StackingClassifier([("line", LogisticRegression(max_iter=1000)), ("trees", boosted)], cv=2)
    estimator = pipeline(stack).fit(TRAINING.features, TRAINING.target)
    assert largest_difference(estimator, TRAINING.features) < 1e-6


def test_splits_on_sets_of_categories_are_not_taken_for_thresholds() -> None:
    with pytest.raises(NotConverted, match="splits on sets of categories"):
        to_onnx(SPEC, train_on_sets(TRAINING))


def test_a_feature_that_training_leaves_out_is_taken_and_changes_nothing() -> None:
    classifier = HistGradientBoostingClassifier(max_iter=10)
    estimator = pipeline(classifier, numbers=("amount", "visits")).fit(TRAINING.features, TRAINING.target)
    form = open_form(SPEC, ServedForm.ONNX, to_onnx(SPEC, estimator))
    row: dict[str, Value] = {"amount": 90.0, "plan": "monthly", "visits": 4.0, "mood": 0.5}
    expected = form.score(row)
    assert form.score(row | {"plan": "yearly", "mood": -9.0}) == expected
    assert form.score({"amount": 90.0, "visits": 4.0}) == expected
    assert largest_difference(estimator, TRAINING.features) < 1e-6


def test_the_reason_why_something_does_not_convert_is_a_line_that_names_it() -> None:
    columns = ColumnTransformer([("curve", SplineTransformer(), ["amount"])])
    estimator = make_pipeline(columns, LogisticRegression()).fit(TRAINING.features, TRAINING.target)
    with pytest.raises(NotConverted, match="SplineTransformer") as raised:
        to_onnx(SPEC, estimator)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) <= REASON_LENGTH
