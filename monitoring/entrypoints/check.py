"""`bellwether check`: may a CSV of real history be trained on? `replay` asks the same before it trains."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from monitoring.entrypoints.tables import aligned
from monitoring.evaluation.history_check import FeatureCheck, HistoryCheck, Verdict, check_history, percent
from monitoring.evaluation.point_in_time import HistoricRow, Shared
from monitoring.evaluation.separation import Separation
from services.core.errors import BellwetherError, MappingError
from services.core.features import Value
from services.core.spec import ModelSpec
from services.models.discovery import folder_of, spec_of
from services.serving.availability import in_words
from services.traffic.history import CsvRow, History, read_history, require_understood
from services.traffic.mapping import CsvMapping, load_mapping
from services.traffic.replay import left_out

HEADINGS: Final = ("feature", "rows", "missing", "invalid", "stale", "late", "by (median)", "AUC alone", "verdict")
UNKNOWN: Final = "?"


class UnfitHistory(BellwetherError):
    """A file that must not be trained on; the message has every reason."""

    code: ClassVar[str] = "unfit_history"


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What the file says, how it was read, and which rows training would leave out and why."""

    check: HistoryCheck
    history: History
    left_out: Mapping[str, int]

    @property
    def refusals(self) -> tuple[str, ...]:
        return self.check.refusals

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was not understood comes first: the other figures are of the rest."""
        return (*self.history.warnings, *self.check.warnings)

    @property
    def verdict(self) -> Verdict:
        judged = self.check.verdict
        return Verdict.WARNED if judged is Verdict.OK and self.warnings else judged

    @property
    def without_outcome(self) -> dict[str, int]:
        """Rows by why nobody knows how they ended."""
        unread = self.history.outcomes_not_understood
        return {"blank": self.check.n - sum(self.check.outcomes.values()) - unread, "not_understood": unread}

    def as_body(self) -> dict[str, Any]:
        return self.check.as_body() | {
            "verdict": self.verdict.value,
            "warnings": list(self.warnings),
            "without_outcome": self.without_outcome,
            "not_understood": [each.as_body() for each in self.history.not_understood],
            "left_out_of_training": dict(self.left_out),
        }


def check_now(model: str, *, csv: Path, mapping: Path | None) -> FileCheck:
    """Read the file and judge it.

    Raises:
        MappingError: the file or its mapping does not fit the model, or most of a column was not understood.
    """
    spec = spec_of(model)
    fitting, history = read(spec, csv, mapping)
    return FileCheck(checked(spec, fitting, history.rows), history, left_out(history.rows, spec=spec))


def read(spec: ModelSpec, csv: Path, mapping: Path | None) -> tuple[CsvMapping, History]:
    """The file, by the mapping that is named or the one in the model's folder. Raises `MappingError`."""
    fitting = load_mapping(mapping or _shipped_mapping(spec), spec)
    history = read_history(csv, fitting, spec)
    require_understood(csv, history, spec)
    return fitting, history


def checked(spec: ModelSpec, mapping: CsvMapping, rows: Sequence[CsvRow]) -> HistoryCheck:
    shared = {
        name: Shared(
            outcome=each.column == mapping.outcome.column,
            decided_at=each.observed_at == mapping.decided_at,
            outcome_at=each.observed_at == mapping.outcome.observed_at,
        )
        for name, each in mapping.features.items()
    }
    return check_history(spec, [_historic(row) for row in rows], shared=shared)


def require_fit(spec: ModelSpec, mapping: CsvMapping, rows: Sequence[CsvRow]) -> None:
    """Raises `UnfitHistory` when training on these rows would teach what was not known at the decisions."""
    found = checked(spec, mapping, rows)
    if found.refusals:
        raise UnfitHistory(
            "; ".join((f"this history cannot be trained on: {found.refusals[0]}", *found.refusals[1:]))
            + f" (`bellwether check {spec.name} --csv FILE` shows every feature)"
        )


def lines(found: FileCheck) -> list[str]:
    """The report for people: a row per feature, then the sentences."""
    check = found.check
    return [
        f"{check.model}: {check.n} rows; {', '.join(_outcomes(found))}",
        *_left_out(found),
        "",
        *aligned([HEADINGS, *(_cells(each) for each in check.features)]),
        "",
        *(f"refused: {each}" for each in found.refusals),
        *(f"warning: {each}" for each in found.warnings),
        *(f"not checked: {reason}: {_listed(names)}" for reason, names in check.unchecked.items()),
        f"verdict: {_spoken(found.verdict.value)}",
    ]


def _outcomes(found: FileCheck) -> Iterator[str]:
    yield from (f"{count} {name}" for name, count in found.check.outcomes.items())
    blank, unread = found.without_outcome["blank"], found.without_outcome["not_understood"]
    yield f"{blank} without an outcome"
    if unread:
        yield f"{unread} with an outcome that was not understood"


def _left_out(found: FileCheck) -> Iterator[str]:
    if found.left_out:
        reasons = ", ".join(f"{count} {reason}" for reason, count in found.left_out.items())
        yield f"training would leave out {sum(found.left_out.values())} of them: {reasons}"


def _shipped_mapping(spec: ModelSpec) -> Path:
    found = sorted(folder_of(spec.name).glob("*.toml"))
    if len(found) != 1:
        raise MappingError(f"model {spec.name!r} ships {len(found)} mapping files, expected one; name yours: --mapping")
    return found[0]


def _historic(row: CsvRow) -> HistoricRow:
    return HistoricRow(
        values=_values(row),
        observed_at=row.observed_at,
        outcome=row.outcome,
        decided_at=row.decided_at,
        started_at=row.started_at,
        outcome_at=row.outcome_at,
    )


def _values(row: CsvRow) -> dict[str, Value]:
    """What the row says; a text that was not understood is NaN, because it is not the same as a blank."""
    known = {name: value for name, value in (row.request | row.feed).items() if value is not None}
    return known | dict.fromkeys(row.not_understood, math.nan)


def _cells(check: FeatureCheck) -> tuple[str, ...]:
    facts, times = check.facts, check.facts.timing
    return (
        facts.feature.name,
        str(facts.n),
        _share(facts.missing, facts.n),
        _share(facts.invalid, facts.n),
        _share(times.stale, times.dated),
        _share(times.late, times.n),
        "" if times.lead is None else in_words(times.lead.total_seconds()),
        f"{facts.alone.auc:.3f}" if isinstance(facts.alone, Separation) else UNKNOWN,
        _spoken(check.findings.verdict.value),
    )


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else UNKNOWN


def _spoken(word: str) -> str:
    return word.replace("_", " ")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
