"""The lifecycle and the serving workers of one machine share two directories: aliases down, reports up."""

import socket
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from services.adapters.durable import replace_file
from services.adapters.process_ids import runs
from services.core.artifacts import WorkerReport
from services.core.clock import Now, wall_clock
from services.core.errors import CorruptArtifact

MANIFEST: Final = "manifest-sha256:"
"""What the members of an alias file that are no aliases begin with."""

REPORT_LIFE: Final = timedelta(seconds=30)
"""A worker reports several times in this; an older report is of a process that ended and whose id another may have."""


class FleetFiles:
    """`ports.Fleet` on files that are replaced whole, so that nobody reads half of one."""

    def __init__(
        self,
        alias_directory: Path,
        worker_directory: Path,
        *,
        now: Now = wall_clock,
        host: str | None = None,
        read_only: bool = False,
    ) -> None:
        self._aliases = alias_directory
        self._workers = worker_directory
        self._now = now
        self._host = host or socket.gethostname()
        self._read_only = read_only

    def publish(self, model: str, aliases: Mapping[str, str], *, manifests: Mapping[str, str] | None = None) -> None:
        self._aliases.mkdir(parents=True, exist_ok=True)
        # Beside the aliases, so that a worker of an earlier version reads the file too.
        told = dict(aliases) | {MANIFEST + version: sha256 for version, sha256 in (manifests or {}).items()}
        replace_file(self._aliases / f"{model}.json", msgspec.json.encode(told), durable=True)

    def published(self, model: str) -> dict[str, str]:
        """Raises `CorruptArtifact` for a file that somebody wrote by hand and got wrong."""
        return {name: version for name, version in self._told(model).items() if not name.startswith(MANIFEST)}

    def manifests(self, model: str) -> dict[str, str]:
        """Raises as `published` does."""
        told = self._told(model).items()
        return {name.removeprefix(MANIFEST): sha256 for name, sha256 in told if name.startswith(MANIFEST)}

    def _told(self, model: str) -> dict[str, str]:
        path = self._aliases / f"{model}.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CorruptArtifact(f"alias file {path}: {error}; promote a version to write it anew") from error

    def report(self, report: WorkerReport) -> None:
        self._workers.mkdir(parents=True, exist_ok=True)
        path = self._workers / f"{report.model}-{report.pid}@{self._host}.json"
        # Not synced: after a loss of power the worker that it speaks of is gone as well.
        replace_file(path, msgspec.json.encode(report), durable=False)

    def workers(self, model: str) -> list[WorkerReport]:
        """By process id. Reports of workers that have ended are removed."""
        found = []
        for path in self._workers.glob(f"{model}-*@*.json"):
            report = _read_report(path)
            if report is None or report.model != model:
                continue
            if self._is_alive(report, path):
                found.append(report)
            elif not self._read_only:
                path.unlink(missing_ok=True)
        return sorted(found, key=lambda report: report.pid)

    def _is_alive(self, report: WorkerReport, path: Path) -> bool:
        """A process of another host, or of another container, cannot be looked up here: its report's age has to do.

        One from the future is of a clock that has been set back since; who is alive reports again at once.
        """
        here = path.stem.endswith(f"@{self._host}")
        age = abs(self._now() - report.at)
        return age < REPORT_LIFE and (not here or runs(report.pid, at_least=age))


def _read_report(path: Path) -> WorkerReport | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=WorkerReport)
    except (FileNotFoundError, msgspec.DecodeError):
        # Removed between listing and reading, or no report of ours.
        return None
