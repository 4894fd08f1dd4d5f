"""How the columns of somebody's CSV become the features of a model."""

import csv
import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO
from zoneinfo import ZoneInfo

import msgspec

from services.core.errors import MappingError
from services.core.features import Value
from services.core.spec import Categorical, Feature, ModelSpec, Source

NAMES_SHOWN: Final = 30


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column of the file. `values` translates its words; words that it does not know stay as they are."""

    column: str
    values: dict[str, str] = {}


class TimedColumn(Column, frozen=True, forbid_unknown_fields=True):
    """`observed_at` names the column with the time at which the value became known; "": the file does not say."""

    observed_at: str = ""


class CsvMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping file. `missing` lists the texts that stand for no value, compared without surrounding blanks.

    `decided_at` and `started_at` name the columns with the time of the decision and of the entity's beginning, "" where
    the file does not say. Times are ISO 8601; those without an offset are in `time_zone`, such as "Europe/Berlin".
    """

    entity: Column
    outcome: TimedColumn
    features: dict[str, TimedColumn]
    missing: tuple[str, ...] = ("",)
    decided_at: str = ""
    started_at: str = ""
    time_zone: str = ""

    @property
    def columns(self) -> list[str]:
        return [self.entity.column, *(each.column for each in self._timed), *self.time_columns]

    @property
    def time_columns(self) -> list[str]:
        named = [self.decided_at, self.started_at, *(each.observed_at for each in self._timed)]
        return [name for name in dict.fromkeys(named) if name]

    @property
    def _timed(self) -> list[TimedColumn]:
        return [self.outcome, *self.features.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvRow:
    """One row, in the model's words.

    `request` leaves out what is missing; `feed` says None, as a billing system without an invoice would.
    `outcome` is one of the task's classes, or None when the file does not say.
    `unmapped` names the columns whose text fits neither the mapping nor the feature: an unknown category is kept as
    it is, so that the service finds it invalid; a text where a number or a time belongs cannot be used and counts as
    missing. `observed_at` has the features whose own times the file tells; every time is aware UTC.
    """

    entity_id: str
    request: dict[str, Value]
    feed: dict[str, Value | None]
    outcome: str | None
    unmapped: tuple[str, ...] = ()
    decided_at: datetime | None = None
    started_at: datetime | None = None
    outcome_at: datetime | None = None
    observed_at: dict[str, datetime] = field(default_factory=dict)


def load_mapping(path: Path, spec: ModelSpec) -> CsvMapping:
    """Read and check a mapping file.

    Raises:
        MappingError: the file cannot be read, or does not fit the model.
    """
    try:
        mapping = msgspec.convert(tomllib.loads(path.read_text("utf-8")), CsvMapping)
    except OSError as error:
        raise MappingError(f"mapping {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise MappingError(f"mapping {path} is not a mapping: {error}") from error
    problems = [*_feature_problems(mapping, spec), *_outcome_problems(mapping, spec), *_zone_problems(mapping)]
    if problems:
        raise MappingError(f"mapping {path} does not fit model {spec.name!r}: {'; '.join(problems)}")
    return mapping


def read_history(path: Path, mapping: CsvMapping, spec: ModelSpec) -> list[CsvRow]:
    """All rows of the file, in its order.

    Raises:
        MappingError: the file cannot be read, lacks a mapped column, has no rows, a row without an entity, or a time
            of which nobody said in which zone it is.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(file, path, mapping, spec))
    except OSError as error:
        raise MappingError(f"{path} cannot be read: {error.strerror}; expected a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise MappingError(f"{path} is not a CSV file in UTF-8: {error}") from error
    if not rows:
        raise MappingError(f"{path} has a header and no rows; expected one row per case")
    return rows


def _feature_problems(mapping: CsvMapping, spec: ModelSpec) -> Iterator[str]:
    if lacking := [name for name in spec.feature_names if name not in mapping.features]:
        yield f"features without a column: {', '.join(lacking)}"
    if unknown := [name for name in mapping.features if name not in spec.feature_names]:
        yield f"no features of the model: {', '.join(unknown)}"
    for feature in spec.features:
        column = mapping.features.get(feature.name)
        if column and isinstance(feature.kind, Categorical):
            known = feature.kind.categories
            if strange := sorted(set(column.values.values()) - set(known)):
                yield f"{feature.name} has no category {', '.join(strange)}; it has {', '.join(known)}"


def _outcome_problems(mapping: CsvMapping, spec: ModelSpec) -> Iterator[str]:
    if strange := sorted(set(mapping.outcome.values.values()) - set(spec.task.classes)):
        yield f"no outcome {', '.join(strange)}; there are {', '.join(spec.task.classes)}"


def _zone_problems(mapping: CsvMapping) -> Iterator[str]:
    if mapping.time_zone:
        try:
            ZoneInfo(mapping.time_zone)
        except (KeyError, ValueError, OSError):
            yield f"no time zone {mapping.time_zone!r}; expected a name such as UTC or Europe/Berlin"


def _rows(file: TextIO, path: Path, mapping: CsvMapping, spec: ModelSpec) -> Iterator[CsvRow]:
    reader = csv.DictReader(file)
    _require_columns(path, list(reader.fieldnames or ()), mapping)
    for record in reader:
        # Rows that are too short have None where the text would be.
        texts = {name: (record[name] or "").strip() for name in mapping.columns}
        if texts[mapping.entity.column] in mapping.missing:
            raise MappingError(f"{path}, line {reader.line_num}: {mapping.entity.column} is blank; expected an id")
        try:
            yield _row(texts, mapping, spec)
        except _NoZone as error:
            raise MappingError(f"{path}, line {reader.line_num}: {error}") from error


def _require_columns(path: Path, found: list[str], mapping: CsvMapping) -> None:
    lacking = [name for name in dict.fromkeys(mapping.columns) if name not in found]
    if lacking:
        raise MappingError(
            f"{path} has no column {', '.join(lacking)}; found {', '.join(found[:NAMES_SHOWN]) or 'no header'};"
            " name the right columns in a mapping file and pass it with --mapping"
        )


def _row(texts: dict[str, str], mapping: CsvMapping, spec: ModelSpec) -> CsvRow:
    found = {each.name: _value(each, mapping.features[each.name], texts, mapping.missing) for each in spec.features}
    times = {name: _time(name, texts[name], mapping) for name in mapping.time_columns}
    outcome = mapping.outcome.values.get(texts[mapping.outcome.column], texts[mapping.outcome.column])
    unmapped = [mapping.features[name].column for name, (_, expected) in found.items() if not expected]
    if outcome not in spec.task.classes:
        unmapped += _strange([mapping.outcome.column], texts, mapping)
    unmapped += _strange([name for name, time in times.items() if time is None], texts, mapping)
    request = {each.name: found[each.name][0] for each in spec.features if each.source is Source.REQUEST}
    observed = {each.name: times.get(mapping.features[each.name].observed_at) for each in spec.features}
    return CsvRow(
        entity_id=texts[mapping.entity.column],
        request={name: value for name, value in request.items() if value is not None},
        feed={each.name: found[each.name][0] for each in spec.online_features},
        outcome=outcome if outcome in spec.task.classes else None,
        unmapped=tuple(unmapped),
        decided_at=times.get(mapping.decided_at),
        started_at=times.get(mapping.started_at),
        outcome_at=times.get(mapping.outcome.observed_at),
        observed_at={name: time for name, time in observed.items() if time is not None},
    )


def _strange(columns: list[str], texts: dict[str, str], mapping: CsvMapping) -> list[str]:
    """Those of the columns that were not understood although they say something."""
    return [name for name in columns if texts[name] not in mapping.missing]


def _value(
    feature: Feature, column: Column, texts: dict[str, str], missing: tuple[str, ...]
) -> tuple[Value | None, bool]:
    """The value (None: missing) and whether the text was one that the mapping and the feature expect."""
    text = texts[column.column]
    if text in missing:
        return None, True
    text = column.values.get(text, text)
    if isinstance(feature.kind, Categorical):
        return text, text in feature.kind
    number = _number(text)
    return number, number is not None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


class _NoZone(Exception):
    """A time that could be any of twenty-four."""


def _time(column: str, text: str, mapping: CsvMapping) -> datetime | None:
    """The time in UTC, or None when the text is missing or no time."""
    if text in mapping.missing:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return _zoned(moment, mapping.time_zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    except _NoZone as error:
        raise _NoZone(f"{column} is {text!r} {error}") from error


def _zoned(moment: datetime, zone: str) -> datetime:
    if moment.tzinfo is not None:
        return moment
    if not zone:
        raise _NoZone("without a time zone; write an offset, or state time_zone in the mapping")
    return moment.replace(tzinfo=ZoneInfo(zone))
