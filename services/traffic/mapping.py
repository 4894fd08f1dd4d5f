"""How the columns of somebody's CSV become the features of a model: the mapping file, and whether it fits."""

import codecs
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from services.core.errors import MappingError
from services.core.spec import CATEGORIES_TOLD, Categorical, ModelSpec
from services.core.wording import listed
from services.traffic.texts import DECIMALS, EPOCHS, ISO, THOUSANDS, Numbers

SAMPLE: Final = datetime(2004, 11, 23, 13, 14, 15, tzinfo=UTC)
"""A time of which no two parts can be confused."""


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column of the file. `values` translates its words; words that it does not know stay as they are."""

    column: str
    values: dict[str, str] = {}


class TimedColumn(Column, frozen=True, forbid_unknown_fields=True):
    """`observed_at` names the column with the time at which the value became known; "": the file does not say."""

    observed_at: str = ""


class CsvMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping file.

    Args:
        missing: the texts that stand for no value, compared without surrounding blanks.
        decided_at, started_at: the columns with the time of the decision and of the entity's beginning; "" where the
            file does not say.
        time_format: how times are written: "iso" (ISO 8601), "unix_seconds", "unix_milliseconds",
            "unix_microseconds", or a format such as "%d/%m/%Y %H:%M". Of several the first that fits is taken.
        time_zone: of times without an offset, such as "Europe/Berlin".
        delimiter: the one character between two columns.
        decimal: "." or ",".
        thousands: what parts groups of digits, such as "," or " "; "" where nothing does.
        encoding: of the file, such as "cp1252". A byte order mark at its beginning is skipped.
    """

    entity: Column
    outcome: TimedColumn
    features: dict[str, TimedColumn]
    missing: tuple[str, ...] = ("",)
    decided_at: str = ""
    started_at: str = ""
    time_format: str | tuple[str, ...] = ISO
    time_zone: str = ""
    delimiter: str = ","
    decimal: str = "."
    thousands: str = ""
    encoding: str = "utf-8"

    @property
    def columns(self) -> list[str]:
        return [self.entity.column, *(each.column for each in self._timed), *self.time_columns]

    @property
    def time_columns(self) -> list[str]:
        named = [self.decided_at, self.started_at, *(each.observed_at for each in self._timed)]
        return [name for name in dict.fromkeys(named) if name]

    @property
    def time_formats(self) -> tuple[str, ...]:
        return (self.time_format,) if isinstance(self.time_format, str) else self.time_format

    @property
    def _timed(self) -> list[TimedColumn]:
        return [self.outcome, *self.features.values()]


def load_mapping(path: Path, spec: ModelSpec) -> CsvMapping:
    """Read and check a mapping file.

    Raises:
        MappingError: the file cannot be read, or does not fit the model.
    """
    try:
        mapping = msgspec.convert(tomllib.loads(path.read_text("utf-8")), CsvMapping)
    except OSError as error:
        raise MappingError(f"mapping {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MappingError(f"mapping {path} is not a mapping: {error}") from error
    except msgspec.ValidationError as error:
        raise MappingError(f"mapping {path} is not a mapping: {error}{_where_it_belongs(str(error))}") from error
    if problems := list(_layout_problems(mapping)):
        raise MappingError(f"mapping {path} cannot be used: {'; '.join(problems)}")
    problems = [*_contradictions(mapping), *_feature_problems(mapping, spec), *_outcome_problems(mapping, spec)]
    if problems:
        raise MappingError(f"mapping {path} does not fit model {spec.name!r}: {'; '.join(problems)}")
    return mapping


def _where_it_belongs(fault: str) -> str:
    """In TOML what stands below a [section] belongs to it."""
    if "unknown field" not in fault:
        return ""
    if "at `$" in fault and any(f"`{name}`" in fault for name in CsvMapping.__struct_fields__):
        return "; members of the whole file stand above the first [section]"
    return f"; a mapping has {', '.join(CsvMapping.__struct_fields__)}, and a column has column, values, observed_at"


def _contradictions(mapping: CsvMapping) -> Iterator[str]:
    for name, each in _places(mapping):
        if both := [word for word in each.values if word in mapping.missing]:
            yield (
                f"missing has {', '.join(map(repr, both))}, to which values in [{name}] gives a meaning; "
                "take it out of one of them"
            )


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
                has = listed(known, at_most=CATEGORIES_TOLD)
                yield f"{feature.name} has no category {', '.join(strange)}; it has {has}"
        elif column and (wordy := [word for word in column.values.values() if Numbers().read(word) is None]):
            yield f"{feature.name} is a number, and {', '.join(map(repr, wordy))} is none; expected such as '0.5'"


def _outcome_problems(mapping: CsvMapping, spec: ModelSpec) -> Iterator[str]:
    if strange := sorted(set(mapping.outcome.values.values()) - set(spec.task.classes)):
        yield f"no outcome {', '.join(strange)}; there are {', '.join(spec.task.classes)}"
    if mapping.decided_at and mapping.outcome.observed_at == mapping.decided_at:
        yield (
            f"the outcome is known at the decision itself (both in {mapping.decided_at}), so nothing is left to decide;"
            " name the column with the time at which the outcome became known as its observed_at, or leave that out"
        )


def _layout_problems(mapping: CsvMapping) -> Iterator[str]:
    if nameless := [name for name, each in _places(mapping) if not each.column.strip()]:
        yield f"{', '.join(nameless)} names no column; expected a name of the file's header"
    yield from _delimiter_problems(mapping.delimiter)
    yield from _number_problems(mapping)
    yield from _encoding_problems(mapping.encoding)
    if not mapping.time_formats:
        yield f"time_format is an empty list; expected {_TIME_FORMATS}"
    for name in mapping.time_formats:
        yield from _format_problems(name)
    if mapping.time_zone:
        yield from _zone_problems(mapping.time_zone)


def _places(mapping: CsvMapping) -> Iterator[tuple[str, Column]]:
    yield "entity", mapping.entity
    yield "outcome", mapping.outcome
    yield from ((f"features.{name}", each) for name, each in mapping.features.items())


def _delimiter_problems(delimiter: str) -> Iterator[str]:
    if len(delimiter) != 1 or delimiter.isalnum() or delimiter in '"\r\n\x00':
        yield f'delimiter is {delimiter!r}; expected one character such as "," ";" "|" or "\\t" (a tab)'


def _number_problems(mapping: CsvMapping) -> Iterator[str]:
    if mapping.decimal not in DECIMALS:
        yield f'decimal is {mapping.decimal!r}; expected "." or ","'
    if mapping.thousands and mapping.thousands not in THOUSANDS:
        known = " ".join(f'"{each}"' for each in THOUSANDS)
        yield f'thousands is {mapping.thousands!r}; expected one of {known}, or "" for none'
    if mapping.thousands == mapping.decimal:
        yield f"decimal and thousands are both {mapping.decimal!r}; expected two characters"


def _encoding_problems(encoding: str) -> Iterator[str]:
    expected = 'expected a name such as "utf-8", "cp1252", "latin-1" or "utf-16"'
    try:
        "a".encode(encoding).decode(encoding, "replace")
        codecs.lookup(encoding)
    except (LookupError, UnicodeError, ValueError, TypeError):
        yield f"encoding is {encoding!r}, which nobody knows; {expected}"


_TIME_FORMATS: Final = f"{', '.join(map(repr, (ISO, *EPOCHS)))}, or a format such as '%d/%m/%Y %H:%M'"


def _format_problems(name: str) -> Iterator[str]:
    if name == ISO or name in EPOCHS:
        return
    if "%" not in name:
        yield f"time_format is {name!r}; expected {_TIME_FORMATS}"
        return
    try:
        kept = datetime.strptime(SAMPLE.strftime(name), name)  # noqa: DTZ007 - only its date is looked at
    except ValueError as error:
        yield f"time_format {name!r} is no format: {error}; expected {_TIME_FORMATS}"
        return
    except re.error:
        yield f"time_format {name!r} says a part of the time twice; expected {_TIME_FORMATS}"
        return
    if kept.date() != SAMPLE.date():
        yield f"time_format {name!r} does not say year, month and day; expected {_TIME_FORMATS}"
    yield from _half_said(name)


def _half_said(name: str) -> Iterator[str]:
    """What is read without an error and as another time than the file says."""
    said = set(re.findall("%(.)", name))
    if "p" in said and "I" not in said:
        yield f"time_format {name!r} has %p, which says something behind %I alone; write %I in place of %H"
    if "I" in said and "p" not in said:
        yield f"time_format {name!r} has %I, which says morning or afternoon only with %p; add %p, or write %H"
    if "Z" in said:
        yield (
            f"time_format {name!r} has %Z, the name of a zone, which is passed over; write the name itself there, "
            "such as UTC, and state it as time_zone, or write %z for an offset such as +01:00"
        )


def _zone_problems(zone: str) -> Iterator[str]:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        yield f"no time zone {zone!r}; expected a name such as UTC or Europe/Berlin"
