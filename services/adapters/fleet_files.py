"""The lifecycle and the serving workers of one machine share two directories: aliases down, reports up."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec

from services.adapters.durable import replace_file
from services.adapters.process_ids import runs
from services.core.artifacts import SILENT_AFTER, WorkerReport
from services.core.clock import Now, wall_clock
from services.core.errors import UNDECODABLE, CorruptArtifact

MANIFEST: Final = "manifest-sha256:"
"""What the members of an alias file that are no aliases begin with."""

HEARTBEAT: Final = timedelta(seconds=5)
"""Between two reports of a worker that has nothing new to say."""


class WorkerFile(msgspec.Struct, frozen=True):
    """What one worker says of each of its models."""

    reports: list[WorkerReport]


@dataclass(slots=True)
class _Said:
    """What a worker has said of each model, and when it was last written down."""

    reports: dict[str, WorkerReport] = field(default_factory=dict)
    written_at: datetime | None = None

    def take(self, report: WorkerReport) -> bool:
        """Whether it has to be written now."""
        before = self.reports.get(report.model)
        self.reports[report.model] = report
        is_news = before is None or _news(before) != _news(report)
        is_due = self.written_at is None or abs(report.at - self.written_at) >= HEARTBEAT
        if is_news or is_due:
            self.written_at = report.at
        return is_news or is_due


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
        self._said: dict[int, _Said] = {}
        self._reporting = Lock()
        self._known: dict[Path, tuple[tuple[int, int, int], list[WorkerReport]]] = {}
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
        except UNDECODABLE as error:
            raise CorruptArtifact(
                f"alias file {path}: {error}; `bellwether promote {model} VERSION` writes it anew"
            ) from error

    def report(self, report: WorkerReport) -> None:
        """Written where it says something new, and as a heartbeat; one file for all of a worker's models."""
        with self._reporting:
            said = self._said.setdefault(report.pid, _Said())
            if said.take(report):
                self._workers.mkdir(parents=True, exist_ok=True)
                content = msgspec.json.encode(WorkerFile(reports=list(said.reports.values())))
                # Not synced: after a loss of power the worker that it speaks of is gone as well.
                replace_file(self._workers / f"{report.pid}@{self._host}.json", content, durable=False)

    def workers(self, model: str) -> list[WorkerReport]:
        """By process id. Reports of workers that have ended are removed."""
        return [report for report in self._reports(model) if self._age(report) < SILENT_AFTER]

    def silent(self, model: str) -> list[WorkerReport]:
        """By process id. A process of another host or container cannot be looked up: silent, it counts as ended."""
        return [report for report in self._reports(model) if self._age(report) >= SILENT_AFTER]

    def _reports(self, model: str) -> list[WorkerReport]:
        """Of the workers that have not ended, by process id."""
        found = [each for path in self._workers.glob("*@*.json") for each in self._there(path) if each.model == model]
        return sorted(found, key=lambda report: report.pid)

    def _there(self, path: Path) -> list[WorkerReport]:
        reports = self._read(path)
        newest = max(reports, key=lambda report: report.at, default=None)
        if newest is None:
            return []
        if not self._is_there(newest, path):
            self._known.pop(path, None)
            if not self._read_only:
                path.unlink(missing_ok=True)
            return []
        return reports

    def _is_there(self, report: WorkerReport, path: Path) -> bool:
        """Whether it may be: of a process elsewhere, its report's age has to do."""
        age = self._age(report)
        here = path.stem.endswith(f"@{self._host}")
        return runs(report.pid, at_least=age) if here else age < SILENT_AFTER

    def _age(self, report: WorkerReport) -> timedelta:
        """One from the future is of a clock that has been set back since; who is alive reports again at once."""
        return abs(self._now() - report.at)

    def _read(self, path: Path) -> list[WorkerReport]:
        """What a file says; it is decoded once, however often each of many models is asked about."""
        try:
            found = path.stat()
            content = found.st_ino, found.st_mtime_ns, found.st_size
            known = self._known.get(path)
            if known is None or known[0] != content:
                known = self._known[path] = (content, _decoded(path.read_bytes()))
        except FileNotFoundError:
            # Removed between listing and reading.
            return []
        return known[1]


def _decoded(content: bytes) -> list[WorkerReport]:
    """Of one file; nothing where it is none of ours. Workers of an earlier version wrote one for each model."""
    try:
        return msgspec.json.decode(content, type=WorkerFile).reports
    except UNDECODABLE:
        pass
    try:
        return [msgspec.json.decode(content, type=WorkerReport)]
    except UNDECODABLE:
        return []


def _news(report: WorkerReport) -> tuple[str, str]:
    return report.version, report.problem
