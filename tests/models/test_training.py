"""What every model's training keeps, on the history of its own world."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from monitoring.lifecycle.packaging import Served
from monitoring.lifecycle.scoring import scores as served_scores
from monitoring.lifecycle.scoring import without_gaps
from services.core.artifacts import ServedForm
from services.core.features import Value
from services.core.spec import Categorical, ModelSpec, Numeric
from services.core.training import TrainingSet
from services.core.world import World
from tests.models.conftest import optional, training_set

AGREEMENT = 1e-9
"""Far below what registration accepts: rounding alone, with nothing to spare for a row that falls on another side."""


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


def agree(served: Served, estimator: Any, features: pd.DataFrame) -> None:
    np.testing.assert_allclose(
        served_scores(served.form, features), scores(estimator, features), rtol=0, atol=AGREEMENT
    )


def test_the_served_form_agrees_with_the_estimator_on_everything_that_the_spec_permits(
    training: TrainingSet, estimator: Any, served: Served
) -> None:
    assert (served.served_form, served.not_converted) == (ServedForm.ONNX, "")
    assert served.parity < AGREEMENT
    agree(served, estimator, training.features)


def test_the_served_form_scores_a_request_as_it_scores_a_table(training: TrainingSet, served: Served) -> None:
    rows = training.features.head(20)
    requests = [without_gaps(row) for row in rows.to_dict("records")]
    alone = [served.form.score(request) for request in requests]
    np.testing.assert_allclose(alone, served_scores(served.form, rows), rtol=0, atol=1e-6)


def test_the_served_form_takes_every_category_that_the_spec_allows(
    spec: ModelSpec, training: TrainingSet, estimator: Any, served: Served
) -> None:
    for feature in spec.features:
        if isinstance(feature.kind, Categorical):
            row = training.features.head(1)
            rows = pd.concat([row.assign(**{feature.name: category}) for category in feature.kind.categories])
            agree(served, estimator, rows.astype(training.features.dtypes))


def test_the_served_form_takes_a_row_without_any_optional_feature(
    spec: ModelSpec, training: TrainingSet, estimator: Any, served: Served
) -> None:
    gaps = {name: np.nan if isinstance(spec.feature(name).kind, Numeric) else "" for name in optional(spec)}
    rows = training.features.head(20).assign(**gaps).astype(training.features.dtypes)
    agree(served, estimator, rows)
    requests = [without_gaps(row) for row in rows.to_dict("records")]
    assert not optional(spec) & set().union(*requests)
    np.testing.assert_allclose(served.form.score_many(requests), scores(estimator, rows), rtol=0, atol=AGREEMENT)


def test_scoring_leaves_the_request_as_it_was(training: TrainingSet, served: Served) -> None:
    request: dict[str, Value] = without_gaps(training.features.iloc[0].to_dict())
    before = dict(request)
    served.form.score(request)
    assert request == before


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
