"""The champions' training references, and where their calibrations lie: in the version, or in the home's cache."""

import io
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec
import pandas as pd

from monitoring.evaluation.calibration import NOTHING, Calibration, decoded, merged
from monitoring.evaluation.drift import Reference, calibrated, is_calibrated, reference_of
from services.core.artifacts import CALIBRATION_FILE, REFERENCE_FILE, sha256_of
from services.core.errors import UNDECODABLE
from services.core.ports import ModelStore
from services.core.spec import ModelSpec

HASH_DIGITS: Final = 16

logger = logging.getLogger("bellwether.monitor")


@dataclass(frozen=True, slots=True)
class CalibrationCache:
    """Calibrations of versions that came without one, or whose spec has changed since: one file for a model.

    It is named by the reference that it belongs to. What cannot be read is drawn anew.
    """

    directory: Path

    def read(self, model: str, reference_sha256: str) -> Calibration:
        path = self._path(model, reference_sha256)
        try:
            return decoded(path.read_bytes())
        except FileNotFoundError:
            return NOTHING
        except (OSError, *UNDECODABLE) as error:
            logger.warning("the calibration in %s cannot be read and is made anew: %s", path, error)
            return NOTHING

    def write(self, model: str, reference_sha256: str, calibration: Calibration) -> None:
        """Keep it, and drop those of the model's other versions. A home that takes no file costs the next start."""
        path = self._path(model, reference_sha256)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            aside = path.with_name(f".{path.name}.{os.getpid()}")
            aside.write_bytes(msgspec.json.encode(calibration))
            aside.replace(path)
            for other in self.directory.glob(f"{model}-*.json"):
                if other != path:
                    other.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("the calibration of %s could not be kept in %s: %s", model, path, error)

    def _path(self, model: str, reference_sha256: str) -> Path:
        return self.directory / f"{model}-{reference_sha256[:HASH_DIGITS]}.json"


@dataclass(slots=True)
class References:
    """One reference is kept per model, with every threshold calibrated. From any thread; models do not wait for one
    another.

    `recorded` says what the manifests of a model's versions have to be, as `RecordStore.manifests`.
    """

    models: ModelStore
    cache: CalibrationCache
    recorded: Callable[[str], Mapping[str, str]] = lambda _: {}
    _kept: dict[str, Reference] = field(default_factory=dict)
    _locks: dict[str, Lock] = field(default_factory=dict)

    def of(self, spec: ModelSpec, version: str) -> Reference:
        """The version's training reference.

        Raises:
            UnknownVersion, CorruptArtifact, OSError, pyarrow's errors: the version or its files cannot be read, or are
                not those of its manifest.
        """
        with self._locks.setdefault(spec.name, Lock()):
            kept = self._kept.get(spec.name)
            if kept is None or kept.version != version:
                kept = self._kept[spec.name] = self._read(spec, version)
            return kept

    def _read(self, spec: ModelSpec, version: str) -> Reference:
        content = self._content(spec.name, version, REFERENCE_FILE)
        sha256, frame = sha256_of(content), pd.read_parquet(io.BytesIO(content))
        known = merged(self._kept_with(spec.name, version), self.cache.read(spec.name, sha256))
        reference = reference_of(spec, version, frame, calibration=known)
        if not is_calibrated(spec, reference):
            logger.info("%s: calibrating the drift thresholds of %s, once", spec.name, version)
            self.cache.write(spec.name, sha256, calibrated(spec, reference))
        return reference

    def _kept_with(self, model: str, version: str) -> Calibration:
        """What the version came with. It was packaged before any did, where it has no such file."""
        if not (self.models.directory(model, version) / CALIBRATION_FILE).is_file():
            return NOTHING
        return decoded(self._content(model, version, CALIBRATION_FILE))

    def _content(self, model: str, version: str, name: str) -> bytes:
        recorded = self.recorded(model).get(version, "")
        return self.models.read(model, version, name, manifest_sha256=recorded)
