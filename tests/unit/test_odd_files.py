"""Files as people really have them, and what `bellwether check` says of each."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from monitoring.entrypoints.cli import main
from services.models.discovery import spec_of, world_of
from tests.history_csv import History, export
from tests.models.conftest import ORIGIN, SEED

Rows = list[dict[str, str]]
DAY_FIRST, MONTH_FIRST = "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"


@dataclass(frozen=True, kw_only=True)
class Odd:
    """A file made from a clean one, what is added to its mapping, and what is said of it; `code` is the exit code."""

    name: str
    make: Callable[[Rows], str | bytes]
    top: str = ""
    code: int = 0
    says: tuple[str, ...] = ("verdict: ok",)


def written(rows: Rows, **dialect: Any) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n", **dialect)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def in_place(rows: Rows, place: int, **values: str) -> Rows:
    return [row | values if number == place else row for number, row in enumerate(rows)]


def each(rows: Rows, column: str, change: Callable[[str], str]) -> Rows:
    return [row | {column: change(row[column])} for row in rows]


def line(text: str, number: int, change: Callable[[str], str]) -> str:
    """The text with one of its lines changed; the header is line 1."""
    lines = text.splitlines()
    lines[number - 1] = change(lines[number - 1])
    return "\n".join(lines) + "\n"


def times(rows: Rows, write: Callable[[datetime], str]) -> Rows:
    """Every time of the file, written in another way."""
    columns = [name for name in rows[0] if name.endswith("_at")]
    for column in columns:
        rows = each(rows, column, lambda text: write(datetime.fromisoformat(text)) if text else "")
    return rows


def utc(rows: Rows, place: int, *, asked_at: str, outcome_at: str) -> str:
    """One row with such times; its values were observed when it was asked for."""
    observed = {name: asked_at for name in rows[0] if name.endswith("_at") and name not in ("outcome_at", "started_at")}
    return written(in_place(rows, place, **(observed | {"asked_at": asked_at, "outcome_at": outcome_at})))


def comma(text: str) -> str:
    return text.replace(".", ",")


def german(text: str) -> str:
    return f"{float(text):,.2f}".translate({ord(","): ".", ord("."): ","})


BERLIN = 'time_zone = "Europe/Berlin"\n'
UMLAUT = {"entity": "Müller-7"}

ODD = [
    # dialects
    Odd(name="clean", make=written),
    Odd(
        name="semicolons",
        make=lambda rows: written(rows, delimiter=";"),
        code=1,
        says=("is parted by ';', expected ','", 'delimiter = ";"'),
    ),
    Odd(name="semicolons, told", make=lambda rows: written(rows, delimiter=";"), top='delimiter = ";"\n'),
    Odd(
        name="tabs",
        make=lambda rows: written(rows, delimiter="\t"),
        code=1,
        says=("is parted by '\\t', expected ','", 'delimiter = "\\t"'),
    ),
    Odd(name="tabs, told", make=lambda rows: written(rows, delimiter="\t"), top='delimiter = "\\t"\n'),
    Odd(name="bars", make=lambda rows: written(rows, delimiter="|"), code=1, says=("is parted by '|', expected ','",)),
    Odd(
        name="lines above the header",
        make=lambda rows: f"Churn report\nmade on 2026-02-01\n\n{written(rows)}",
        code=1,
        says=("has its header in line 4, expected in line 1; found 'Churn report' above it", "tail -n +4"),
    ),
    Odd(
        name="a line for Excel",
        make=lambda rows: "sep=;\n" + written(rows, delimiter=";"),
        code=1,
        says=("has its header in line 2", "tail -n +2", 'delimiter = ";"'),
    ),
    Odd(name="blank lines", make=lambda rows: "\n" + written(rows).replace("\n", "\n\n") + "\n\n"),
    Odd(name="carriage returns", make=lambda rows: written(rows).replace("\n", "\r")),
    Odd(
        name="a delimiter too many in every row",
        make=lambda rows: written(rows).replace("\n", ",\n").replace(",\n", "\n", 1),
        code=1,
        says=("line 2: found 44 fields, expected 43 as in the header; remove the ',' at the end of the row",),
    ),
    # quotes and fields
    Odd(name="everything in quotes", make=lambda rows: written(rows, quoting=csv.QUOTE_ALL)),
    Odd(
        name="a quote that nothing closes",
        make=lambda rows: line(written(rows), 5, lambda text: '"' + text),
        code=1,
        says=("line 5: found a double quote that nothing closes, in the lines from '\"customer-",),
    ),
    Odd(
        name="a quote that a later row closes",
        make=lambda rows: line(line(written(rows), 5, lambda text: text + '"'), 3, lambda text: '"' + text),
        code=1,
        says=("line 3: found",),
    ),
    Odd(
        name="rows swallowed by two quotes",
        make=lambda rows: line(
            line(written(rows), 5, lambda text: text.replace(",", '",', 1)), 3, lambda text: '"' + text
        ),
        code=1,
        says=(
            "line 3: found a text in double quotes that goes on over 3 lines, each of which has the fields of a row",
        ),
    ),
    Odd(
        name="quotes after a backslash",
        make=lambda rows: line(written(rows), 4, lambda text: '"the \\"best\\" one' + text.replace(",", '",', 1)),
        code=1,
        says=("line 4: found a closing double quote that no ',' follows", 'twice ("")'),
    ),
    Odd(
        name="a number with a comma and no quotes",
        make=lambda rows: line(
            written(in_place(rows, 5, monthly_charges="#")), 7, lambda text: text.replace("#", "1,234.50")
        ),
        code=1,
        says=("line 7: found 44 fields, expected 43", 'if 1,234.50 is one number, write "1,234.50"'),
    ),
    Odd(
        name="a last row cut short",
        make=lambda rows: written(rows)[:-200],
        code=1,
        says=("line 201: found", "expected 43 as in the header", "complete the row or remove it"),
    ),
    Odd(
        name="a comment of two lines in a column that nobody reads",
        make=lambda rows: written([row | {"comment": 'she said:\n"later", twice'} for row in rows]),
    ),
    Odd(
        name="a field beyond the reader's limit",
        make=lambda rows: written(in_place(rows, 0, entity="x" * (csv.field_size_limit() + 1))),
        code=1,
        says=("line 2: found a text of more than 131,072 characters",),
    ),
    # encodings
    Odd(name="a byte order mark", make=lambda rows: written(rows).encode("utf-8-sig")),
    Odd(
        name="Windows' letters",
        make=lambda rows: written(in_place(rows, 7, **UMLAUT)).encode("cp1252"),
        code=1,
        says=("line 9: found the byte 0xfc, which is no text in UTF-8", 'encoding = "cp1252"', "Müller-7"),
    ),
    Odd(
        name="Windows' letters, told",
        make=lambda rows: written(in_place(rows, 7, **UMLAUT)).encode("cp1252"),
        top='encoding = "cp1252"\n',
    ),
    Odd(
        name="UTF-16",
        make=lambda rows: written(rows).encode("utf-16"),
        code=1,
        says=("begins with the byte order mark of UTF-16", 'encoding = "utf-16"'),
    ),
    Odd(name="UTF-16, told", make=lambda rows: written(rows).encode("utf-16"), top='encoding = "utf-16"\n'),
    Odd(
        name="UTF-8 without a mark that is called cp1252",
        make=lambda rows: written(in_place(rows, 7, **UMLAUT)),
        top='encoding = "cp1252"\n',
        code=1,
        says=("is in UTF-8, and the mapping says CP1252", "take encoding out of the mapping file"),
    ),
    Odd(
        name="UTF-8 that is called cp1252",
        make=lambda rows: written(rows).encode("utf-8-sig"),
        top='encoding = "cp1252"\n',
        code=1,
        says=("is in UTF-8, and the mapping says CP1252",),
    ),
    Odd(
        name="a NUL",
        make=lambda rows: line(written(rows), 6, lambda text: text.replace(",", ",\0", 1)),
        code=1,
        says=("line 6: found NUL (a byte 0)", "tr -d"),
    ),
    Odd(
        name="an Excel workbook",
        make=lambda _: b"PK\x03\x04 and so on",
        code=1,
        says=("is no CSV but an Excel workbook",),
    ),
    Odd(name="gzip", make=lambda rows: gzip.compress(written(rows).encode()), code=1, says=("gunzip",)),
    Odd(name="nothing at all", make=lambda _: "", code=1, says=("found no header",)),
    Odd(name="a header alone", make=lambda rows: written(rows).partition("\n")[0], code=1, says=("no rows",)),
    # the header
    Odd(
        name="a column twice",
        make=lambda rows: line(written(rows), 1, lambda text: text.replace("partner_at", "partner")),
        code=1,
        says=("has no column partner_at",),
    ),
    Odd(
        name="a column twice that both are there",
        make=lambda rows: written([row | {"partner ": row["partner"]} for row in rows]),
        code=1,
        says=("line 1: found columns 10, 44 all named 'partner', expected one; rename the others",),
    ),
    Odd(name="blanks around names", make=lambda rows: line(written(rows), 1, lambda text: text.replace(",", " , "))),
    # times
    Odd(
        name="day first",
        make=lambda rows: written(times(rows, lambda at: at.strftime(DAY_FIRST))),
        top='time_zone = "UTC"\n',
        code=1,
        says=(
            "asked_at: 200 of 200 times not understood, such as '02/03/2026 08:24' (line 2)",
            f'remedy: time_format = "{DAY_FIRST}" at the top of the mapping file (so in outcome_at, ',
        ),
    ),
    Odd(
        name="day first, told",
        make=lambda rows: written(times(rows, lambda at: at.strftime(DAY_FIRST))),
        top=f'time_zone = "UTC"\ntime_format = "{DAY_FIRST}"\n',
    ),
    Odd(
        name="day or month first, nobody can tell",
        make=lambda rows: written(times(rows, lambda at: at.replace(day=3, month=2).strftime(DAY_FIRST))),
        top='time_zone = "UTC"\n',
        code=1,
        says=(f'time_format = "{DAY_FIRST}" or time_format = "{MONTH_FIRST}"',),
    ),
    Odd(
        name="seconds since 1970",
        make=lambda rows: written(times(rows, lambda at: f"{at.timestamp():.0f}")),
        code=1,
        says=("200 of 200 times not understood, such as '17", 'time_format = "unix_seconds"'),
    ),
    Odd(
        name="milliseconds since 1970, told",
        make=lambda rows: written(times(rows, lambda at: f"{at.timestamp() * 1000:.0f}")),
        top='time_format = "unix_milliseconds"\n',
    ),
    Odd(
        name="local times of nowhere",
        make=lambda rows: written(times(rows, lambda at: at.strftime("%Y-%m-%d %H:%M:%S"))),
        code=1,
        says=("line 2: asked_at is '2026-03-02 08:24:34' without a time zone", "state time_zone in the mapping"),
    ),
    Odd(
        name="the hour that comes twice",
        make=lambda rows: utc(rows, len(rows) - 1, asked_at="2026-10-25 02:50", outcome_at="2026-10-25 02:10"),
        top=BERLIN,
    ),
    Odd(
        name="the hour that never is",
        make=lambda rows: utc(rows, len(rows) - 1, asked_at="2026-03-29 03:10", outcome_at="2026-03-29 02:50"),
        top=BERLIN,
    ),
    Odd(
        name="an outcome before the decision however one reads it",
        make=lambda rows: utc(rows, len(rows) - 1, asked_at="2026-10-25 03:10", outcome_at="2026-10-25 01:50"),
        top=BERLIN,
        code=1,
        says=("the outcome is known before the decision in 0.5 % of rows",),
    ),
    Odd(
        name="days without hours",
        make=lambda rows: written(times(rows, lambda at: at.date().isoformat())),
        top='time_zone = "UTC"\n',
        says=(
            "not checked: known at the decision: that cannot be told, because their times are days without hours",
            "verdict: not enough data",
        ),
    ),
    Odd(
        name="a leap second",
        make=lambda rows: utc(rows, len(rows) - 1, asked_at="2026-06-30T23:59:60Z", outcome_at="2026-07-30T24:00Z"),
    ),
    Odd(
        name="times as BigQuery writes them",
        make=lambda rows: written(times(rows, lambda at: at.strftime("%Y-%m-%d %H:%M:%S.%f UTC"))),
    ),
    Odd(
        name="the last day of the calendar",
        make=lambda rows: written(in_place(rows, 3, outcome_at="9999-12-31")),
        top='time_zone = "UTC"\n',
        says=(
            "outcome_at: 1 of 200 times not understood, such as '9999-12-31' (line 5)",
            'missing = ["", "9999-12-31"]',
        ),
    ),
    # numbers
    Odd(
        name="decimal commas",
        make=lambda rows: written(each(rows, "monthly_charges", comma), delimiter=";"),
        top='delimiter = ";"\n',
        code=1,
        says=("monthly_charges: ", "numbers not understood, such as '", 'remedy: decimal = ","'),
    ),
    Odd(
        name="decimal commas, told",
        make=lambda rows: written(
            each(each(each(rows, "monthly_charges", german), "total_charges", german), "tenure_months", german)
        ),
        top='decimal = ","\nthousands = "."\n',
    ),
    Odd(
        name="points between thousands",
        make=lambda rows: written(each(rows, "total_charges", lambda _: "1.234,50")),
        code=1,
        says=("total_charges: 200 of 200 numbers not understood", 'decimal = "," and thousands = "."'),
    ),
    Odd(
        name="points between thousands, and no other sign",
        make=lambda rows: written(
            [row | {"total_charges": f"{place + 1}.{place + 100}"} for place, row in enumerate(rows)]
        ),
        says=("total_charges: three digits follow every '.', such as '1.100'", 'thousands = "."', "verdict: warned"),
    ),
    Odd(
        name="underscores in numbers",
        make=lambda rows: written(in_place(rows, 2, total_charges="1_000")),
        says=(
            "total_charges: 1 of 200 numbers not understood, such as '1_000' (line 4)",
            'remedy: thousands = "_" at the top',
            "verdict: warned",
        ),
    ),
    Odd(
        name="NA for nothing",
        make=lambda rows: written(each(rows, "total_charges", lambda _: "NA")),
        code=1,
        says=("total_charges: 200 of 200 numbers not understood, such as 'NA'", 'remedy: missing = ["", "NA"]'),
    ),
    Odd(
        name="a currency",
        make=lambda rows: written(in_place(rows, 2, monthly_charges="29.85 €")),
        says=("monthly_charges: 1 of 200 numbers not understood, such as '29.85 €' (line 4); expected digits",),
    ),
    Odd(
        name="a number out of range",
        make=lambda rows: written(in_place(rows, 2, tenure_months="1234568")),
        says=("warning: churn: 'tenure_months' is invalid in 0.5 % of rows", "1 tenure_months invalid"),
    ),
    # words
    Odd(
        name="outcomes with a full stop",
        make=lambda rows: written(each(rows, "outcome", lambda text: f"{text}.")),
        code=1,
        says=(
            "outcome: 200 of 200 outcomes not understood, such as '",
            "expected one of stayed, churned",
            "in [outcome]",
        ),
    ),
    Odd(
        name="one class in capitals",
        make=lambda rows: written(each(rows, "outcome", lambda text: text.replace("churned", "CHURNED"))),
        code=1,
        says=("outcomes not understood, such as 'CHURNED'", 'values = { "CHURNED" = … } in [outcome]'),
    ),
    Odd(
        name="one outcome in fifteen with a full stop",
        make=lambda rows: written(
            [row | {"outcome": row["outcome"] + "." * (place % 15 == 0)} for place, row in enumerate(rows)]
        ),
        code=1,
        says=("outcome: 14 of 200 outcomes not understood",),
    ),
    Odd(
        name="a few strange outcomes",
        make=lambda rows: written(in_place(in_place(rows, 1, outcome="?"), 2, outcome="")),
        says=(
            "1 without an outcome, 1 with an outcome that was not understood",
            "1 outcome not understood",
            "1 outcome blank",
        ),
    ),
    Odd(
        name="categories in another language",
        make=lambda rows: written(each(rows, "partner", lambda text: {"yes": "ja", "no": "nein"}.get(text, text))),
        code=1,
        says=("partner: 200 of 200 categories not understood", "in [features.partner]"),
    ),
    # ids
    Odd(
        name="an id of 201 characters",
        make=lambda rows: written(in_place(rows, 3, entity="x" * 201)),
        code=1,
        says=("line 5: entity is no id: found 201 characters, expected 1 to 200",),
    ),
    Odd(
        name="no id",
        make=lambda rows: written(in_place(rows, 3, entity=" ")),
        code=1,
        says=("line 5: entity is blank",),
    ),
    Odd(
        name="ids that a spreadsheet rounded",
        make=lambda rows: written(in_place(rows, 3, entity="7.59E+11")),
        code=1,
        says=("line 5: entity is '7.59E+11': a spreadsheet has rounded the id",),
    ),
    Odd(
        name="a control character in an id",
        make=lambda rows: written(in_place(rows, 3, entity="a\x07b")),
        code=1,
        says=("line 5: entity is no id: found the control character U+0007",),
    ),
    # order and gaps
    Odd(
        name="the newest row first",
        make=lambda rows: written(rows[::-1]),
        says=(
            "of rows were decided before one further up in the file",
            "sort the rows by decided_at",
            "verdict: warned",
        ),
    ),
    Odd(
        name="the newest outcomes not known yet",
        make=lambda rows: written([row | ({"outcome": ""} if place > 139 else {}) for place, row in enumerate(rows)]),
        says=("60 without an outcome", "training would leave out 60 of them: 60 outcome blank"),
    ),
]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Ten days of the simulated telephone company, everything as it was known at the time."""
    world = world_of("churn")(seed=SEED, origin=ORIGIN, events=())
    return export(spec_of("churn"), world, tmp_path_factory.mktemp("clean"), days=10, calls=20)


def complete(row: dict[str, str]) -> dict[str, str]:
    """Customers before their first invoice have no total yet."""
    return row if row["total_charges"] else row | {"total_charges": "20.05", "total_charges_at": row["asked_at"]}


def checked(odd: Odd, clean: History, directory: Path, *more: str) -> Result:
    with clean.csv.open(newline="", encoding="utf-8") as file:
        content = odd.make([complete(row) for row in csv.DictReader(file)])
    path, mapping = directory / "odd.csv", directory / "odd.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    mapping.write_text(odd.top + clean.mapping.read_text("utf-8"), "utf-8")
    return CliRunner().invoke(main, ("check", "churn", "--csv", str(path), "--mapping", str(mapping), *more))


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_an_odd_file_is_read_as_it_is_meant_or_says_what_is_wrong_and_what_to_do(
    odd: Odd, clean: History, tmp_path: Path
) -> None:
    told = checked(odd, clean, tmp_path)

    said = told.stdout + told.stderr
    assert told.exit_code == odd.code, said
    assert [phrase for phrase in odd.says if phrase not in said] == [], said
    assert "Traceback" not in said


def test_what_was_not_understood_is_in_the_report_for_machines_too(clean: History, tmp_path: Path) -> None:
    odd = Odd(name="", make=lambda rows: written(in_place(in_place(rows, 2, total_charges="1_000"), 3, outcome="?")))
    report = json.loads(checked(odd, clean, tmp_path, "--json").stdout)

    outcome, charges = report["not_understood"]
    assert (outcome["column"], outcome["what"], outcome["n"], outcome["line"]) == ("outcome", "outcomes", 1, 5)
    assert (charges["column"], charges["n"], charges["said"], charges["example"]) == ("total_charges", 1, 200, "1_000")
    assert report["without_outcome"] == {"blank": 0, "not_understood": 1}
    assert report["left_out_of_training"] == {"outcome not understood": 1, "total_charges not understood": 1}
    assert report["verdict"] == "warned"


def test_there_are_thirty_odd_files_at_least() -> None:
    assert len({odd.name for odd in ODD}) == len(ODD) >= 30
