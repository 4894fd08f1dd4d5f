"""A version's drift thresholds are calibrated once: with the version, or in the home."""

import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from monitoring.evaluation.calibration import FORMAT, Calibration, Chance
from monitoring.evaluation.drift import Reference, ReferenceColumn, is_calibrated
from monitoring.evaluation.references import CalibrationCache, References
from monitoring.lifecycle.retrain import first_version
from services.core.artifacts import CALIBRATION_FILE, MANIFEST_FILE, Manifest
from services.core.errors import CorruptArtifact
from services.core.spec import DriftPolicy
from tests.monitoring import VersionsOnDisk
from tests.toy_traffic import toy_reference
from tests.workshop import SPEC, Bench, open_bench, past_cases


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = open_bench(tmp_path)
    assert first_version(SPEC, bench.workshop, cases=past_cases(2000, seed=1)).promoted
    return bench


def references(bench: Bench, home: Path) -> References:
    """Those of a process that has just started."""
    return References(bench.workshop.models, CalibrationCache(home / "calibrations"))


def thresholds(reference: Reference) -> dict[str, float]:
    return {each.name: each.threshold(2000) for each in reference.columns.values() if isinstance(each, ReferenceColumn)}


def test_a_version_is_packaged_with_its_calibration_and_the_manifest_vouches_for_it(bench: Bench) -> None:
    directory = bench.workshop.models.directory("toy", "v1")
    manifest = msgspec.json.decode((directory / MANIFEST_FILE).read_bytes(), type=Manifest)
    content = (directory / CALIBRATION_FILE).read_bytes()
    assert manifest.files[CALIBRATION_FILE] == hashlib.sha256(content).hexdigest()


def test_a_monitor_that_starts_draws_nothing_for_a_version_that_has_its_calibration(
    bench: Bench, tmp_path: Path
) -> None:
    found = references(bench, tmp_path).of(SPEC, "v1")
    assert is_calibrated(SPEC, found)
    assert not (tmp_path / "calibrations").exists()


def test_a_version_from_before_is_calibrated_once_for_all_starts(tmp_path: Path) -> None:
    versions = VersionsOnDisk(tmp_path / "versions")
    versions.add("v1", toy_reference())
    cache = CalibrationCache(tmp_path / "calibrations")

    first = References(versions.port, cache).of(SPEC, "v1")
    (kept,) = cache.directory.iterdir()
    written = kept.stat().st_mtime_ns
    again = References(versions.port, cache).of(SPEC, "v1")

    assert is_calibrated(SPEC, again)
    assert kept.stat().st_mtime_ns == written
    assert thresholds(again) == thresholds(first)


def test_a_home_keeps_the_calibration_of_a_models_newest_version_alone(tmp_path: Path) -> None:
    versions = VersionsOnDisk(tmp_path / "versions")
    kept = References(versions.port, CalibrationCache(tmp_path / "calibrations"))
    for number in (1, 2):
        versions.add(f"v{number}", toy_reference(seed=number))
        kept.of(SPEC, f"v{number}")
    assert len(list((tmp_path / "calibrations").iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"{", b'{"columns": 3}', b"\xff"])
def test_a_cache_that_cannot_be_read_is_made_anew(tmp_path: Path, content: bytes) -> None:
    versions = VersionsOnDisk(tmp_path / "versions")
    versions.add("v1", toy_reference())
    cache = CalibrationCache(tmp_path / "calibrations")
    sound = References(versions.port, cache).of(SPEC, "v1")
    (kept,) = cache.directory.iterdir()
    kept.write_bytes(content)

    assert thresholds(References(versions.port, cache).of(SPEC, "v1")) == thresholds(sound)
    assert kept.read_bytes() != content


@pytest.mark.parametrize("members", [{}, {"columns": "of another kind"}], ids=["other distances", "other members"])
def test_a_calibration_of_another_format_is_not_used(tmp_path: Path, members: dict[str, str]) -> None:
    versions = VersionsOnDisk(tmp_path / "versions")
    versions.add("v1", toy_reference())
    cache = CalibrationCache(tmp_path / "calibrations")
    sound = References(versions.port, cache).of(SPEC, "v1")
    (kept,) = cache.directory.iterdir()
    drawn = msgspec.json.decode(kept.read_bytes(), type=Calibration)
    far = {size: Chance(100.0, 1.0) for size in drawn.columns["amount"].chances}
    amount = msgspec.structs.replace(drawn.columns["amount"], chances=far)
    other = Calibration(columns=drawn.columns | {"amount": amount}, format=FORMAT + 1)
    kept.write_bytes(msgspec.json.encode(msgspec.to_builtins(other, str_keys=True) | members))

    assert thresholds(References(versions.port, cache).of(SPEC, "v1")) == thresholds(sound)


def test_a_home_that_takes_no_file_costs_a_calibration_and_nothing_else(tmp_path: Path) -> None:
    versions = VersionsOnDisk(tmp_path / "versions")
    versions.add("v1", toy_reference())
    (tmp_path / "calibrations").write_text("in the way")
    assert is_calibrated(SPEC, References(versions.port, CalibrationCache(tmp_path / "calibrations")).of(SPEC, "v1"))


@pytest.mark.parametrize("name", [CALIBRATION_FILE, "reference.parquet"])
def test_a_file_that_is_not_the_manifests_is_refused(bench: Bench, tmp_path: Path, name: str) -> None:
    path = bench.workshop.models.directory("toy", "v1") / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(CorruptArtifact, match=f"{name} has SHA-256 .*, expected "):
        references(bench, tmp_path).of(SPEC, "v1")


def test_a_spec_that_changes_its_method_is_calibrated_once_in_the_home(bench: Bench, tmp_path: Path) -> None:
    changed = replace(SPEC, drift=DriftPolicy(numeric="psi"))
    assert is_calibrated(changed, references(bench, tmp_path).of(changed, "v1"))
    (kept,) = (tmp_path / "calibrations").iterdir()
    written = kept.stat().st_mtime_ns

    assert is_calibrated(changed, references(bench, tmp_path).of(changed, "v1"))
    assert kept.stat().st_mtime_ns == written
