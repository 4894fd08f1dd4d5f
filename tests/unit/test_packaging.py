import io
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from monitoring.lifecycle.conversion import NotConverted, to_onnx
from monitoring.lifecycle.domain import Rows, permitted_rows
from monitoring.lifecycle.packaging import PARITY, NotServable, Package, package, serve
from monitoring.lifecycle.retrain import first_version
from monitoring.lifecycle.scoring import scores_of_rule, scores_of_version
from monitoring.lifecycle.training_set import Snapshot, keep, past_rows
from services.adapters.model_store import BentoModelStore
from services.core.artifacts import CALIBRATION_FILE, ESTIMATOR_FILE, ONNX_FILE, REFERENCE_FILE, ServedForm
from services.core.errors import CorruptArtifact
from services.core.features import Value
from services.core.spec import ModelSpec, Unavailable
from services.serving.runtime import load
from tests.artifacts import train_on_waves, training_set
from tests.toy import NOON, toy_spec
from tests.workshop import SPEC, open_bench, past_cases


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return keep(SPEC, past_rows(SPEC, past_cases(400, seed=1)), directory=tmp_path / "training", at=NOON)


@pytest.fixture
def made(snapshot: Snapshot) -> Package:
    training, _ = snapshot.split(SPEC)
    return package(SPEC, SPEC.train(training), version="v1", training=training, snapshot=snapshot, now=NOON)


def test_what_is_packed_serves_with_the_scores_of_the_estimator(
    made: Package, snapshot: Snapshot, tmp_path: Path
) -> None:
    training, held_out = snapshot.split(SPEC)
    expected = SPEC.train(training).predict_proba(held_out.features)[:, 1]
    directory = BentoModelStore(tmp_path / "bentoml").add(made.manifest, made.files)

    served = load(directory, SPEC)

    rows = held_out.features.to_dict("records")
    assert [served.score(row) for row in rows] == pytest.approx(list(expected), abs=PARITY)  # type: ignore[arg-type]  # pandas names columns by anything hashable
    assert scores_of_version(SPEC, directory, held_out.features) == pytest.approx(expected, abs=PARITY)


def test_the_manifest_names_the_training_set_and_how_far_both_forms_are_apart(
    made: Package, snapshot: Snapshot
) -> None:
    assert (made.manifest.training_set, made.manifest.training_set_sha256) == (snapshot.path.name, snapshot.sha256)
    assert made.manifest.training_rows == 280
    assert 0 <= made.manifest.parity < 1e-5
    assert len(made.manifest.canary) == 20


def test_the_reference_is_what_the_inputs_looked_like_with_the_versions_own_score(
    made: Package, tmp_path: Path
) -> None:
    path = tmp_path / "reference.parquet"
    path.write_bytes(made.files[REFERENCE_FILE])

    reference = pd.read_parquet(path)

    assert list(reference.columns) == [*SPEC.feature_names, "score"]
    assert len(reference) == 400
    assert reference["score"].between(0, 1).all()


def test_the_estimator_is_kept_without_pickle(made: Package, tmp_path: Path) -> None:
    path = tmp_path / "estimator.skops"
    path.write_bytes(made.files[ESTIMATOR_FILE])

    assert skops.io.get_untrusted_types(file=path) == []
    assert hasattr(skops.io.load(path, trusted=[]), "predict_proba")


def test_an_estimator_that_does_not_convert_is_served_by_scikit_learn_and_the_version_says_why(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    training, held_out = snapshot.split(SPEC)
    estimator = train_on_waves(training)
    made = package(SPEC, estimator, version="v1", training=training, snapshot=snapshot, now=NOON)
    directory = BentoModelStore(tmp_path / "bentoml").add(made.manifest, made.files)

    assert made.manifest.served_form is ServedForm.SCIKIT_LEARN
    assert "RBFSampler" in made.manifest.not_converted
    assert made.manifest.parity == 0.0
    assert set(made.files) == {ESTIMATOR_FILE, REFERENCE_FILE, CALIBRATION_FILE}
    expected = estimator.predict_proba(held_out.features)[:, 1]
    assert scores_of_version(SPEC, directory, held_out.features) == pytest.approx(expected, abs=0)
    reference = pd.read_parquet(directory / REFERENCE_FILE)
    assert list(reference["score"]) == list(estimator.predict_proba(reference[list(SPEC.feature_names)])[:, 1])


def test_an_estimator_that_neither_converts_nor_loads_without_pickle_cannot_be_registered(snapshot: Snapshot) -> None:
    training, _ = snapshot.split(SPEC)
    numbers = make_pipeline(
        FunctionTransformer(lambda frame: frame[["amount", "visits"]]), HistGradientBoostingClassifier(max_iter=2)
    ).fit(training.features, training.target)

    with pytest.raises(NotServable, match=r"ONNX cannot serve .*lambda.*, and scikit-learn cannot either: .*lambda"):
        package(SPEC, numbers, version="v1", training=training, snapshot=snapshot, now=NOON)


def rows_of(estimator: Any) -> Rows:
    return permitted_rows(SPEC, estimator, training_set(1).features)


def test_what_skops_keeps_otherwise_than_it_was_fitted_is_refused() -> None:
    fitted, other = (train_on_waves(training_set(seed)) for seed in (1, 2))
    with pytest.raises(NotServable, match=r"what skops wrote is not what was fitted, it differs from the estimator by"):
        serve(SPEC, fitted, rows_of(fitted), keep=lambda _: skops.io.dumps(other))


def test_what_skops_keeps_is_not_asked_where_the_last_bit_of_a_sum_decides() -> None:
    """A copy whose arrays lie otherwise in memory adds up in another order."""
    training = training_set(1)
    columns = ColumnTransformer([("numbers", StandardScaler(), ["amount"])])
    fitted = make_pipeline(columns, DecisionTreeClassifier(max_depth=1)).fit(training.features, training.target)
    copy = deepcopy(fitted)
    copy[-1].tree_.threshold[0] += 0.05
    rows = rows_of(fitted)
    alike = fitted.predict(rows.frame) == copy.predict(rows.frame)
    assert 0 < alike.sum() < len(alike)
    frame = pd.concat([rows.frame[alike], rows.frame[~alike]], ignore_index=True)
    changed = np.concatenate([rows.changed[alike], rows.changed[~alike]])

    def kept_as_a_copy(rows: Rows) -> ServedForm:
        return serve(SPEC, fitted, rows, keep=lambda _: skops.io.dumps(copy), convert=not_converted).served_form

    assert kept_as_a_copy(Rows(frame, changed, at_cuts=int((~alike).sum()))) is ServedForm.SCIKIT_LEARN
    with pytest.raises(NotServable, match="what skops wrote is not what was fitted"):
        kept_as_a_copy(Rows(frame, changed))


def not_converted(_spec: ModelSpec, _estimator: Any) -> bytes:
    raise NotConverted("no form of it")


def test_where_the_onnx_form_says_something_else_scikit_learn_serves_and_the_version_says_where() -> None:
    fitted, other = (SPEC.train(training_set(seed)) for seed in (1, 2))
    served = serve(SPEC, fitted, rows_of(fitted), convert=lambda spec, _: to_onnx(spec, other))
    assert (served.served_form, served.parity) == (ServedForm.SCIKIT_LEARN, 0.0)
    told = r"its ONNX form differs from the estimator by up to [\d.]+ .*: [\d.]+ instead of [\d.]+ with \w+ = \S+$"
    assert re.fullmatch(told, served.not_converted)


def test_a_category_that_scikit_learn_does_not_take_is_refused_by_name_with_the_remedy() -> None:
    estimator = pipeline_of(OneHotEncoder(categories=[["monthly"]]), rows=lambda frame: frame["plan"] == "monthly")
    with pytest.raises(NotServable) as refused:
        serve(SPEC, estimator, rows_of(estimator))
    assert "the spec of toy permits plan = 'yearly', and the estimator cannot score a row with it" in str(refused.value)
    assert 'handle_unknown="ignore"' in str(refused.value)


def test_a_gap_that_scikit_learn_does_not_take_is_refused_by_name_with_the_remedy() -> None:
    features = tuple(
        replace(each, if_unavailable=Unavailable.OPTIONAL) if each.name == "mood" else each for each in SPEC.features
    )
    spec, estimator = toy_spec(features=features), pipeline_of(OneHotEncoder())
    with pytest.raises(NotServable, match=r"permits mood = a gap, .*contains NaN.*put an imputer in front"):
        serve(spec, estimator, permitted_rows(spec, estimator, training_set(1).features))


@pytest.mark.parametrize("classifier", [LogisticRegression(), DecisionTreeClassifier()], ids=["line", "tree"])
def test_a_number_that_scikit_learn_does_not_take_is_refused_by_name_with_the_remedy(classifier: Any) -> None:
    """A tree's thresholds are sought by numbers that its encoder refuses as well."""
    training = training_set(1)
    columns = ColumnTransformer([("plan", OneHotEncoder(), ["plan", "visits"])], remainder="drop")
    rounded = training.features.assign(visits=training.features["visits"].round())
    estimator = make_pipeline(columns, classifier).fit(rounded, training.target)
    with pytest.raises(NotServable, match=r"permits visits = .*unknown categories.*; narrow the feature's bounds"):
        serve(SPEC, estimator, permitted_rows(SPEC, estimator, rounded))


def test_trees_on_categories_alone_are_served() -> None:
    training = training_set(1)
    spec, features = toy_spec(features=(SPEC.feature("plan"),)), training.features[["plan"]]
    estimator = make_pipeline(OneHotEncoder(), DecisionTreeClassifier()).fit(features, training.target)
    served = serve(spec, estimator, permitted_rows(spec, estimator, features))
    assert (served.served_form, served.not_converted) == (ServedForm.ONNX, "")


def pipeline_of(encoder: Any, *, rows: Callable[[pd.DataFrame], Any] | None = None) -> Any:
    training = training_set(1)
    columns = ColumnTransformer([("plan", encoder, ["plan"]), ("numbers", StandardScaler(), ["amount", "mood"])])
    chosen = np.ones(len(training.target), dtype=bool) if rows is None else np.asarray(rows(training.features))
    return make_pipeline(columns, LogisticRegression()).fit(training.features[chosen], training.target[chosen])


def test_a_feature_that_training_leaves_out_is_packed_served_and_in_the_reference(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    training, _ = snapshot.split(SPEC)
    columns = ColumnTransformer([("numbers", StandardScaler(), ["amount", "visits", "mood"])], remainder="drop")
    estimator = make_pipeline(columns, LogisticRegression()).fit(training.features, training.target)
    made = package(SPEC, estimator, version="v1", training=training, snapshot=snapshot, now=NOON)

    served = load(BentoModelStore(tmp_path / "bentoml").add(made.manifest, made.files), SPEC)

    assert served.manifest.served_form is ServedForm.ONNX
    row: dict[str, Value] = {"amount": 90.0, "visits": 4.0, "mood": 0.5}
    assert served.score(row | {"plan": "yearly"}) == served.score(row | {"plan": "monthly"}) == served.score(row)
    assert "plan" in pd.read_parquet(io.BytesIO(made.files[REFERENCE_FILE]))


def test_a_retraining_says_who_serves_and_why_in_its_log_and_its_evidence(tmp_path: Path) -> None:
    bench = open_bench(tmp_path)
    spec = toy_spec(train=train_on_waves, gate=SPEC.gate, retraining=SPEC.retraining)
    first = first_version(spec, bench.workshop, cases=past_cases(800, seed=1))
    (version,) = bench.store.versions("toy")
    bench.store.close()

    assert first.promoted
    assert any("scikit-learn itself will serve v1, at milliseconds a row: " in line for line in bench.said)
    assert version.evidence["served_form"] == "scikit-learn"
    assert "RBFSampler" in version.evidence["not_converted"]


def test_a_version_whose_file_was_changed_is_not_compared_with(
    made: Package, snapshot: Snapshot, tmp_path: Path
) -> None:
    directory = BentoModelStore(tmp_path / "bentoml").add(made.manifest, made.files)
    (directory / ONNX_FILE).write_bytes(made.files[ONNX_FILE] + b" ")

    with pytest.raises(CorruptArtifact, match="SHA-256"):
        scores_of_version(SPEC, directory, snapshot.frame)


def test_the_rule_is_scored_on_every_row(snapshot: Snapshot) -> None:
    assert set(scores_of_rule(SPEC, snapshot.frame[list(SPEC.feature_names)])) == {0.6, 0.2}
