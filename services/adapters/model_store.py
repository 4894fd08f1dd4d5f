"""Versions in BentoML's model store, so that its commands (`bentoml models list`, `export`, …) see them.

BentoML's own `save` copies into the final directory file by file, and a directory that a crash left half written breaks
its `list` for good. Here a version is written beside the store, synced, and renamed into it. The store's location is an
argument: BentoML's own look-up of BENTOML_HOME happens once per process, at import. It is not the BENTOML_HOME of a
service, which empties parts of its own when it starts; with it as BENTOML_HOME the commands find the versions.
"""

import errno
import os
import re
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from services.adapters.durable import replace_file, sync_directory, sync_file
from services.adapters.process_ids import runs
from services.core.artifacts import MANIFEST_FILE, Manifest, encoded, sha256_of
from services.core.errors import UNDECODABLE, CorruptArtifact, UnknownVersion

_VERSION: Final = re.compile(r"v([1-9][0-9]*)")


class BentoModelStore:
    """`ports.ModelStore` in `directory`. One process at a time adds versions of a model, the one with its lease; any
    number reads them, of as many services as share the directory."""

    def __init__(self, directory: Path) -> None:
        self._models = directory / "models"
        # Beside the store and on the same file system: whatever lies inside it, BentoML takes for a model.
        self._incoming = directory / "incoming"

    def next_version(self, model: str) -> str:
        versions = self.versions(model)
        return f"v{_number(versions[-1]) + 1}" if versions else "v1"

    def versions(self, model: str) -> list[str]:
        found = (entry.name for entry in (self._models / model).glob("v*") if entry.is_dir())
        return sorted((name for name in found if _VERSION.fullmatch(name)), key=_number)

    def directory(self, model: str, version: str) -> Path:
        if version not in (versions := self.versions(model)):
            known = ", ".join(versions) or "none"
            raise UnknownVersion(f"model {model!r} has no version {version[:64]!r}; it has {known}")
        return self._models / model / version

    def read(self, model: str, version: str, name: str, *, manifest_sha256: str) -> bytes:
        directory = self.directory(model, version)
        try:
            manifest, content = (directory / MANIFEST_FILE).read_bytes(), (directory / name).read_bytes()
            expected = msgspec.json.decode(manifest, type=Manifest).files.get(name, "none")
        except (OSError, *UNDECODABLE) as error:
            raise _corrupt(directory, f"its {name} or {MANIFEST_FILE} cannot be read: {error}") from error
        for what, found, wanted in (
            (MANIFEST_FILE, sha256_of(manifest), manifest_sha256),
            (name, sha256_of(content), expected),
        ):
            if wanted and found != wanted:
                raise _corrupt(directory, f"{what} has SHA-256 {found}, expected {wanted}")
        return content

    def add(self, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
        _check(manifest, files, taken=self.versions(manifest.model))
        self._remove_what_crashes_left()
        aside = self._incoming / f"{manifest.model}-{manifest.version}.{os.getpid()}@{socket.gethostname()}"
        # What this process began before, and did not end.
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for name, content in {**files, MANIFEST_FILE: encoded(manifest)}.items():
            (aside / name).write_bytes(content)
        _describe(manifest, aside)
        return self._move_in(manifest, aside)

    def _move_in(self, manifest: Manifest, aside: Path) -> Path:
        for path in aside.iterdir():
            sync_file(path)
        sync_directory(aside)
        final = self._models / manifest.model / manifest.version
        final.parent.mkdir(parents=True, exist_ok=True)
        _rename(aside, final)
        self._point_latest(manifest)
        sync_directory(final.parent)
        return final

    def _remove_what_crashes_left(self) -> None:
        """Of processes of this machine; others may be writing at this moment. One without a host is of a version of
        ours that wrote none."""
        for aside in self._incoming.glob("*"):
            process, at, host = aside.name.rpartition("@")
            pid = process.rpartition(".")[2]
            if not at or (host == socket.gethostname() and pid.isdecimal() and not runs(int(pid))):
                shutil.rmtree(aside, ignore_errors=True)

    def _point_latest(self, manifest: Manifest) -> None:
        """What BentoML's tag `model:latest` means; nothing here reads it."""
        replace_file(self._models / manifest.model / "latest", manifest.version.encode(), durable=True)


def _rename(aside: Path, final: Path) -> None:
    try:
        aside.rename(final)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        shutil.rmtree(aside, ignore_errors=True)
        raise CorruptArtifact(_taken(f"version {final.name} of {final.parent.name}")) from error


def _corrupt(directory: Path, problem: str) -> CorruptArtifact:
    return CorruptArtifact(f"version in {directory}: {problem}; restore it, or promote another version")


def _taken(name: str) -> str:
    return f"{name} exists already, and versions never change; ask the store for the next one"


def _check(manifest: Manifest, files: Mapping[str, bytes], *, taken: list[str]) -> None:
    name = f"version {manifest.version} of {manifest.model}"
    if not _VERSION.fullmatch(manifest.version):
        raise CorruptArtifact(f"{name}: expected a version such as v1; ask the store for the next one")
    if manifest.version in taken:
        raise CorruptArtifact(_taken(name))
    hashes = {file: sha256_of(content) for file, content in files.items()}
    if hashes != manifest.files:
        wrong = sorted(file for file in hashes | manifest.files if hashes.get(file) != manifest.files.get(file))
        raise CorruptArtifact(f"{name}: {', '.join(wrong)} differ from the manifest; write it from the same bytes")


def _describe(manifest: Manifest, directory: Path) -> None:
    """Write BentoML's `model.yaml`.

    Through its classes and not through `bentoml.models.create`, which reports every saved model to its makers unless
    a variable of the process's environment forbids it.
    """
    from bentoml._internal.models.model import ModelContext, ModelInfo  # noqa: PLC0415 - only who registers pays for it
    from bentoml._internal.tag import Tag  # noqa: PLC0415

    info = ModelInfo(
        tag=Tag(manifest.model, manifest.version),
        module="",
        labels={"project": "bellwether"},
        options={},
        metadata={"training_set": manifest.training_set, "training_rows": manifest.training_rows},
        context=ModelContext(framework_name=manifest.served_form.value, framework_versions={}),
        signatures={},
        api_version="v1",
        creation_time=manifest.created_at,
    )
    with (directory / "model.yaml").open("w", encoding="utf-8") as file:
        info.dump(file)


def _number(version: str) -> int:
    match = _VERSION.fullmatch(version)
    return int(match[1]) if match else 0
