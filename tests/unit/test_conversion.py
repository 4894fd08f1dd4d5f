"""The ONNX form says what the estimator says, gaps and categories included, or there is none."""

import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from monitoring.lifecycle.conversion import REASON_LENGTH, NotConverted, to_onnx
from monitoring.lifecycle.cuts import CUTS_AT_MOST, hard_numbers
from services.core.artifacts import ServedForm
from services.core.features import Value
from services.core.spec import Categorical, ModelSpec, Numeric
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


def test_votes_of_what_says_no_probabilities_do_not_convert_and_the_reason_says_so() -> None:
    bag = pipeline(BaggingClassifier(LinearSVC(), 2)).fit(TRAINING.features, TRAINING.target)
    with pytest.raises(NotConverted, match="LinearSVC says no probabilities"):
        to_onnx(SPEC, bag)


def many_features(number: int, categories: int) -> tuple[ModelSpec, pd.DataFrame, NDArray[Any]]:
    """Features `word_0` and so on, of so many categories, and rows of them."""
    words = tuple(f"word {each}" for each in range(categories))
    plan = replace(SPEC.feature("plan"), kind=Categorical(words))
    spec = toy_spec(features=tuple(replace(plan, name=f"word_{each}") for each in range(number)), slices=())
    chance = np.random.default_rng(1)
    columns = {name: np.resize(np.array(words, dtype=object), 1000) for name in spec.feature_names}
    return spec, pd.DataFrame(columns), chance.integers(2, size=1000)


@pytest.mark.parametrize("part", [StandardScaler(with_mean=False), SimpleImputer()], ids=["scaler", "imputer"])
def test_what_stands_behind_an_encoder_grows_with_its_categories_and_not_with_their_square(part: Any) -> None:
    def size(categories: int) -> int:
        spec, features, target = many_features(1, categories)
        estimator = make_pipeline(OneHotEncoder(), part, LogisticRegression()).fit(features, target)
        return len(to_onnx(spec, estimator))

    assert size(400) < 2.5 * size(200)


def test_the_work_of_an_encoder_grows_with_its_features_and_not_with_their_square() -> None:
    def calls(features: int) -> int:
        spec, rows, target = many_features(features, 3)
        estimator = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(rows, target)
        counted = Counter[str]()
        sys.setprofile(lambda _frame, event, _argument: counted.update([event]))
        try:
            to_onnx(spec, estimator)
        finally:
            sys.setprofile(None)
        return counted["call"]

    assert calls(40) < 2.5 * calls(20)


def test_cuts_behind_sums_of_all_numbers_are_drawn_and_not_all_looked_for() -> None:
    number, rows = 40, 400
    amount = replace(SPEC.feature("amount"), kind=Numeric())
    spec = toy_spec(features=tuple(replace(amount, name=f"number_{each}") for each in range(number)), slices=())
    chance = np.random.default_rng(1)
    features = pd.DataFrame({name: chance.normal(size=rows) for name in spec.feature_names})
    forest = RandomForestClassifier(10, random_state=0)
    estimator = make_pipeline(PCA(5, random_state=0), forest).fit(features, features["number_0"] > features["number_1"])
    hard = hard_numbers(spec, estimator, features, chance)
    assert set(hard.numbers) == set(spec.feature_names)
    assert sum(map(len, hard.numbers.values())) <= 2 * 4 * CUTS_AT_MOST
    assert 0 < len(hard.rows) == len(hard.names) <= 2 * CUTS_AT_MOST


def test_a_number_is_hard_beside_the_others_that_its_cut_hangs_on_too() -> None:
    names = ["amount", "visits"]
    amount = replace(SPEC.feature("amount"), kind=Numeric())
    spec = toy_spec(features=tuple(replace(amount, name=name) for name in names), slices=())
    chance = np.random.default_rng(1)
    features = pd.DataFrame({name: chance.uniform(1, 9, 400) for name in names})
    tree = DecisionTreeClassifier(max_depth=1)
    product = PolynomialFeatures(interaction_only=True, include_bias=False)
    estimator = make_pipeline(product, tree).fit(features, features["amount"] * features["visits"] > 20)

    hard = hard_numbers(spec, estimator, features, chance)

    below, above = hard.rows.iloc[::2], hard.rows.iloc[1::2]
    assert [*hard.names[::2]] == names
    apart = above.to_numpy() - below.to_numpy()
    assert (np.diag(apart) == np.spacing(np.diag(below))).all()
    assert (estimator.predict(below) != estimator.predict(above)).all()
