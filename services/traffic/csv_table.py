"""Reads a CSV strictly: every row has the fields that the header names, and nothing is shifted, swallowed or guessed.

Python's own reader forgives what is wrong: a quote that is never closed takes the rest of the file into one field, and
a row with a field too many moves every value behind it into the next column.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from services.core.errors import MappingError
from services.core.wording import listed

DELIMITERS: Final = (",", ";", "\t", "|", ":")
NAMES_SHOWN: Final = 25
TEXT_SHOWN: Final = 40
PREAMBLE: Final = 50
"""Lines in which a header is looked for that is not the first."""

FEWEST_FIELDS: Final = 4
"""With fewer columns, a comment of two lines can have the commas of two rows."""

_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')

_MARKS: Final[Mapping[bytes, str]] = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks; the longer one before the one that it begins with."""

_IN_EITHER_ORDER: Final = ("utf-16", "utf-32")
"""Encodings whose bytes a mark has to put in order."""

_OTHER_FILES: Final[Mapping[bytes, str]] = {
    b"PK\x03\x04": "an Excel workbook or another ZIP file; save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as CSV",
    b"PAR1": "a Parquet file; write it as CSV",
    b"\x1f\x8b": "compressed by gzip; unpack it with gunzip",
    b"%PDF": "a PDF; expected the table that it was made from",
}


class Row(NamedTuple):
    """`line` is where it begins, the first being 1; `texts` are those of the wanted columns, without blanks around."""

    line: int
    texts: dict[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A file, how it is written, and the columns that are wanted of it."""

    path: Path
    wanted: Sequence[str]
    delimiter: str = ","
    encoding: str = "utf-8"

    def rows(self) -> Iterator[Row]:
        """The rows in the order of the file; blank lines are none.

        Raises:
            MappingError: the file cannot be read, is not written as was said, lacks a wanted column, has one name
                twice, or a row of it has another number of fields than the header. It names the line and the remedy.
        """
        try:
            _require_text(self.path, self.encoding)
            with self.path.open(encoding=self.encoding, newline="") as file:
                yield from self._rows(_Lines(file, self))
        except OSError as error:
            raise MappingError(f"{self.path} cannot be read: {error.strerror}; expected a CSV file") from error
        except UnicodeError as error:
            raise MappingError(self._undecodable()) from error

    def _rows(self, lines: "_Lines") -> Iterator[Row]:
        records = self._records(lines)
        first, names = next(records, (1, []))
        names = [name.strip() for name in names]
        self._require_columns(names, first, lines)
        places = {name: names.index(name) for name in dict.fromkeys(self.wanted)}
        for line, fields in records:
            if len(fields) != len(names):
                raise self.fault(line, _miscounted(fields, names, self.delimiter))
            yield Row(line, {name: fields[place].strip() for name, place in places.items()})

    def _records(self, lines: "_Lines") -> Iterator[tuple[int, list[str]]]:
        """Each record with the line in which it begins."""
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        while True:
            line = lines.begin_record()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise self.fault(line, _misquoted(error, lines.record, self.delimiter)) from error
            if len(lines.record) > 1 and _is_several(lines.record, fields, self.delimiter):
                raise self.fault(line, _swallowed(lines.record))
            if any(each.strip() for each in fields) or len(fields) > 1:
                yield line, fields

    def fault(self, line: int, problem: str) -> MappingError:
        return MappingError(f"{self.path}, line {line}: {problem}")

    def _require_columns(self, found: Sequence[str], line: int, lines: "_Lines") -> None:
        lacking = [name for name in dict.fromkeys(self.wanted) if name not in found]
        if lacking:
            raise MappingError(f"{self.path} {self._why_lacking(lacking, found, line, lines)}")
        if twice := [name for name, count in Counter(found).items() if name and count > 1]:
            places = ", ".join(str(place) for place, name in enumerate(found, start=1) if name == twice[0])
            raise self.fault(line, f"found columns {places} all named {twice[0]!r}, expected one; rename the others")

    def _why_lacking(self, lacking: Sequence[str], found: Sequence[str], line: int, lines: "_Lines") -> str:
        """What is most likely wrong: the delimiter, lines above the header, or the names."""
        seen = [*lines.record, *islice(lines, PREAMBLE)]
        header = _header_of(seen, self.wanted, self.delimiter)
        if header is not None and header.place:
            place = line + header.place
            return (
                f"has its header in line {place}, expected in line 1; found {_shown(seen[0])} above it;"
                f" remove the lines above (tail -n +{place} FILE > NEW){_set_delimiter(header, self.delimiter)}"
            )
        if header is not None and header.delimiter != self.delimiter:
            return (
                f"is parted by {header.delimiter!r}, expected {self.delimiter!r}:"
                f" write {_told(header.delimiter)} at the top of the mapping file"
            )
        return (
            f"has no column {_listed(lacking)}; found {_listed(found) or 'no header'};"
            " name the right columns in a mapping file and pass it with --mapping"
        )

    def _undecodable(self) -> str:
        """The place of the first bytes that are no text in this encoding, which the file is read again for."""
        try:
            content = self.path.read_bytes()
            content.decode(self.encoding)
        except UnicodeDecodeError as error:
            before = content[: error.start].decode(self.encoding, "replace")
            found = content[error.start : error.start + 1].hex()
            likely = "" if self.encoding == "cp1252" else f', such as encoding = "cp1252"{_as_cp1252(content, error)}'
            return (
                f"{self.path}, line {before.count(chr(10)) + 1}: found the byte 0x{found}, which is no text in"
                f" {_name(self.encoding)}; state the file's own encoding in the mapping{likely}"
            )
        except (UnicodeError, OSError) as error:
            return f"{self.path} is no text in {_name(self.encoding)}: {error}; state its encoding in the mapping"
        return f"{self.path} changed while it was read; try again"


@dataclass(slots=True)
class _Lines:
    """The lines of a file, and those of the record that is being read."""

    file: TextIO
    table: Table
    number: int = 0
    record: list[str] = field(default_factory=list)

    def begin_record(self) -> int:
        self.record = []
        return self.number + 1

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self.file)
        self.number += 1
        if self.number == 1:
            line = line.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
        if "\x00" in line:
            raise self.table.fault(
                self.number,
                f"found NUL (a byte 0) after {_shown(line.partition(chr(0))[0])}, expected text; if the file is in "
                'UTF-16, write encoding = "utf-16" at the top of the mapping file, else remove it (tr -d "\\000")',
            )
        self.record.append(line)
        return line


class _Header(NamedTuple):
    """`place` counts the lines above it."""

    place: int
    delimiter: str


def _require_text(path: Path, encoding: str) -> None:
    with path.open("rb") as file:
        start = file.read(4)
    for begin, what in _OTHER_FILES.items():
        if start.startswith(begin):
            raise MappingError(f"{path} is no CSV but {what}")
    named = codecs.lookup(encoding).name
    if not named.startswith("utf") and _is_utf8(path):
        raise MappingError(
            f"{path} is in UTF-8, and the mapping says {_name(encoding)}, in which its letters would be others;"
            " take encoding out of the mapping file"
        )
    marked = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    if start and not marked and named in _IN_EITHER_ORDER:
        order = "be" if start.startswith(b"\x00") else "le"
        raise MappingError(
            f"{path} begins with no byte order mark, without which {_name(encoding)} does not say in which order its"
            f' bytes are; write encoding = "{named}-{order}" at the top of the mapping file'
        )
    if marked and not named.startswith(marked):
        raise MappingError(
            f"{path} begins with the byte order mark of {_name(marked)}, and is read as {_name(encoding)};"
            f' write encoding = "{marked}" at the top of the mapping file'
        )


def _is_utf8(path: Path) -> bool:
    """Whether it has letters beyond ASCII and all are in UTF-8, as text in another encoding hardly ever seems to be."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return sum(not line.isascii() for line in file) > 0
    except UnicodeDecodeError:
        return False


def _name(encoding: str) -> str:
    return encoding.upper()


def _as_cp1252(content: bytes, error: UnicodeDecodeError) -> str:
    """How the text around the fault reads in the encoding of Windows, for people to compare."""
    begin = max(content.rfind(b"\n", 0, error.start) + 1, error.start - 10)
    around = content[begin : error.start + 10].decode("cp1252", "replace").splitlines()
    return f" (then it reads {around[0]!r})"


def _header_of(lines: Sequence[str], wanted: Sequence[str], delimiter: str) -> _Header | None:
    """The first line, and the way of parting it, that has most of the wanted names, and at least two."""
    best, most = None, max(1, len(set(wanted)) // 2)
    for place, line in enumerate(lines):
        for each in dict.fromkeys((delimiter, *DELIMITERS)):
            named = len({*wanted} & {*_parted(line, each)})
            if named > most:
                best, most = _Header(place, each), named
    return best


def _listed(names: Sequence[str]) -> str:
    return listed(names, at_most=NAMES_SHOWN)


def _parted(line: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _set_delimiter(header: _Header, delimiter: str) -> str:
    return "" if header.delimiter == delimiter else f", and write {_told(header.delimiter)} in the mapping file"


def _told(delimiter: str) -> str:
    return 'delimiter = "\\t"' if delimiter == "\t" else f'delimiter = "{delimiter}"'


def _miscounted(fields: Sequence[str], names: Sequence[str], delimiter: str) -> str:
    found = f"found {len(fields)} field{'s' * (len(fields) > 1)}, expected {len(names)} as in the header"
    if len(fields) < len(names):
        return f"{found}; the last is {_shown(fields[-1])}; complete the row or remove it"
    for one, other in pairwise(fields):
        if delimiter == "," and re.fullmatch(r"-?\d{1,3}", one) and re.fullmatch(r"\d{3}(\.\d+)?", other):
            number = f"{one},{other}"
            return f'{found}; if {number} is one number, write "{number}" and state thousands = "," in the mapping'
    if not fields[-1].strip():
        return f"{found}; remove the {delimiter!r} at the end of the row, or give that column a name"
    return f"{found}; put texts that have a {delimiter!r} in them in double quotes"


def _misquoted(error: csv.Error, record: Sequence[str], delimiter: str) -> str:
    if "field larger" in str(error) and len(record) == 1:
        return f"found a text of more than {csv.field_size_limit():,} characters, expected a shorter one; cut it"
    if "unexpected end" in str(error) or "field larger" in str(error):
        return (
            f"found a double quote that nothing closes, in the lines from {_shown(record[0])} on;"
            " close it, or remove it"
        )
    if "expected after" in str(error):
        return (
            f"found a closing double quote that no {delimiter!r} follows, in {_shown(record[-1])};"
            ' write a quote inside a text twice ("")'
        )
    return f"{error}, in {_shown(record[-1])}"


def _is_several(record: Sequence[str], fields: Sequence[str], delimiter: str) -> bool:
    """Whether each line of a text with line breaks looks like a row of its own."""
    n = len(fields)
    return n >= FEWEST_FIELDS and all(_QUOTED.sub("", line).count(delimiter) == n - 1 for line in record)


def _swallowed(record: Sequence[str]) -> str:
    return (
        f"found a text in double quotes that goes on over {len(record)} lines, each of which has the fields of a row;"
        f" close the quote in {_shown(record[0])}"
    )


def _shown(text: str) -> str:
    text = text.rstrip("\r\n")
    return repr(text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}…")
