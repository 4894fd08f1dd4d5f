"""The ONNX form says what the estimator says, gaps and categories included, or there is none."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, SplineTransformer
from sklearn.svm import SVC

from monitoring.lifecycle.conversion import REASON_LENGTH, NotConverted, to_onnx
from services.core.artifacts import ServedForm
from services.core.features import Value
from services.serving.runtime import open_form
from tests.artifacts import training_set
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
    assert largest_difference(estimator, features) < 1e-12
    unseen = features.assign(mood=np.nan, visits=features["visits"] * 3)
    assert largest_difference(estimator, unseen) < 1e-12


def test_gradient_boosting_inside_another_estimator_converts_as_well() -> None:
    boosted = HistGradientBoostingClassifier(max_iter=5)
    stack = StackingClassifier([("line", LogisticRegression(max_iter=1000)), ("trees", boosted)], cv=2)
    estimator = pipeline(stack).fit(TRAINING.features, TRAINING.target)
    assert largest_difference(estimator, TRAINING.features) < 1e-12


def test_splits_on_sets_of_categories_convert_with_the_categories_that_training_never_saw() -> None:
    features = TRAINING.features.assign(plan="monthly")
    classifier = HistGradientBoostingClassifier(max_iter=20, categorical_features=[3])
    estimator = pipeline(classifier, CODES).fit(TRAINING.features, TRAINING.target)
    assert largest_difference(estimator, TRAINING.features) < 1e-12
    narrow = pipeline(classifier, CODES).fit(features, TRAINING.target)
    assert largest_difference(narrow, TRAINING.features) < 1e-12


def test_splits_on_sets_of_numbers_are_not_taken_for_thresholds() -> None:
    features = TRAINING.features.assign(visits=TRAINING.features["visits"].round().clip(0, 9))
    estimator = pipeline(HistGradientBoostingClassifier(max_iter=20, categorical_features=[1]))
    with pytest.raises(NotConverted, match="splits on sets of categories that are numbers"):
        to_onnx(SPEC, estimator.fit(features, TRAINING.target))


@pytest.mark.parametrize(
    ("classifier", "words"),
    [(KNeighborsClassifier(), "equally far"), (SVC(probability=True), r"CalibratedClassifierCV\(SVC\(\)\)")],
)
def test_what_is_equal_by_chance_alone_does_not_convert(classifier: Any, words: str) -> None:
    with pytest.raises(NotConverted, match=words):
        to_onnx(SPEC, pipeline(classifier).fit(TRAINING.features, TRAINING.target))


def test_numbers_that_are_encoded_as_categories_convert() -> None:
    features = TRAINING.features.assign(visits=TRAINING.features["visits"].round().clip(0, 9))
    columns = ColumnTransformer([("codes", OneHotEncoder(handle_unknown="ignore"), ["plan", "visits"])])
    estimator = make_pipeline(columns, LogisticRegression()).fit(features, TRAINING.target)
    assert largest_difference(estimator, features) < 1e-12
    assert largest_difference(estimator, features.assign(visits=features["visits"] + 0.25)) < 1e-12


def test_what_is_stored_runs_by_itself_with_an_input_for_each_feature() -> None:
    """For whoever runs the file without this project: words and numbers in, label and probabilities out."""
    estimator = pipeline(HistGradientBoostingClassifier(max_iter=10), OneHotEncoder()).fit(
        TRAINING.features, TRAINING.target
    )
    content = to_onnx(SPEC, estimator)
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    feed = {name: TRAINING.features[[name]].to_numpy(object if name == "plan" else float) for name in TRAINING.features}
    label, probabilities = session.run(["label", "probabilities"], feed)
    assert list(label) == list(estimator.predict(TRAINING.features))
    np.testing.assert_allclose(probabilities, estimator.predict_proba(TRAINING.features), rtol=0, atol=1e-12)


def test_a_feature_that_training_leaves_out_is_taken_and_changes_nothing() -> None:
    classifier = HistGradientBoostingClassifier(max_iter=10)
    estimator = pipeline(classifier, numbers=("amount", "visits")).fit(TRAINING.features, TRAINING.target)
    form = open_form(SPEC, ServedForm.ONNX, to_onnx(SPEC, estimator))
    row: dict[str, Value] = {"amount": 90.0, "plan": "monthly", "visits": 4.0, "mood": 0.5}
    expected = form.score(row)
    assert form.score(row | {"plan": "yearly", "mood": -9.0}) == expected
    assert form.score({"amount": 90.0, "visits": 4.0}) == expected
    assert largest_difference(estimator, TRAINING.features) < 1e-12


def test_the_reason_why_something_does_not_convert_is_a_line_that_names_it() -> None:
    columns = ColumnTransformer([("curve", SplineTransformer(), ["amount"])])
    estimator = make_pipeline(columns, LogisticRegression()).fit(TRAINING.features, TRAINING.target)
    with pytest.raises(NotConverted, match="SplineTransformer") as raised:
        to_onnx(SPEC, estimator)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) <= REASON_LENGTH
