"""What a message tells somebody to write into a mapping file can be written there, and mends what it is about."""

import tomllib
from collections.abc import Callable
from typing import Final

import pytest

from services.traffic.remedies import POOLED, Samples, for_numbers, for_times, for_words, pooled

KINDS: Final[dict[str, Callable[[Samples], str]]] = {
    "numbers": lambda samples: for_numbers(samples, decimal="."),
    "times": lambda samples: for_times(samples, formats=("iso",)),
    "words": lambda samples: for_words(samples, member="outcome"),
}


WAYS_OF_NUMBERS: Final = 10


class Text(str):
    """Counts how often somebody looks what is in it."""

    __slots__ = ()
    read = 0

    def isascii(self) -> bool:
        Text.read += 1
        return super().isascii()


def samples(*strange: str, missing: tuple[str, ...] = ("",)) -> Samples:
    return Samples(strange=strange, pool=pooled([strange]), missing=missing)


def top_of(remedy: str) -> dict[str, object]:
    return tomllib.loads(remedy.removesuffix(" at the top of the mapping file"))


@pytest.mark.parametrize("kind", KINDS)
def test_texts_for_no_value_are_added_to_those_that_the_mapping_has(kind: str) -> None:
    told = KINDS[kind](samples("?", missing=("", "NA")))
    assert top_of(told) == {"missing": ["", "NA", "?"]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_told_as_the_file_may_have_it(kind: str) -> None:
    assert top_of(KINDS[kind](samples("\\N"))) == {"missing": ["", "\\N"]}


def test_a_word_is_told_as_the_file_may_have_it() -> None:
    told = for_words(samples("a\\b", "it's"), member="outcome")
    assert tomllib.loads(told.partition(" in [")[0].replace("…", '""')) == {"values": {"a\\b": "", "it's": ""}}


@pytest.mark.parametrize(
    ("strange", "understood", "told"),
    [
        ("02/13/2026", "02/03/2026", "%m/%d/%Y"),
        ("13.02.2026", "02/03/2026", ["%d/%m/%Y", "%d.%m.%Y"]),
    ],
)
def test_a_format_that_read_some_texts_stays_only_where_no_other_reads_them_all(
    strange: str, understood: str, told: str | list[str]
) -> None:
    texts = Samples(strange=[strange], pool=[strange], understood=[understood])
    assert top_of(for_times(texts, formats=("%d/%m/%Y",))) == {"time_format": told}


def test_what_all_columns_together_tell_is_looked_for_in_a_part_of_them_that_does_not_grow() -> None:
    columns = [[f"{column},{row:03d}" for row in range(50)] for column in range(1, 500)]
    pool = pooled(columns)
    assert len(pool) == POOLED
    assert pool[:3] == ["1,000", "2,000", "3,000"]


def test_what_is_read_to_find_the_remedy_of_a_column_does_not_grow_with_the_number_of_columns() -> None:
    columns = [[Text(f"{column},{row}") for row in range(10, 60)] for column in range(500)]
    pool = pooled(columns)
    Text.read = 0
    assert for_numbers(Samples(strange=columns[0], pool=pool), decimal=".").startswith('decimal = ","')
    assert Text.read <= WAYS_OF_NUMBERS * (POOLED + len(columns[0]))


def test_the_texts_of_no_value_take_no_room_among_those_that_tell_how_a_column_is_written() -> None:
    assert pooled([["NA", "1,5"], ["?", "n/a"]]) == ["1,5"]
