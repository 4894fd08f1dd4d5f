"""A file of real history in the words of a model."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.core.errors import MappingError
from services.core.features import Value
from services.core.limits import id_problem, text_problem
from services.core.spec import Categorical, ModelSpec, Source
from services.core.time_range import TimeRange
from services.traffic.csv_table import Row, Table
from services.traffic.mapping import CsvMapping
from services.traffic.remedies import pooled
from services.traffic.tallies import OUTCOMES, NotUnderstood, feature_tally, outcome_tally, time_tally, told_once
from services.traffic.texts import NoZone, Numbers, Times

_ROUNDED: Final = re.compile(r"\d(?:[.,]\d+)?E\+\d+", re.ASCII | re.IGNORECASE)
"""A number as spreadsheets show long ones: its last digits are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvRow:
    """One row, in the model's words.

    `request` leaves out what is missing; `feed` says None, as a billing system without an invoice would.
    `outcome` is one of the task's classes, or None when the file does not say.
    `unmapped` names the columns whose text fits neither the mapping nor the feature: an unknown category is kept as
    it is, so that the service finds it invalid; a text where a number or a time belongs cannot be used, and nothing is
    sent for it. `not_understood` names the features of which that is so, and `outcome_not_understood` tells an outcome
    that nobody knows from one that the file leaves blank. `observed_at` has the features whose own times the file
    tells.
    """

    entity_id: str
    request: dict[str, Value]
    feed: dict[str, Value | None]
    outcome: str | None
    unmapped: tuple[str, ...] = ()
    not_understood: tuple[str, ...] = ()
    outcome_not_understood: bool = False
    decided_at: TimeRange | None = None
    started_at: TimeRange | None = None
    outcome_at: TimeRange | None = None
    observed_at: dict[str, TimeRange] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The rows in the order of the file, and the columns that have texts that were not understood.

    `doubts` say which columns were perhaps read the wrong way though every text was, and whether rows stand twice.
    """

    rows: Sequence[CsvRow]
    not_understood: Sequence[NotUnderstood] = ()
    outcomes_not_understood: int = 0
    doubts: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*told_once(self.not_understood), *self.doubts)


def read_history(path: Path, mapping: CsvMapping, spec: ModelSpec) -> History:
    """Read the whole file.

    Raises:
        MappingError: see `Table.rows`; or the file has no rows, a row has no usable entity id, or a time of which
            nobody said in which zone it is.
    """
    reader = _Reader(spec, mapping)
    table = Table(path, mapping.columns, mapping.delimiter, mapping.encoding)
    rows = []
    for row in table.rows():
        try:
            rows.append(reader.read(row))
        except (_NoEntity, NoZone) as error:
            raise table.fault(row.line, str(error)) from error
    if not rows:
        raise MappingError(f"{path} has a header and no rows; expected one row per case")
    return reader.history(rows)


def require_understood(path: Path, history: History, spec: ModelSpec) -> None:
    """Raises `MappingError` when most of a column was read the wrong way, or a class vanished with what was."""
    found = {row.outcome for row in history.rows}
    lacking = [name for name in spec.task.classes if name not in found]
    wrong = [each for each in history.not_understood if each.is_too_much or (lacking and each.what == OUTCOMES)]
    if wrong:
        raise MappingError(f"{path} was not understood: {'; '.join(told_once(wrong))}")


_MODELS: Final = Numbers()
"""Reads numbers as the models' specs have them."""


class _NoEntity(Exception):
    """A row that is about nobody."""


class _Reader:
    """Reads the rows of one file, one after the other, and counts."""

    def __init__(self, spec: ModelSpec, mapping: CsvMapping) -> None:
        self._spec, self._mapping = spec, mapping
        self._missing = frozenset(mapping.missing)
        self._numbers = Numbers(decimal=mapping.decimal, thousands=mapping.thousands)
        self._times = Times(mapping.time_formats, mapping.time_zone)
        self._kinds = {each.name: each.kind for each in spec.features}
        self._features = {each.name: feature_tally(each.name, mapping, spec) for each in spec.features}
        self._time_columns = {name: time_tally(name, mapping) for name in mapping.time_columns}
        self._outcome = outcome_tally(mapping, spec)
        self._seen: set[int] = set()
        self._repeated: list[int] = []

    def read(self, row: Row) -> CsvRow:
        """Raises `_NoEntity`, `NoZone`."""
        self._note_repetition(row)
        mapping, spec = self._mapping, self._spec
        strange: list[str] = []
        entity_id = self._entity(row.texts[mapping.entity.column])
        values = {name: self._value(name, row, strange) for name in self._features}
        unread = tuple(name for name in values if values[name] is None and mapping.features[name].column in strange)
        outcome, is_unread = self._word(row, strange)
        times = {name: self._time(name, row, strange) for name in self._time_columns}
        request = {each.name: values[each.name] for each in spec.features if each.source is Source.REQUEST}
        observed = {name: times.get(mapping.features[name].observed_at) for name in self._features}
        return CsvRow(
            entity_id=entity_id,
            request={name: value for name, value in request.items() if value is not None},
            feed={each.name: values[each.name] for each in spec.online_features},
            outcome=outcome,
            unmapped=tuple(strange),
            not_understood=unread,
            outcome_not_understood=is_unread,
            decided_at=times.get(mapping.decided_at),
            started_at=times.get(mapping.started_at),
            outcome_at=times.get(mapping.outcome.observed_at),
            observed_at={name: time for name, time in observed.items() if time is not None},
        )

    def history(self, rows: Sequence[CsvRow]) -> History:
        tallies = (self._outcome, *self._time_columns.values(), *self._features.values())
        strange: dict[str, list[list[str]]] = {}
        for each in tallies:
            strange.setdefault(each.what, []).append(list(each.strange))
        pools = {what: pooled(columns) for what, columns in strange.items()}
        missing = self._mapping.missing
        return History(
            rows=rows,
            not_understood=tuple(each.found(pools[each.what], missing=missing) for each in tallies if each.count),
            outcomes_not_understood=self._outcome.count,
            doubts=(*(doubt for each in tallies for doubt in each.doubts()), *self._repetition()),
        )

    def _note_repetition(self, row: Row) -> None:
        said = hash(tuple(row.texts.values()))
        if said in self._seen:
            self._repeated.append(row.line)
        self._seen.add(said)

    def _repetition(self) -> Iterator[str]:
        if self._repeated:
            yield (
                f"{len(self._repeated)} rows say what one further up says, id and all, such as that in line "
                f"{self._repeated[0]}; where replay trains on the one it is asked about the other, and its AUC is too "
                "good: take them out unless they are cases of their own"
            )

    def _entity(self, text: str) -> str:
        column = self._mapping.entity.column
        if text in self._missing:
            raise _NoEntity(f"{column} is blank; expected an id")
        if problem := id_problem(text):
            raise _NoEntity(f"{column} is no id: {problem}")
        if _ROUNDED.fullmatch(text):
            raise _NoEntity(
                f"{column} is {text!r}: a spreadsheet has rounded the id, and other cases have the same now;"
                " export ids as text"
            )
        return text

    def _value(self, name: str, row: Row, strange: list[str]) -> Value | None:
        column, tally = self._mapping.features[name], self._features[name]
        text = row.texts[column.column]
        if text in self._missing:
            tally.pass_over(text)
            return None
        word = column.values.get(text, text)
        kind = self._kinds[name]
        if isinstance(kind, Categorical):
            value: Value | None = None if text_problem(word) else word
            is_known = word in kind
        else:
            # Words of the mapping are the model's, however the file writes its own.
            value = (_MODELS if text in column.values else self._numbers).read(word)
            is_known = value is not None
        tally.note(text, row.line, is_understood=is_known)
        if not is_known:
            strange.append(column.column)
        return value

    def _word(self, row: Row, strange: list[str]) -> tuple[str | None, bool]:
        """The outcome, and whether there is one that was not understood."""
        column = self._mapping.outcome
        text = row.texts[column.column]
        if text in self._missing:
            self._outcome.pass_over(text)
            return None, False
        word = column.values.get(text, text)
        is_known = word in self._spec.task.classes
        self._outcome.note(text, row.line, is_understood=is_known)
        if is_known:
            return word, False
        strange.append(column.column)
        return None, True

    def _time(self, name: str, row: Row, strange: list[str]) -> TimeRange | None:
        text, tally = row.texts[name], self._time_columns[name]
        if text in self._missing:
            return None
        try:
            time = self._times.read(text)
        except NoZone as error:
            raise NoZone(f"{name} is {text!r} {error}") from error
        tally.note(text, row.line, is_understood=time is not None)
        if time is None:
            strange.append(name)
        return time
