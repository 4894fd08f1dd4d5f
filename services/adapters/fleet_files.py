"""The lifecycle and the serving workers of one machine share two directories: aliases down, reports up."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import msgspec

from services.adapters.durable import replace_file
from services.adapters.process_ids import runs
from services.core.artifacts import SILENT_AFTER, WorkerReport
from services.core.clock import Now, wall_clock
from services.core.errors import CorruptArtifact


class FleetFiles:
    """`ports.Fleet` on files that are replaced whole, so that nobody reads half of one."""

    def __init__(
        self, alias_directory: Path, worker_directory: Path, *, now: Now = wall_clock, host: str | None = None
    ) -> None:
        self._aliases = alias_directory
        self._workers = worker_directory
        self._now = now
        self._host = host or socket.gethostname()

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
            raise CorruptArtifact(
                f"alias file {path}: {error}; `bellwether promote {model} VERSION` writes it anew"
            ) from error

    def report(self, report: WorkerReport) -> None:
        self._workers.mkdir(parents=True, exist_ok=True)
        path = self._workers / f"{report.model}-{report.pid}@{self._host}.json"
        # Not synced: after a loss of power the worker that it speaks of is gone as well.
        replace_file(path, msgspec.json.encode(report), durable=False)

    def workers(self, model: str) -> list[WorkerReport]:
        """By process id. Reports of workers that have ended are removed, where the home can be written to."""
        return [report for report in self._reports(model) if self._age(report) < SILENT_AFTER]

    def silent(self, model: str) -> list[WorkerReport]:
        """By process id. A process of another host or container cannot be looked up: silent, it counts as ended."""
        return [report for report in self._reports(model) if self._age(report) >= SILENT_AFTER]

    def _reports(self, model: str) -> list[WorkerReport]:
        """Of the workers that have not ended, by process id."""
        found = []
        for path in self._workers.glob(f"{model}-*@*.json"):
            report = _read_report(path)
            if report is None or report.model != model:
                continue
            if self._is_there(report, path):
                found.append(report)
            else:
                # Whoever only looks may not be able to tidy up.
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        return sorted(found, key=lambda report: report.pid)

    def _is_there(self, report: WorkerReport, path: Path) -> bool:
        """Whether it may be: of a process elsewhere, its report's age has to do."""
        age = self._age(report)
        here = path.stem.endswith(f"@{self._host}")
        return runs(report.pid, at_least=age) if here else age < SILENT_AFTER

    def _age(self, report: WorkerReport) -> timedelta:
        """One from the future is of a clock that has been set back since; who is alive reports again at once."""
        return abs(self._now() - report.at)


def _read_report(path: Path) -> WorkerReport | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=WorkerReport)
    except (FileNotFoundError, msgspec.DecodeError):
        # Removed between listing and reading, or no report of ours.
        return None
