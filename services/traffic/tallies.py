"""What the columns of a file said, and an account of every text that was not understood."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from services.core.spec import CATEGORIES_TOLD, Categorical, ModelSpec
from services.core.wording import listed
from services.traffic import remedies
from services.traffic.mapping import CsvMapping
from services.traffic.remedies import Samples
from services.traffic.texts import ISO

NUMBERS: Final = "numbers"
TIMES: Final = "times"
OUTCOMES: Final = "outcomes"
CATEGORIES: Final = "categories"

MOSTLY: Final = 0.5
"""A column of which more than this was not understood was read the wrong way: the mapping is wrong, not the rows."""

OUTCOMES_LOST: Final = 0.05
"""What is wrong with the word of an outcome is wrong with one class: what is learnt without its rows is wrong too."""

SAMPLES: Final = 50
"""Distinct texts of a column that are kept to find out how it is written."""

DOUBTED_FROM: Final = 20
"""So many different numbers with three decimals each, none of them below 1: more likely they are thousands."""

TEXT_SHOWN: Final = 60
COLUMNS_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NotUnderstood:
    """Of one column: `count` of the `said` texts, blanks left out, were not understood as `what`; one is `example`."""

    column: str
    what: str
    count: int
    said: int
    example: str
    line: int
    expected: str
    remedy: str

    @property
    def is_too_much(self) -> bool:
        return self.count > self.said * (OUTCOMES_LOST if self.what == OUTCOMES else MOSTLY)

    def __str__(self) -> str:
        return (
            f"{self.column}: {self.count} of {self.said} {self.what} not understood, such as {self.example!r}"
            f" (line {self.line}); expected {self.expected}; remedy: {self.remedy}"
        )

    def as_body(self) -> dict[str, Any]:
        return {
            "column": self.column,
            "what": self.what,
            "n": self.count,
            "said": self.said,
            "example": self.example,
            "line": self.line,
            "expected": self.expected,
            "remedy": self.remedy,
        }


def told_once(columns: Iterable[NotUnderstood]) -> list[str]:
    """A sentence for each fault of the mapping; the columns that have the same are named behind the first of them."""
    alike: dict[tuple[str, str, str], list[NotUnderstood]] = {}
    for each in columns:
        alike.setdefault((each.what, each.expected, each.remedy), []).append(each)
    return [f"{first}{_also([each.column for each in others])}" for first, *others in alike.values()]


def _also(columns: Sequence[str]) -> str:
    if not columns:
        return ""
    return f" (so in {listed(columns, at_most=COLUMNS_SHOWN)} too)"


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts what one column said, and what of it was not understood.

    `known` are the words that it has a meaning for. `doubted` says of texts that were understood why they were perhaps
    read the wrong way.
    """

    column: str
    what: str
    expected: str
    remedy: Callable[[Samples], str]
    said: int = 0
    count: int = 0
    known: frozenset[str] = frozenset()
    doubted: Callable[[Sequence[str]], str | None] = lambda _: None
    passed: Counter[str] = field(default_factory=Counter)
    first: tuple[str, int] = ("", 0)
    strange: dict[str, None] = field(default_factory=dict)
    understood: dict[str, None] = field(default_factory=dict)

    def note(self, text: str, line: int, *, is_understood: bool) -> None:
        self.said += 1
        kept = self.understood if is_understood else self.strange
        if len(kept) < SAMPLES:
            kept[text] = None
        if not is_understood:
            self.first = self.first if self.count else (text[:TEXT_SHOWN], line)
            self.count += 1

    def pass_over(self, text: str) -> None:
        """It stands for no value."""
        if text in self.known:
            self.passed[text] += 1

    def doubts(self) -> Iterator[str]:
        """Why its texts were perhaps read the wrong way."""
        if (doubt := self.doubted(list(self.understood))) is not None:
            yield f"{self.column}: {doubt}"
        for text, count in self.passed.items():
            yield (
                f"{self.column}: {text!r} counts as no value in {count} rows, because missing has it, and is one of "
                "those that the model knows; if it is meant, take it out of missing at the top of the mapping file"
            )

    def found(self, pool: Sequence[str], *, missing: Sequence[str]) -> NotUnderstood:
        """See `Samples` for `pool` and `missing`."""
        example, line = self.first
        samples = Samples(strange=list(self.strange), pool=pool, understood=list(self.understood), missing=missing)
        return NotUnderstood(
            column=self.column,
            what=self.what,
            count=self.count,
            said=self.said,
            example=example,
            line=line,
            expected=self.expected,
            remedy=self.remedy(samples),
        )


def feature_tally(name: str, mapping: CsvMapping, spec: ModelSpec) -> Tally:
    kind, column = spec.feature(name).kind, mapping.features[name]
    if isinstance(kind, Categorical):
        return Tally(
            column=column.column,
            what=CATEGORIES,
            expected=_one_of({**column.values, **dict.fromkeys(kind.categories, "")}),
            known=frozenset(kind.categories),
            remedy=lambda samples: remedies.for_words(samples, member=f"features.{name}"),
        )
    group = f' with "{mapping.thousands}" between groups' if mapping.thousands else ""
    return Tally(
        column=column.column,
        what=NUMBERS,
        expected=f"digits such as 1234{mapping.decimal}5{group}",
        remedy=lambda samples: remedies.for_numbers(samples, decimal=mapping.decimal),
        doubted=partial(_as_thousands, decimal=mapping.decimal),
    )


def time_tally(name: str, mapping: CsvMapping) -> Tally:
    formats = ["ISO 8601 such as 2026-03-01T09:00:00Z" if each == ISO else each for each in mapping.time_formats]
    return Tally(
        column=name,
        what=TIMES,
        expected=f"{' or '.join(formats)} between 1678 and 2261",
        remedy=lambda samples: remedies.for_times(samples, formats=mapping.time_formats),
        doubted=partial(_as_other_times, formats=mapping.time_formats),
    )


def outcome_tally(mapping: CsvMapping, spec: ModelSpec) -> Tally:
    return Tally(
        column=mapping.outcome.column,
        what=OUTCOMES,
        expected=_one_of({**mapping.outcome.values, **dict.fromkeys(spec.task.classes, "")}),
        known=frozenset(spec.task.classes),
        remedy=lambda samples: remedies.for_words(samples, member="outcome"),
    )


def _as_thousands(texts: Sequence[str], *, decimal: str) -> str | None:
    """Why numbers may be a thousand times as large as they were read; None for no reason."""
    grouped = re.compile(rf"[+-]?[1-9]\d{{0,2}}{re.escape(decimal)}\d{{3}}", re.ASCII)
    pointed = [text for text in texts if decimal in text]
    if len(pointed) < DOUBTED_FROM or not all(map(grouped.fullmatch, pointed)):
        return None
    return (
        f"three digits follow every {decimal!r}, such as {pointed[0]!r}; if it stands between "
        f'thousands, write thousands = "{decimal}" and the other sign as decimal at the top of the mapping file'
    )


def _as_other_times(texts: Sequence[str], *, formats: Sequence[str]) -> str | None:
    """Why times may be others than those that were read; None for no reason."""
    for text in texts:
        if (ways := remedies.ways_of_time(text, formats)) is not None:
            one, other = ways
            return (
                f"{text!r} fits {one!r} and {other!r}, which read it as different times, and the first was taken; if "
                "that is wrong for some of the rows, their times are to be written in one way in the file"
            )
    if (name := remedies.likelier_than_epoch(texts, formats)) is not None:
        return f'{texts[0]!r} was read as a time before 1973; if it is not, write time_format = "{name}"'
    return None


def _one_of(words: Iterable[str]) -> str:
    return f"one of {listed([*words], at_most=CATEGORIES_TOLD)}"
