"""Whatever is written as CSV is read as it was written, and what is not CSV is refused."""

import csv
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.errors import MappingError
from services.traffic.csv_table import DELIMITERS, Table

NAMES = ["id", "said", "n"]
texts = st.text(st.sampled_from("ab1é .,;\t|:'\"\n\r"), max_size=8)


def read(content: str, *, delimiter: str = ",", encoding: str = "utf-8") -> list[dict[str, str]]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "table.csv"
        path.write_bytes(content.encode(encoding))
        return [row.texts for row in Table(path, NAMES, delimiter, encoding).rows()]


def written(rows: list[list[str]], delimiter: str, quoting: int) -> str:
    with tempfile.TemporaryFile("w+", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
        writer.writerows([NAMES, *rows])
        file.seek(0)
        return file.read()


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.just("u"), texts, texts).map(list), min_size=1, max_size=4),
    delimiter=st.sampled_from(DELIMITERS),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
)
def test_a_table_is_read_as_it_was_written(rows: list[list[str]], delimiter: str, quoting: int, encoding: str) -> None:
    found = read(written(rows, delimiter, quoting), delimiter=delimiter, encoding=encoding)

    assert found == [dict(zip(NAMES, map(str.strip, row), strict=True)) for row in rows]


@settings(deadline=None)
@given(row=st.lists(st.sampled_from(["a", "1", ""]), min_size=2, max_size=6).filter(lambda row: len(row) != len(NAMES)))
def test_a_row_of_another_number_of_fields_is_refused_with_its_line(row: list[str]) -> None:
    with pytest.raises(MappingError, match=rf"line 3: found {len(row)} fields, expected 3 as in the header"):
        read(written([["u", "a", "1"], row, ["u", "a", "1"]], ",", csv.QUOTE_MINIMAL))


def test_the_line_of_a_fault_counts_the_lines_inside_texts() -> None:
    with pytest.raises(MappingError, match="line 5: found 2 fields"):
        read('id,said,n\nu,"one\ntwo\nthree",1\nu,one\n')


@pytest.mark.parametrize("content", ['id,said,n\nu,5" pipe,1\n', "id,said,n\nu,O'Brien,1\n"])
def test_a_quote_inside_a_text_that_none_surround_is_part_of_it(content: str) -> None:
    assert read(content)[0]["n"] == "1"
