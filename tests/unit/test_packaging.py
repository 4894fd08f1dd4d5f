from pathlib import Path

import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from monitoring.lifecycle.packaging import PARITY, NotServable, Package, package
from monitoring.lifecycle.scoring import scores_of_rule, scores_of_version
from monitoring.lifecycle.training_set import Snapshot, keep, past_rows
from services.adapters.model_store import BentoModelStore
from services.core.artifacts import ESTIMATOR_FILE, ONNX_FILE, REFERENCE_FILE
from services.core.errors import CorruptArtifact
from services.serving.runtime import load
from tests.toy import NOON
from tests.workshop import SPEC, past_cases


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


def test_an_estimator_that_does_not_convert_cannot_be_registered(snapshot: Snapshot) -> None:
    training, _ = snapshot.split(SPEC)
    numbers = make_pipeline(
        FunctionTransformer(lambda frame: frame[["amount", "visits"]]), HistGradientBoostingClassifier(max_iter=2)
    ).fit(training.features, training.target)

    with pytest.raises(NotServable, match="does not convert to ONNX"):
        package(SPEC, numbers, version="v1", training=training, snapshot=snapshot, now=NOON)


def test_a_version_whose_file_was_changed_is_not_compared_with(
    made: Package, snapshot: Snapshot, tmp_path: Path
) -> None:
    directory = BentoModelStore(tmp_path / "bentoml").add(made.manifest, made.files)
    (directory / ONNX_FILE).write_bytes(made.files[ONNX_FILE] + b" ")

    with pytest.raises(CorruptArtifact, match="SHA-256"):
        scores_of_version(SPEC, directory, snapshot.frame)


def test_the_rule_is_scored_on_every_row(snapshot: Snapshot) -> None:
    assert set(scores_of_rule(SPEC, snapshot.frame[list(SPEC.feature_names)])) == {0.6, 0.2}
