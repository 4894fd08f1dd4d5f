"""Where reports lie: one directory per model, one file per report, deleted beyond a number."""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

STAMP: Final = "%Y%m%dT%H%M%SZ"
NAME: Final = re.compile(r"\d{8}T\d{6}Z\.html")


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """`kept` reports per model. Names are the event time of the report, so they sort by age."""

    directory: Path
    kept: int

    def add(self, model: str, *, at: datetime, html: str) -> Path:
        """Write a report, complete or not at all, and delete the oldest beyond `kept`.

        The oldest are those furthest from the new one, on either side: what a clock that was ahead has left behind is
        not newer than it, and does not take its place.
        """
        folder = self.directory / model
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{at.astimezone(UTC):{STAMP}}.html"
        aside = path.with_suffix(".part")
        aside.write_text(html, encoding="utf-8")
        os.replace(aside, path)  # noqa: PTH105 - named for what it promises: atomic
        by_distance = sorted(self.names(model), key=lambda name: abs(_time_of(name) - _time_of(path.name)))
        for name in by_distance[self.kept :]:
            (folder / name).unlink(missing_ok=True)
        return path

    def names(self, model: str) -> list[str]:
        """Newest first."""
        folder = self.directory / model
        found = [path.name for path in folder.glob("*.html")] if folder.is_dir() else []
        return sorted((name for name in found if NAME.fullmatch(name)), reverse=True)

    def path(self, model: str, name: str) -> Path | None:
        """The file of a report, or None when there is no such report; `name` may come from anybody."""
        return self.directory / model / name if name in self.names(model) else None


def _time_of(name: str) -> datetime:
    return datetime.strptime(name.removesuffix(".html"), STAMP).replace(tzinfo=UTC)
