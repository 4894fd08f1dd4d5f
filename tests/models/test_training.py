"""What every model's training keeps, on the history of its own world."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from services.core.spec import Categorical, ModelSpec
from services.core.training import TrainingSet
from services.core.world import World
from tests.models.conftest import training_set
from tests.models.onnx_form import served_scores


def scores(estimator: Any, features: pd.DataFrame) -> np.ndarray:
    return np.asarray(estimator.predict_proba(features))[:, 1]


def test_training_leaves_its_input_as_it_was(spec: ModelSpec, training: TrainingSet) -> None:
    features, target, weights = training.features.copy(deep=True), training.target.copy(), training.weights.copy()
    spec.train(training)
    pd.testing.assert_frame_equal(training.features, features)
    np.testing.assert_array_equal(training.target, target)
    np.testing.assert_array_equal(training.weights, weights)


def test_training_twice_gives_the_same_model(spec: ModelSpec, training: TrainingSet, estimator: Any) -> None:
    again = spec.train(training)
    np.testing.assert_array_equal(scores(again, training.features), scores(estimator, training.features))


def test_scores_are_probabilities_of_the_positive_class(training: TrainingSet, estimator: Any) -> None:
    found = scores(estimator, training.features)
    assert ((found >= 0) & (found <= 1)).all()
    assert list(estimator.classes_) == [0, 1]
    assert roc_auc_score(training.target, found) > 0.7


def test_scores_are_calibrated_in_the_large(training: TrainingSet, estimator: Any) -> None:
    assert abs(scores(estimator, training.features).mean() - training.target.mean()) < 0.03


def test_a_row_scores_the_same_alone_as_among_others(training: TrainingSet, estimator: Any) -> None:
    together = scores(estimator, training.features.head(20))
    alone = [scores(estimator, training.features.iloc[[row]])[0] for row in range(20)]
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-12)


def test_columns_are_known_by_name_whatever_their_order(training: TrainingSet, estimator: Any) -> None:
    shuffled = training.features[list(reversed(training.features.columns))]
    np.testing.assert_array_equal(scores(estimator, shuffled), scores(estimator, training.features))


def test_the_served_form_agrees_with_the_estimator(spec: ModelSpec, training: TrainingSet, estimator: Any) -> None:
    served = served_scores(spec, estimator, training.features)
    np.testing.assert_allclose(served, scores(estimator, training.features), rtol=0, atol=1e-5)


def test_the_served_form_takes_every_category_that_the_spec_allows(
    spec: ModelSpec, training: TrainingSet, estimator: Any
) -> None:
    for feature in spec.features:
        if isinstance(feature.kind, Categorical):
            row = training.features.head(1)
            rows = pd.concat([row.assign(**{feature.name: category}) for category in feature.kind.categories])
            rows = rows.astype(training.features.dtypes)
            np.testing.assert_allclose(served_scores(spec, estimator, rows), scores(estimator, rows), rtol=0, atol=1e-5)


def test_a_row_that_weighs_nothing_teaches_nothing(spec: ModelSpec, training: TrainingSet) -> None:
    silent = np.arange(len(training.target)) % 2 == 0
    lying = np.where(silent, 1 - training.target, training.target)
    weights = np.where(silent, 0.0, 1.0)
    kept = spec.train(TrainingSet(training.features, training.target, weights))
    lied = spec.train(TrainingSet(training.features, lying, weights))
    np.testing.assert_allclose(scores(lied, training.features), scores(kept, training.features), rtol=0, atol=1e-6)


def test_training_beats_the_rule_on_cases_it_never_saw(spec: ModelSpec, world: World) -> None:
    cases = world.history(rows=3000)
    estimator = spec.train(training_set(spec, cases[:2000]))
    unseen = training_set(spec, cases[2000:])
    decisions = [spec.rule(case.features) for case in cases[2000:]]
    by_rule = [decision.score if decision else None for decision in decisions]
    by_model = roc_auc_score(unseen.target, scores(estimator, unseen.features))
    assert by_model > roc_auc_score(unseen.target, by_rule) + 0.02
