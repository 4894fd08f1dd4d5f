"""Where an estimator has no ONNX form scikit-learn serves it, and no file makes a worker run or serve anything else."""

import functools
import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import skops.io
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from services.adapters.model_store import BentoModelStore
from services.core.artifacts import ESTIMATOR_FILE, MANIFEST_FILE, ServedForm
from services.core.errors import CorruptArtifact
from services.core.records import CHAMPION
from services.entrypoints.http_views import model_card
from services.entrypoints.worker import build_worker
from services.serving.form import Row
from services.serving.form_sklearn import TRUSTED
from services.serving.runtime import load, read_manifest
from services.settings import Settings
from tests.artifacts import add_kept_version, add_toy_version, train_on_waves, training_set
from tests.toy import toy_spec
from tests.unit.test_champion import Bench

SPEC = toy_spec()
RECORDED = Path(__file__).parents[1] / "recorded"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return add_kept_version(BentoModelStore(tmp_path), "v1")


def test_the_manifest_says_that_scikit_learn_serves_and_why(directory: Path) -> None:
    manifest = read_manifest(directory)
    assert manifest.served_form is ServedForm.SCIKIT_LEARN
    assert "RBFSampler" in manifest.not_converted


def test_scikit_learn_scores_one_row_and_many_like_the_fitted_estimator(directory: Path) -> None:
    training = training_set(1)
    expected = list(train_on_waves(training).predict_proba(training.features)[:20, 1])
    rows = rows_of(20)
    model = load(directory, SPEC)
    assert model.score_many(rows) == expected
    assert [model.score(row) for row in rows] == expected
    assert model.score_many([]) == []


def test_what_a_row_lacks_is_a_gap(directory: Path) -> None:
    training = training_set(1)
    gaps = training.features.head(20).assign(mood=float("nan"))
    expected = list(train_on_waves(training).predict_proba(gaps)[:, 1])
    lacking = [{name: value for name, value in row.items() if name != "mood"} for row in rows_of(20)]
    assert load(directory, SPEC).score_many(lacking) == expected


class Foreign:
    """What somebody else's file might hold."""


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.target}",)


def test_a_pickle_under_the_estimators_name_is_refused_and_not_run(directory: Path, tmp_path: Path) -> None:
    target = tmp_path / "ran"
    put(directory, pickle.dumps(Bomb(target)))
    with pytest.raises(CorruptArtifact, match="no estimator that skops loads"):
        load(directory, SPEC)
    assert not target.exists()


@pytest.mark.parametrize(
    ("foreign", "words"),
    [
        (Foreign(), r"holds tests\.unit\.test_served_forms\.Foreign, which TRUSTED"),
        (make_pipeline(FunctionTransformer(os.system)), r"holds posix\.system, which TRUSTED"),
        (StandardScaler(), r"holds a sklearn\.preprocessing\._data\.StandardScaler, expected a classifier"),
        ({"model": 1}, r"holds a builtins\.dict, expected a classifier"),
    ],
)
def test_a_file_that_holds_something_else_is_refused_and_the_error_names_it(
    directory: Path, foreign: object, words: str
) -> None:
    put(directory, skops.io.dumps(foreign))
    with pytest.raises(CorruptArtifact, match=words) as refused:
        load(directory, SPEC)
    assert "`bellwether rollback toy`" in str(refused.value)


def test_an_unlisted_type_is_refused_with_the_remedy(directory: Path) -> None:
    put(directory, skops.io.dumps(Foreign()))
    with pytest.raises(
        CorruptArtifact, match="train an estimator made of scikit-learn's own parts, or argue there why"
    ):
        load(directory, SPEC)


def test_an_estimator_of_other_training_does_not_pass_for_this_one(directory: Path) -> None:
    put(directory, skops.io.dumps(train_on_waves(training_set(2))))
    with pytest.raises(CorruptArtifact, match="canary row 0 scores"):
        load(directory, SPEC)


def test_one_changed_byte_of_the_estimator_is_found(directory: Path) -> None:
    flip_a_byte(directory)
    with pytest.raises(CorruptArtifact, match=r"estimator\.skops has SHA-256"):
        load(directory, SPEC)


async def test_no_harmed_estimator_replaces_a_version_that_serves(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    add_toy_version(bench.store, "v1")
    bench.promote("v1")
    await bench.watch.look()
    harmed: dict[str, Callable[[Path], None]] = {
        "v2": flip_a_byte,
        "v3": lambda directory: put(directory, skops.io.dumps(Foreign())),
        "v4": lambda directory: put(directory, pickle.dumps(Bomb(tmp_path / "ran"))),
    }
    for version, harm in harmed.items():
        harm(add_kept_version(bench.store, version))
        bench.promote(version)
        await bench.watch.look()
        assert bench.version == "v1"
        assert bench.watch.problem.startswith(f"{version} was refused: version in ")


async def test_a_worker_swaps_from_one_form_to_the_other_and_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    add_toy_version(bench.store, "v1")
    add_kept_version(bench.store, "v2")
    for version in ("v1", "v2", "v1"):
        bench.promote(version)
        await bench.watch.look()
        assert (bench.version, bench.watch.problem) == (version, "")


async def test_the_model_page_says_what_serves_and_why(tmp_path: Path) -> None:
    worker = build_worker([SPEC], Settings(home=tmp_path))
    add_toy_version(worker.store, "v1")
    add_kept_version(worker.store, "v2")
    hosted = worker.model("toy")
    shown = {}
    for version in ("", "v1", "v2"):
        if version:
            hosted.watch.fleet.publish("toy", {CHAMPION: version})
        await hosted.watch.look()
        shown[version] = model_card(hosted, versions=["v1", "v2"])
    await worker.close()

    assert (shown[""]["served_form"], shown[""]["parity"]) == (None, None)
    assert (shown["v1"]["served_form"], shown["v1"]["not_converted"]) == ("onnx", None)
    assert shown["v2"]["served_form"] == "scikit-learn"
    assert "RBFSampler" in shown["v2"]["not_converted"]


def test_what_a_listed_type_calls_has_to_be_listed_too(directory: Path) -> None:
    assert "functools.partial" in TRUSTED
    put(directory, skops.io.dumps(FunctionTransformer(functools.partial(os.system, "true"))))
    with pytest.raises(CorruptArtifact, match=r"holds posix\.system, which TRUSTED"):
        load(directory, SPEC)


def test_a_version_from_before_the_forms_were_told_apart_is_onnx_and_still_serves() -> None:
    """Recorded by the code that knew no other form; it is read for ever."""
    model = load(RECORDED / "version_format_1_onnx_only", SPEC)
    assert (model.manifest.served_form, model.manifest.not_converted) == (ServedForm.ONNX, "")
    assert model.score(model.manifest.canary[0].features) == pytest.approx(model.manifest.canary[0].score, abs=1e-6)


def test_a_version_from_before_the_onnx_form_was_float64_still_serves() -> None:
    """Boosted trees behind an encoder and stages, with gaps; loading compares every row of its canary."""
    model = load(RECORDED / "version_format_1_float32", SPEC)
    expected = [case.score for case in model.manifest.canary]
    assert model.score_many([case.features for case in model.manifest.canary]) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(Exception, match="Unknown Category"):
        model.score({"amount": 90.0, "visits": 4.0})


def test_a_worker_that_serves_onnx_alone_loads_no_training_library(tmp_path: Path) -> None:
    assert libraries_after_loading(add_toy_version(BentoModelStore(tmp_path), "v1")) == set()


def test_a_worker_loads_scikit_learn_with_the_first_version_that_needs_it(directory: Path) -> None:
    assert libraries_after_loading(directory) == {"pandas", "sklearn", "skops"}


def libraries_after_loading(directory: Path) -> set[str]:
    script = (
        "import sys; from pathlib import Path; from tests.toy import toy_spec; from services.serving import runtime;"
        "runtime.load(Path(sys.argv[1]), toy_spec());"
        "print(*({'sklearn', 'pandas', 'skops', 'skl2onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(directory)], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def put(directory: Path, content: bytes) -> None:
    """Replace the estimator and let the manifest say so, as whoever can write the one can write the other."""
    (directory / ESTIMATOR_FILE).write_bytes(content)
    manifest = read_manifest(directory)
    files = manifest.files | {ESTIMATOR_FILE: hashlib.sha256(content).hexdigest()}
    (directory / MANIFEST_FILE).write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, files=files)))


def flip_a_byte(directory: Path) -> None:
    content = bytearray((directory / ESTIMATOR_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (directory / ESTIMATOR_FILE).write_bytes(content)


def rows_of(number: int) -> list[Row]:
    rows = training_set(1).features.head(number).itertuples(index=False)
    return [dict(zip(SPEC.feature_names, row, strict=True)) for row in rows]
