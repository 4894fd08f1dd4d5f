import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from monitoring.lifecycle.packaging import PARITY, NotServable, Package, compare, package, serve
from monitoring.lifecycle.retrain import first_version
from monitoring.lifecycle.scoring import scores_of_rule, scores_of_version
from monitoring.lifecycle.training_set import Snapshot, keep, past_rows
from services.adapters.model_store import BentoModelStore
from services.core.artifacts import CALIBRATION_FILE, ESTIMATOR_FILE, ONNX_FILE, REFERENCE_FILE, ServedForm
from services.core.errors import CorruptArtifact
from services.core.features import Value
from services.core.training import TrainingSet
from services.serving.runtime import load
from tests.artifacts import train_on_sets, training_set
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
    estimator = train_on_sets(training)
    made = package(SPEC, estimator, version="v1", training=training, snapshot=snapshot, now=NOON)
    directory = BentoModelStore(tmp_path / "bentoml").add(made.manifest, made.files)

    assert made.manifest.served_form is ServedForm.SCIKIT_LEARN
    assert "splits on sets of categories" in made.manifest.not_converted
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

    with pytest.raises(NotServable, match=r"does not convert to ONNX .* cannot serve it either: .*lambda"):
        package(SPEC, numbers, version="v1", training=training, snapshot=snapshot, now=NOON)


@pytest.mark.parametrize("train", [SPEC.train, train_on_sets], ids=["onnx", "scikit-learn"])
def test_a_served_form_that_scores_differently_is_refused(train: Callable[[TrainingSet], Any]) -> None:
    fitted, other = (train(training_set(seed)) for seed in (1, 2))
    with pytest.raises(NotServable, match=r"differs from the estimator by up to .*at most 0\.0001 is accepted"):
        compare(serve(SPEC, other), fitted, training_set(1).features)


def test_a_served_form_that_cannot_score_the_reference_is_refused() -> None:
    training = training_set(1)
    estimator = SPEC.train(training)
    with pytest.raises(NotServable, match=r"served form \(onnx\) is of no use on the reference: 400 rows"):
        compare(serve(SPEC, estimator), estimator, training.features.assign(mood=float("nan")))


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
    spec = toy_spec(train=train_on_sets, gate=SPEC.gate, retraining=SPEC.retraining)
    first = first_version(spec, bench.workshop, cases=past_cases(800, seed=1))
    (version,) = bench.store.versions("toy")
    bench.store.close()

    assert first.promoted
    assert any("v1 does not convert to ONNX, so scikit-learn serves it: Hist" in line for line in bench.said)
    assert version.evidence["served_form"] == "scikit-learn"
    assert "splits on sets of categories" in version.evidence["not_converted"]


def test_a_version_whose_file_was_changed_is_not_compared_with(
    made: Package, snapshot: Snapshot, tmp_path: Path
) -> None:
    directory = BentoModelStore(tmp_path / "bentoml").add(made.manifest, made.files)
    (directory / ONNX_FILE).write_bytes(made.files[ONNX_FILE] + b" ")

    with pytest.raises(CorruptArtifact, match="SHA-256"):
        scores_of_version(SPEC, directory, snapshot.frame)


def test_the_rule_is_scored_on_every_row(snapshot: Snapshot) -> None:
    assert set(scores_of_rule(SPEC, snapshot.frame[list(SPEC.feature_names)])) == {0.6, 0.2}
