"""A version serves only when it is exactly what its manifest says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from services.adapters.model_store import BentoModelStore
from services.core.artifacts import MANIFEST_FILE, ONNX_FILE, CanaryCase, sha256_of
from services.core.errors import CorruptArtifact, UnfitVersion
from services.core.features import Value
from services.core.spec import Categorical, Feature, Numeric, Source
from services.serving.runtime import load, read_manifest
from tests.artifacts import add_kept_version, add_toy_version, training_set
from tests.toy import _feature, toy_spec

SPEC = toy_spec()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return add_toy_version(BentoModelStore(tmp_path), "v1")


def test_the_served_form_scores_like_the_estimator_one_row_and_many(directory: Path) -> None:
    training = training_set(1)
    expected = SPEC.train(training).predict_proba(training.features)[:20, 1]
    rows: list[dict[str, Value]] = [
        dict(zip(SPEC.feature_names, row, strict=True)) for row in training.features[:20].itertuples(index=False)
    ]
    model = load(directory, SPEC)
    assert model.score_many(rows) == pytest.approx(list(expected), abs=1e-5)
    assert [model.score(row) for row in rows] == pytest.approx(list(expected), abs=1e-5)
    assert model.score_many([]) == []


def test_a_row_does_not_see_the_values_of_the_row_before(directory: Path) -> None:
    model = load(directory, SPEC)
    row: dict[str, Value] = {"amount": 100.0, "plan": "yearly", "visits": 5.0, "mood": 0.0}
    before = model.score(row)
    model.score({"amount": 1.0, "plan": "monthly", "visits": 9.0, "mood": 3.0})
    assert model.score(row) == before


def test_a_score_that_is_no_probability_is_an_error_and_no_answer(directory: Path) -> None:
    with pytest.raises(ArithmeticError, match="expected a probability"):
        load(directory, SPEC).score({"plan": "yearly", "visits": 5.0, "mood": 0.0})


def flip_a_bit(directory: Path) -> None:
    content = bytearray((directory / ONNX_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (directory / ONNX_FILE).write_bytes(content)


def add_a_file(directory: Path) -> None:
    (directory / "surprise.pkl").write_bytes(b"")


def add_a_directory(directory: Path) -> None:
    (directory / "more").mkdir()


def remove_the_model(directory: Path) -> None:
    (directory / ONNX_FILE).unlink()


def cut_the_manifest(directory: Path) -> None:
    path = directory / MANIFEST_FILE
    path.write_bytes(path.read_bytes()[:-20])


def nest_deeply_in_the_manifest(directory: Path) -> None:
    path = directory / MANIFEST_FILE
    path.write_bytes(b'{"more":' + b"[" * 100_000 + b"]" * 100_000 + b"," + path.read_bytes()[1:])


def rewrite(**changes: object) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        manifest = msgspec.structs.replace(read_manifest(directory), **changes)
        (directory / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))

    return change


CANARY = CanaryCase({"amount": 100.0, "plan": "yearly", "visits": 5.0, "mood": 0.0}, 0.999)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (flip_a_bit, "has SHA-256"),
        (add_a_file, "surprise.pkl"),
        (add_a_directory, "more"),
        (remove_the_model, "found files"),
        (cut_the_manifest, "cannot be read"),
        (nest_deeply_in_the_manifest, "cannot be read"),
        (rewrite(format=2), "format 2, expected 1"),
        (rewrite(model="other"), "found model 'other', expected 'toy'"),
        (rewrite(features=["plan", "amount", "visits"]), r"takes \{'mood': 'double'\}, the spec has \{\}"),
        (rewrite(canary=[]), "no canary rows"),
        (rewrite(canary=[CANARY]), "canary row 0 scores"),
        (rewrite(canary=[CanaryCase({"plan": "yearly"}, 0.5)]), "canary row 0 cannot be scored"),
        (rewrite(files={}), f"lists no {ONNX_FILE}"),
    ],
)
def test_a_harmed_version_is_refused_and_the_error_says_what_to_do(
    directory: Path, harm: Callable[[Path], None], words: str
) -> None:
    harm(directory)
    with pytest.raises(CorruptArtifact, match=words) as refused:
        load(directory, SPEC)
    assert "`bellwether rollback toy`" in str(refused.value)
    assert "`bellwether retrain toy`" in str(refused.value)


EXTRA = _feature("extra", Numeric(), Source.REQUEST)
AMOUNT, PLAN, VISITS, MOOD = SPEC.features
ROW: dict[str, Value] = {"amount": 100.0, "plan": "yearly", "visits": 5.0, "mood": 0.0}


@pytest.mark.parametrize("add", [add_toy_version, add_kept_version])
@pytest.mark.parametrize(
    "features",
    [
        pytest.param((*SPEC.features, EXTRA), id="a feature more"),
        pytest.param((EXTRA, *SPEC.features), id="a feature more, as the first"),
        pytest.param(SPEC.features[::-1], id="another order"),
        pytest.param(
            (AMOUNT, replace(PLAN, kind=Categorical(("weekly", "monthly", "yearly"))), VISITS, MOOD),
            id="a category more",
        ),
        pytest.param((AMOUNT, PLAN, replace(VISITS, source=Source.REQUEST), MOOD), id="from elsewhere"),
        pytest.param((replace(AMOUNT, kind=Numeric(low=0)), PLAN, VISITS, MOOD), id="a wider bound"),
    ],
)
def test_a_version_serves_a_spec_that_has_more_by_now_as_it_did_before(
    tmp_path: Path, add: Callable[[BentoModelStore, str], Path], features: tuple[Feature, ...]
) -> None:
    directory = add(BentoModelStore(tmp_path), "v1")
    model = load(directory, toy_spec(features=features))
    assert model.score(ROW | {"extra": 7.0}) == pytest.approx(load(directory, SPEC).score(ROW), abs=1e-6)
    assert model.spec.feature_names == SPEC.feature_names


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ((AMOUNT, PLAN, MOOD), "does not have: feature visits. Put it back"),
        ((EXTRA, PLAN, MOOD), "does not have: features amount, visits. Put it back"),
        ((AMOUNT, replace(PLAN, kind=Categorical(("monthly",))), VISITS, MOOD), "does not have: plan 'yearly'"),
        ((AMOUNT, replace(PLAN, kind=Numeric()), VISITS, MOOD), "plan as a category, which is a number now"),
        (
            (replace(AMOUNT, kind=Categorical(("low", "high"))), PLAN, VISITS, MOOD),
            "amount as a number, which is a category now",
        ),
    ],
)
@pytest.mark.parametrize("add", [add_toy_version, add_kept_version])
def test_a_version_whose_features_are_gone_or_others_is_refused_and_each_is_named(
    tmp_path: Path, add: Callable[[BentoModelStore, str], Path], features: tuple[Feature, ...], words: str
) -> None:
    directory = add(BentoModelStore(tmp_path), "v1")
    rewrite(categories={"plan": ["monthly", "yearly"]})(directory)
    with pytest.raises(UnfitVersion, match=words) as refused:
        load(directory, toy_spec(features=features, slices=()))
    assert "`bellwether retrain toy`" in str(refused.value)


def test_of_a_version_from_before_categories_were_written_its_rows_tell_them(directory: Path) -> None:
    fewer = (AMOUNT, replace(PLAN, kind=Categorical(("weekly",))), VISITS, MOOD)
    with pytest.raises(UnfitVersion, match=r"plan '(monthly|yearly)'"):
        load(directory, toy_spec(features=fewer))


def test_a_directory_without_a_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifact, match=MANIFEST_FILE):
        load(tmp_path, SPEC)


def test_a_version_that_was_rewritten_as_a_whole_is_told_by_the_hash_of_its_manifest(tmp_path: Path) -> None:
    """Other weights, and a manifest whose hashes and canary fit them."""
    store = BentoModelStore(tmp_path)
    registered = sha256_of((add_toy_version(store, "v1") / MANIFEST_FILE).read_bytes())
    rewritten = add_toy_version(BentoModelStore(tmp_path / "elsewhere"), "v1", seed=2)

    assert load(rewritten, SPEC).version == "v1"
    assert load(store.directory("toy", "v1"), SPEC, manifest_sha256=registered).version == "v1"
    with pytest.raises(CorruptArtifact, match=rf"manifest\.json has SHA-256 .*, but {registered} was registered"):
        load(rewritten, SPEC, manifest_sha256=registered)
