"""The lifecycle and the serving workers of one machine share two directories: aliases down, reports up."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
import psutil

from services.adapters.durable import replace_file
from services.core.artifacts import WorkerReport
from services.core.clock import Now, wall_clock
from services.core.errors import CorruptArtifact

REPORT_LIFE: Final = timedelta(seconds=30)
"""A worker reports several times in this; an older report is of a process that ended and whose id another may have."""


class FleetFiles:
    """`ports.Fleet` on files that are replaced whole, so that nobody reads half of one."""

    def __init__(self, alias_directory: Path, worker_directory: Path, now: Now = wall_clock) -> None:
        self._aliases = alias_directory
        self._workers = worker_directory
        self._now = now

    def publish(self, model: str, aliases: Mapping[str, str]) -> None:
        self._aliases.mkdir(parents=True, exist_ok=True)
        replace_file(self._aliases / f"{model}.json", msgspec.json.encode(dict(aliases)), durable=True)

    def published(self, model: str) -> dict[str, str]:
        """Raises `CorruptArtifact` for a file that somebody wrote by hand and got wrong."""
        path = self._aliases / f"{model}.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CorruptArtifact(f"alias file {path}: {error}; promote a version to write it anew") from error

    def report(self, report: WorkerReport) -> None:
        self._workers.mkdir(parents=True, exist_ok=True)
        # Not synced: after a loss of power the worker that it speaks of is gone as well.
        replace_file(self._report_path(report), msgspec.json.encode(report), durable=False)

    def workers(self, model: str) -> list[WorkerReport]:
        """By process id. Reports of workers that have ended are removed."""
        reports = (_read_report(path) for path in self._workers.glob(f"{model}-*.json"))
        found = [report for report in reports if report is not None and report.model == model]
        for report in found:
            if not self._is_alive(report):
                self._report_path(report).unlink(missing_ok=True)
        return sorted((report for report in found if self._is_alive(report)), key=lambda report: report.pid)

    def _report_path(self, report: WorkerReport) -> Path:
        return self._workers / f"{report.model}-{report.pid}.json"

    def _is_alive(self, report: WorkerReport) -> bool:
        return self._now() - report.at < REPORT_LIFE and _runs(report.pid)


def _read_report(path: Path) -> WorkerReport | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=WorkerReport)
    except (FileNotFoundError, msgspec.DecodeError):
        # Removed between listing and reading, or no report of ours.
        return None


def _runs(pid: int) -> bool:
    try:
        # A killed process keeps its id as a zombie until its parent has looked.
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
