"""`bellwether check`: may a CSV of real history be trained on? `replay` asks the same before it trains."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from monitoring.entrypoints.tables import aligned
from monitoring.evaluation.history_check import FeatureCheck, HistoryCheck, check_history, percent
from monitoring.evaluation.point_in_time import HistoricRow
from monitoring.evaluation.separation import Separation
from services.core.errors import BellwetherError, MappingError
from services.core.features import Value
from services.core.spec import ModelSpec
from services.models.discovery import folder_of, spec_of
from services.serving.availability import in_words
from services.traffic.mapping import CsvMapping, CsvRow, load_mapping, read_history

HEADINGS: Final = ("feature", "rows", "missing", "invalid", "stale", "late", "by (median)", "AUC alone", "verdict")
UNKNOWN: Final = "?"


class UnfitHistory(BellwetherError):
    """A file that must not be trained on; the message has every reason."""

    code: ClassVar[str] = "unfit_history"


def check_now(model: str, *, csv: Path, mapping: Path | None) -> HistoryCheck:
    """Read the file and judge it.

    Raises:
        MappingError: the file or its mapping does not fit the model.
    """
    spec = spec_of(model)
    fitting, rows = read(spec, csv, mapping)
    return checked(spec, fitting, rows)


def read(spec: ModelSpec, csv: Path, mapping: Path | None) -> tuple[CsvMapping, list[CsvRow]]:
    """The file's rows, by the mapping that is named or the one in the model's folder. Raises `MappingError`."""
    fitting = load_mapping(mapping or _shipped_mapping(spec), spec)
    return fitting, read_history(csv, fitting, spec)


def checked(spec: ModelSpec, mapping: CsvMapping, rows: Sequence[CsvRow]) -> HistoryCheck:
    from_outcome = {name for name, each in mapping.features.items() if each.column == mapping.outcome.column}
    return check_history(spec, [_historic(row, mapping) for row in rows], outcome_features=from_outcome)


def require_fit(spec: ModelSpec, mapping: CsvMapping, rows: Sequence[CsvRow]) -> None:
    """Raises `UnfitHistory` when training on these rows would teach what was not known at the decisions."""
    found = checked(spec, mapping, rows)
    if found.refusals:
        raise UnfitHistory(
            "; ".join((f"this history cannot be trained on: {found.refusals[0]}", *found.refusals[1:]))
            + f" (`bellwether check {spec.name} --csv FILE` shows every feature)"
        )


def lines(check: HistoryCheck) -> list[str]:
    """The report for people: a row per feature, then the sentences."""
    outcomes = ", ".join(f"{count} {name}" for name, count in check.outcomes.items())
    return [
        f"{check.model}: {check.n} rows; {outcomes}, {check.n - sum(check.outcomes.values())} without an outcome",
        "",
        *aligned([HEADINGS, *(_cells(each) for each in check.features)]),
        "",
        *(f"refused: {each}" for each in check.refusals),
        *(f"warning: {each}" for each in check.warnings),
        *(f"not checked: {reason}: {_listed(names)}" for reason, names in check.unchecked.items()),
        f"verdict: {_spoken(check.verdict.value)}",
    ]


def _shipped_mapping(spec: ModelSpec) -> Path:
    found = sorted(folder_of(spec.name).glob("*.toml"))
    if len(found) != 1:
        raise MappingError(f"model {spec.name!r} ships {len(found)} mapping files, expected one; name yours: --mapping")
    return found[0]


def _historic(row: CsvRow, mapping: CsvMapping) -> HistoricRow:
    return HistoricRow(
        values=_values(row, mapping),
        observed_at=row.observed_at,
        outcome=row.outcome,
        decided_at=row.decided_at,
        started_at=row.started_at,
        outcome_at=row.outcome_at,
    )


def _values(row: CsvRow, mapping: CsvMapping) -> dict[str, Value]:
    """What the row says; a text where a number belongs is NaN, because it is not the same as a blank."""
    known = {name: value for name, value in (row.request | row.feed).items() if value is not None}
    unreadable = [name for name, each in mapping.features.items() if each.column in row.unmapped and name not in known]
    return known | dict.fromkeys(unreadable, math.nan)


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
