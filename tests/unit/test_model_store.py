"""A version is complete or absent, and never changes."""

import os
import socket
import subprocess
import sys
from collections import UserDict
from collections.abc import KeysView, Mapping
from pathlib import Path

import msgspec
import pytest

from services.adapters.model_store import BentoModelStore
from services.core.artifacts import MANIFEST_FILE, ONNX_FILE, encoded, sha256_of
from services.core.errors import CorruptArtifact, UnknownVersion
from services.serving.runtime import read_manifest
from tests.artifacts import add_toy_version, toy_version


@pytest.fixture
def store(tmp_path: Path) -> BentoModelStore:
    return BentoModelStore(tmp_path)


def test_versions_are_counted_and_sorted_as_numbers(store: BentoModelStore) -> None:
    assert (store.next_version("toy"), store.versions("toy")) == ("v1", [])
    for version in ("v1", "v10", "v9"):
        add_toy_version(store, version)
    assert store.versions("toy") == ["v1", "v9", "v10"]
    assert store.next_version("toy") == "v11"


def test_a_kept_version_has_its_manifest_and_files(store: BentoModelStore) -> None:
    manifest, files = toy_version("v1")
    directory = store.add(manifest, files)
    assert store.directory("toy", "v1") == directory
    assert read_manifest(directory) == manifest
    assert {name: (directory / name).read_bytes() for name in files} == files


def test_a_file_is_read_only_where_it_and_its_manifest_are_those_that_were_registered(store: BentoModelStore) -> None:
    directory = add_toy_version(store, "v1")
    recorded, content = sha256_of((directory / MANIFEST_FILE).read_bytes()), (directory / ONNX_FILE).read_bytes()

    def read(sha256: str) -> bytes:
        return store.read("toy", "v1", ONNX_FILE, manifest_sha256=sha256)

    assert read(recorded) == read("") == content
    (directory / ONNX_FILE).write_bytes(content + b"!")
    for sha256 in (recorded, ""):
        with pytest.raises(
            CorruptArtifact, match=r"model\.onnx has SHA-256 .*; restore it, or .* `bellwether promote toy VERSION`"
        ):
            read(sha256)
    rewritten = msgspec.structs.replace(read_manifest(directory), files={ONNX_FILE: sha256_of(content + b"!")})
    (directory / MANIFEST_FILE).write_bytes(encoded(rewritten))
    assert read("") == content + b"!"
    with pytest.raises(CorruptArtifact, match=rf"manifest\.json has SHA-256 .*, expected {recorded}"):
        read(recorded)
    with pytest.raises(CorruptArtifact, match=r"surprise\.parquet .*cannot be read"):
        store.read("toy", "v1", "surprise.parquet", manifest_sha256="")
    with pytest.raises(UnknownVersion):
        store.read("toy", "v2", ONNX_FILE, manifest_sha256="")


def test_a_file_that_the_manifest_does_not_list_is_not_read(store: BentoModelStore) -> None:
    (add_toy_version(store, "v1") / "surprise.parquet").write_bytes(b"rows")
    with pytest.raises(CorruptArtifact, match="expected none"):
        store.read("toy", "v1", "surprise.parquet", manifest_sha256="")


def test_bentoml_lists_what_was_kept(store: BentoModelStore, tmp_path: Path) -> None:
    from bentoml._internal.models import ModelStore

    add_toy_version(store, "v1")
    add_toy_version(store, "v2")
    bentos = ModelStore(tmp_path / "models")
    assert [str(each.tag) for each in bentos.list()] == ["toy:v1", "toy:v2"]
    assert str(bentos.get("toy:latest").tag) == "toy:v2"


def test_files_that_are_not_those_of_the_manifest_are_refused_and_leave_nothing(store: BentoModelStore) -> None:
    manifest, files = toy_version("v1")
    with pytest.raises(CorruptArtifact, match=r"model\.onnx differ"):
        store.add(manifest, {name: content + b"!" for name, content in files.items()})
    assert store.versions("toy") == []


def test_a_version_never_changes(store: BentoModelStore) -> None:
    add_toy_version(store, "v1")
    with pytest.raises(CorruptArtifact, match="exists already"):
        add_toy_version(store, "v1", seed=2)


class SlowFiles(UserDict[str, bytes]):
    """While they are written, after the check of what there is, another process adds the version."""

    def __init__(self, files: Mapping[str, bytes], models: Path) -> None:
        super().__init__(files)
        self.models = models

    def keys(self) -> KeysView[str]:
        (self.models / "toy" / "v1").mkdir(parents=True)
        (self.models / "toy" / "v1" / "model.onnx").write_text("the other's")
        return super().keys()


def test_of_two_processes_that_add_one_version_the_second_is_refused_and_leaves_nothing(
    store: BentoModelStore, tmp_path: Path
) -> None:
    manifest, files = toy_version("v1")
    with pytest.raises(CorruptArtifact, match="version v1 of toy exists already"):
        store.add(manifest, SlowFiles(files, tmp_path / "models"))
    assert (store.directory("toy", "v1") / "model.onnx").read_text() == "the other's"
    assert list((tmp_path / "incoming").iterdir()) == []


def test_what_a_crash_left_is_removed_and_what_others_are_writing_is_not(
    store: BentoModelStore, tmp_path: Path
) -> None:
    here = socket.gethostname()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = {"toy-v1", f"toy-v1.{ended.pid}@{here}", f"toy-v1.{os.getppid()}@{here}", "toy-v1.1@elsewhere.example"}
    for name in names:
        (tmp_path / "incoming" / name).mkdir(parents=True)

    add_toy_version(store, "v1")

    assert {entry.name for entry in (tmp_path / "incoming").iterdir()} == {
        f"toy-v1.{os.getppid()}@{here}",
        "toy-v1.1@elsewhere.example",
    }


@pytest.mark.parametrize("version", ["1", "v0", "v01", "../v1", "latest", ""])
def test_a_version_is_called_v_and_a_number(store: BentoModelStore, version: str) -> None:
    manifest, files = toy_version("v1")
    with pytest.raises(CorruptArtifact, match="expected a version such as v1"):
        store.add(msgspec.structs.replace(manifest, version=version), files)
    with pytest.raises(UnknownVersion, match="it has none"):
        store.directory("toy", version)


def test_what_a_crash_left_half_written_is_no_version_and_does_not_stop_the_next(
    store: BentoModelStore, tmp_path: Path
) -> None:
    half = tmp_path / "incoming" / "toy-v1"
    half.mkdir(parents=True)
    (half / "model.onnx").write_bytes(b"half")
    assert store.versions("toy") == []
    assert (add_toy_version(store, "v1") / "model.yaml").exists()
