import csv
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from services.core.errors import MappingError
from services.core.time_range import TimeRange
from services.traffic.history import CsvRow, History, read_history, require_understood
from services.traffic.mapping import CsvMapping, load_mapping
from tests.toy import toy_spec

MAPPING = """
missing = ["", "n/a"]
[entity]
column = "User"
[outcome]
column = "Gone"
values = { Yes = "left", No = "stayed" }
[features.amount]
column = "Amount"
[features.plan]
column = "Plan"
values = { M = "monthly", Y = "yearly" }
[features.visits]
column = "Visits"
[features.mood]
column = "Mood"
"""
HEADER = "User,Gone,Amount,Plan,Visits,Mood"


def mapping_in(directory: Path, text: str = MAPPING) -> CsvMapping:
    path = directory / "toy.toml"
    path.write_text(text, "utf-8")
    return load_mapping(path, toy_spec())


def rows_of(directory: Path, *lines: str, encoding: str = "utf-8") -> list[CsvRow]:
    return list(history_of(directory, *lines, encoding=encoding).rows)


def history_of(directory: Path, *lines: str, encoding: str = "utf-8", top: str = "") -> History:
    path = directory / "history.csv"
    path.write_text("\n".join(lines) + "\n", encoding)
    return read_history(path, mapping_in(directory, top + MAPPING), toy_spec())


def test_a_row_becomes_a_request_a_feed_and_an_outcome(tmp_path: Path) -> None:
    assert rows_of(tmp_path, HEADER, "u1,Yes,12.5,M,3,0.5") == [
        CsvRow(
            entity_id="u1",
            request={"amount": 12.5, "plan": "monthly"},
            feed={"visits": 3.0, "mood": 0.5},
            outcome="left",
        )
    ]


def test_a_blank_is_left_out_of_the_request_and_none_in_the_feed(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, HEADER, "u1,No,,M, ,n/a")
    assert row.request == {"plan": "monthly"}
    assert row.feed == {"visits": None, "mood": None}
    assert row.unmapped == ()


def test_an_unknown_category_is_kept_as_it_is_and_its_column_named(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, HEADER, "u1,No,1,Weekly,3,0")
    assert row.request["plan"] == "Weekly"
    assert row.unmapped == ("Plan",)


@pytest.mark.parametrize("text", ["twelve", "nan", "inf", "1_000", "1e400", "\N{FULLWIDTH DIGIT ONE}", "0x10", "12 %"])
def test_a_text_where_a_number_belongs_is_not_sent_and_its_column_is_named(tmp_path: Path, text: str) -> None:
    (row,) = rows_of(tmp_path, HEADER, f"u1,No,{text},M,{text},0")
    assert "amount" not in row.request
    assert row.feed["visits"] is None
    assert row.unmapped == ("Amount", "Visits")
    assert row.not_understood == ("amount", "visits")


@pytest.mark.parametrize("text", ["12", "+12.0", "1.2e1", " 12 ", "12."])
def test_a_number_is_read_however_plainly_it_is_written(tmp_path: Path, text: str) -> None:
    (row,) = rows_of(tmp_path, HEADER, f"u1,No,{text},M,3,0")
    assert row.request["amount"] == 12.0


@pytest.mark.parametrize(
    ("top", "text", "number"),
    [
        ('decimal = ","', "29,85", 29.85),
        ('decimal = ","\nthousands = "."', "-1.234.567,5", -1234567.5),
        ('thousands = ","', "1,234.50", 1234.5),
        ('thousands = ","', "12,34,567", 1234567.0),
        ('thousands = " "', "1\N{NO-BREAK SPACE}234", 1234.0),
        ('thousands = "\'"', "1\N{RIGHT SINGLE QUOTATION MARK}234", 1234.0),
        ('thousands = ","', "1234", 1234.0),
    ],
)
def test_numbers_are_read_as_the_mapping_says_they_are_written(
    tmp_path: Path, top: str, text: str, number: float
) -> None:
    (row,) = history_of(tmp_path, HEADER, f'u1,No,1,M,3,"{text}"', top=f"{top}\n").rows
    assert row.feed["mood"] == number


@pytest.mark.parametrize(
    ("top", "text"), [('decimal = ","', "1.5"), ('thousands = ","', "1,23"), ('thousands = ","', "1,2345")]
)
def test_a_number_written_in_another_way_than_the_mapping_says_is_not_guessed(
    tmp_path: Path, top: str, text: str
) -> None:
    (row,) = history_of(tmp_path, HEADER, f'u1,No,1,M,3,"{text}"', top=f"{top}\n").rows
    assert (row.feed["mood"], row.not_understood) == (None, ("mood",))


@pytest.mark.parametrize(
    ("thousands", "text"),
    [
        (",", "0,850"),
        (",", "012,345"),
        (",", "12,34,567,890"),
        (",", "1,234,56,789"),
        (",", "123,45,678"),
        ("'", "1'23'456"),
        (" ", "12 34 567"),
    ],
)
def test_groups_of_digits_as_nobody_writes_them_are_no_number(tmp_path: Path, thousands: str, text: str) -> None:
    (row,) = history_of(tmp_path, HEADER, f'u1,Yes,"{text}",M,3,0', top=f'thousands = "{thousands}"\n').rows

    assert row.not_understood == ("amount",)


def test_a_word_for_a_number_is_the_model_s_however_the_file_writes_its_own(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(f"{HEADER}\nu1,Yes,low,M,3,0\n")
    text = 'decimal = ","\nthousands = "."\n' + MAPPING.replace('"Amount"', '"Amount"\nvalues = { low = "1.125" }')

    history = read_history(tmp_path / "history.csv", mapping_in(tmp_path, text), toy_spec())

    assert history.rows[0].request["amount"] == 1.125


def test_a_word_for_a_number_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="amount is a number, and 'little' is none"):
        mapping_in(tmp_path, MAPPING.replace('"Amount"', '"Amount"\nvalues = { low = "little" }'))


def test_a_text_that_means_nothing_and_something_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"missing has 'No', to which values in \[outcome\] gives a meaning"):
        mapping_in(tmp_path, MAPPING.replace('"n/a"]', '"n/a", "No"]'))


def test_a_category_that_counts_as_no_value_is_told_with_its_rows(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(f"{HEADER}\nu1,Yes,1,monthly,3,0\nu2,No,1,monthly,3,0\n")

    mapping = mapping_in(tmp_path, MAPPING.replace('"n/a"]', '"n/a", "monthly"]'))
    history = read_history(tmp_path / "history.csv", mapping, toy_spec())

    assert [row.request.get("plan") for row in history.rows] == [None, None]
    assert "Plan: 'monthly' counts as no value in 2 rows" in history.warnings[0]


@pytest.mark.parametrize("text", ["7.59E+11", "1E+11"])
def test_an_id_that_a_spreadsheet_rounded_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(MappingError, match="a spreadsheet has rounded the id"):
        rows_of(tmp_path, HEADER, f"{text},Yes,1,M,3,0")


def test_rows_that_stand_twice_are_told(tmp_path: Path) -> None:
    row, other = "u1,Yes,1,M,3,0", "u1,Yes,1,M,3,1"
    (doubt,) = history_of(tmp_path, HEADER, row, other, row, f" {row}").doubts

    assert doubt.startswith("2 rows say what one further up says, id and all, such as that in line 4; ")
    assert history_of(tmp_path, HEADER, row, other).doubts == ()


def test_an_outcome_that_nobody_knows_is_told_from_a_blank_one(tmp_path: Path) -> None:
    perhaps, blank = rows_of(tmp_path, HEADER, "u1,Perhaps,1,M,3,0", "u2,,1,M,3,0")
    assert (perhaps.outcome, perhaps.unmapped, perhaps.outcome_not_understood) == (None, ("Gone",), True)
    assert (blank.outcome, blank.unmapped, blank.outcome_not_understood) == (None, (), False)


def test_every_column_with_texts_that_were_not_understood_is_told_once_with_its_first(tmp_path: Path) -> None:
    history = history_of(tmp_path, HEADER, "u1,No,1,M,3,0", "u2,No,one,M,3,0", "u3,No,two,W,,0", "u4,Yes,1,M,n/a,0")

    amount, plan = history.not_understood
    assert str(amount) == (
        "Amount: 2 of 4 numbers not understood, such as 'one' (line 3); expected digits such as 1234.5;"
        ' remedy: a number in the file, or "one", "two" in missing where it stands for no value'
    )
    assert (plan.column, plan.count, plan.said, plan.example, plan.line) == ("Plan", 1, 4, "W", 4)
    assert plan.expected == "one of M, Y, monthly, yearly"


def test_a_column_of_which_just_half_was_understood_is_told_and_one_with_less_is_an_error(tmp_path: Path) -> None:
    lines = [HEADER, "u1,No,1,M,3,0", "u2,Yes,one,M,3,0"]
    require_understood(tmp_path / "history.csv", history_of(tmp_path, *lines), toy_spec())

    with pytest.raises(MappingError, match=r"history\.csv was not understood: Amount: 2 of 3 numbers"):
        require_understood(tmp_path / "history.csv", history_of(tmp_path, *lines, "u3,Yes,two,M,3,0"), toy_spec())


def test_outcomes_of_which_a_whole_class_was_not_understood_are_an_error_however_few(tmp_path: Path) -> None:
    history = history_of(tmp_path, HEADER, *(f"u{number},No,1,M,3,0" for number in range(9)), "u9,yes,1,M,3,0")

    with pytest.raises(MappingError, match=r"Gone: 1 of 10 outcomes not understood, such as 'yes'"):
        require_understood(tmp_path / "history.csv", history, toy_spec())


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert rows_of(tmp_path, HEADER, "u1,No,1,M,3,0", encoding="utf-8-sig")[0].entity_id == "u1"


def test_a_short_row_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="line 3: found 4 fields, expected 6 as in the header; the last is 'M'"):
        rows_of(tmp_path, HEADER, "u1,No,1,M,3,0", "u1,No,1,M")


def test_a_file_without_a_mapped_column_names_it_and_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"history\.csv has no column Plan, Mood; found User, Gone, .*--mapping"):
        rows_of(tmp_path, "User,Gone,Amount,Visits,plan", "u1,No,1,3,M")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("",), "found no header"),
        ((HEADER,), "no rows"),
        ((HEADER, ",No,1,M,3,0"), "line 2: User is blank"),
    ],
)
def test_an_unusable_file_says_what_is_wrong(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(MappingError, match=message):
        rows_of(tmp_path, *lines)


def test_a_file_that_is_not_there_or_not_text_says_so(tmp_path: Path) -> None:
    mapping = mapping_in(tmp_path)
    with pytest.raises(MappingError, match="cannot be read"):
        read_history(tmp_path / "absent.csv", mapping, toy_spec())
    (tmp_path / "image.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MappingError, match="UTF-8"):
        read_history(tmp_path / "image.csv", mapping, toy_spec())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["le", "be"])
def test_a_file_without_the_mark_that_orders_its_bytes_says_how_to_state_the_order(
    tmp_path: Path, encoding: str, order: str
) -> None:
    mapping = mapping_in(tmp_path, f'encoding = "{encoding}"\n{MAPPING}')
    (tmp_path / "history.csv").write_text(f"{HEADER}\nu1,No,1,M,3,0\n", f"{encoding}-{order}")
    with pytest.raises(MappingError, match=f'no byte order mark.* encoding = "{encoding}-{order}" at the top'):
        read_history(tmp_path / "history.csv", mapping, toy_spec())


def test_a_field_beyond_the_reader_s_limit_says_so(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="line 2: found a text of more than 131,072 characters"):
        rows_of(tmp_path, HEADER, f"u1,No,1,{'M' * (csv.field_size_limit() + 1)},3,0")


@pytest.mark.parametrize(
    ("found", "instead", "message"),
    [
        ("[features.mood]", "[features.humour]", "without a column: mood; no features of the model: humour"),
        ('M = "monthly"', 'M = "weekly"', "plan has no category weekly; it has monthly, yearly"),
        ('Yes = "left"', 'Yes = "gone"', "no outcome gone; there are stayed, left"),
        ('[entity]\ncolumn = "User"', "", "required field `entity`"),
        ("values = { M", "vlaues = { M", "unknown field `vlaues`"),
        ("[entity]", "[entity", "is not a mapping"),
    ],
)
def test_a_mapping_that_does_not_fit_the_model_says_where(
    tmp_path: Path, found: str, instead: str, message: str
) -> None:
    with pytest.raises(MappingError, match=message):
        mapping_in(tmp_path, MAPPING.replace(found, instead))


TIMED = (
    'decided_at = "Asked"\nstarted_at = "Joined"\n'
    + MAPPING.replace('column = "Visits"', 'column = "Visits"\nobserved_at = "Counted"')
).replace('column = "Gone"', 'column = "Gone"\nobserved_at = "Known"')
TIMED_HEADER = f"{HEADER},Asked,Joined,Counted,Known"
VALUES = "u1,Yes,12.5,M,3,0.5"


def timed_row(directory: Path, times: str, *, top: str = "") -> CsvRow:
    (row,) = timed_history(directory, times, top=top).rows
    return row


def timed_history(directory: Path, times: str, *, top: str) -> History:
    path = directory / "history.csv"
    path.write_text(f"{TIMED_HEADER}\n{VALUES},{times}\n", "utf-8")
    return read_history(path, mapping_in(directory, top + TIMED), toy_spec())


def exactly(*parts: int) -> TimeRange:
    return TimeRange.exactly(datetime(*parts, tzinfo=UTC))  # type: ignore[arg-type,misc]


def between(earliest: str, latest: str) -> TimeRange:
    return TimeRange(datetime.fromisoformat(earliest), datetime.fromisoformat(latest))


def test_a_row_tells_when_its_values_its_decision_and_its_outcome_became_known_in_utc(tmp_path: Path) -> None:
    row = timed_row(tmp_path, "2026-03-01T12:00:00+01:00,2026-02-01T00:00:00Z,2026-03-01T10:59:30.5Z,20260303T000000Z")

    assert row.decided_at == exactly(2026, 3, 1, 11)
    assert row.started_at == exactly(2026, 2, 1)
    assert row.observed_at == {"visits": exactly(2026, 3, 1, 10, 59, 30, 500_000)}
    assert row.outcome_at == exactly(2026, 3, 3)
    assert row.unmapped == ()


def test_a_time_without_an_offset_is_in_the_zone_of_the_mapping(tmp_path: Path) -> None:
    row = timed_row(tmp_path, "2026-07-01 12:00:00,,2026-01-01 00:00:00,", top='time_zone = "Europe/Berlin"\n')

    assert row.decided_at == exactly(2026, 7, 1, 10)
    assert row.observed_at == {"visits": exactly(2025, 12, 31, 23)}
    assert (row.started_at, row.outcome_at) == (None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-07-01", between("2026-06-30T22:00Z", "2026-07-01T21:59:59.999999Z")),
        ("2026-07-01 12:00", between("2026-07-01T10:00Z", "2026-07-01T10:00:59.999999Z")),
        ("2026-07-01T12", between("2026-07-01T10:00Z", "2026-07-01T10:59:59.999999Z")),
        ("2026-10-25 02:30:00", between("2026-10-25T00:30Z", "2026-10-25T01:30Z")),
        ("2026-10-25 02:30", between("2026-10-25T00:30Z", "2026-10-25T01:30:59.999999Z")),
        ("2026-10-25", between("2026-10-24T22:00Z", "2026-10-25T22:59:59.999999Z")),
        ("2026-03-29 02:30:00", between("2026-03-29T00:30Z", "2026-03-29T01:30Z")),
        ("2026-10-25 02:30:00+01:00", exactly(2026, 10, 25, 1, 30)),
        ("2016-12-31T23:59:60Z", exactly(2017, 1, 1)),
        ("2026-07-01T24:00:00Z", exactly(2026, 7, 2)),
        ("2026-07-01 12:00:00 UTC", exactly(2026, 7, 1, 12)),
        ("2026-07-01 12:00:00.25 +0200", exactly(2026, 7, 1, 10, 0, 0, 250_000)),
    ],
)
def test_a_time_is_as_long_as_what_it_leaves_open(tmp_path: Path, text: str, expected: TimeRange) -> None:
    row = timed_row(tmp_path, f"{text},,,", top='time_zone = "Europe/Berlin"\n')

    assert row.decided_at == expected


@pytest.mark.parametrize(
    ("written", "text", "expected"),
    [
        ("%d/%m/%Y %H:%M:%S", "02/03/2026 09:00:00", exactly(2026, 3, 2, 9)),
        ("%d.%m.%y", "02.03.26", between("2026-03-02T00:00Z", "2026-03-02T23:59:59.999999Z")),
        ("%Y-%m-%d %H:%M:%S %z", "2026-03-02 09:00:00 +0100", exactly(2026, 3, 2, 8)),
        ("unix_seconds", "1767225600", exactly(2026, 1, 1)),
        ("unix_seconds", "1767225600.5", exactly(2026, 1, 1, 0, 0, 0, 500_000)),
        ("unix_seconds", "-1.5", exactly(1969, 12, 31, 23, 59, 58, 500_000)),
        ("unix_milliseconds", "1767225600250", exactly(2026, 1, 1, 0, 0, 0, 250_000)),
        ("unix_microseconds", "1767225600000001", exactly(2026, 1, 1, 0, 0, 0, 1)),
    ],
)
def test_times_are_read_as_the_mapping_says_they_are_written(
    tmp_path: Path, written: str, text: str, expected: TimeRange
) -> None:
    row = timed_row(tmp_path, f"{text},,,", top=f'time_zone = "UTC"\ntime_format = "{written}"\n')

    assert row.decided_at == expected


def test_of_several_formats_the_first_that_fits_is_taken(tmp_path: Path) -> None:
    top = 'time_zone = "UTC"\ntime_format = ["iso", "unix_seconds"]\n'
    row = timed_row(tmp_path, "1767225600,2025-01-01 00:00:00,,", top=top)

    assert (row.decided_at, row.started_at) == (exactly(2026, 1, 1), exactly(2025, 1, 1))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("%d%m%Y", "1112026"),
        ("%Y%m%d", "2026111"),
        ("%d%m%y", "11126"),
        ("%Y-%m-%d %H%M", "2026-03-01 111"),
        ("%Y-%m-%dT%H%M%z", "2026-03-01T111+0100"),
        ("%Y%m%d%H%M%S.%f", "2026030111111.123456"),
        ("%Y%m%d%H%M%S%f", "2026030111111012"),
    ],
)
def test_a_time_that_lacks_a_digit_where_no_sign_parts_its_numbers_is_not_guessed(
    tmp_path: Path, written: str, text: str
) -> None:
    row = timed_row(tmp_path, f"{text},,,", top=f'time_zone = "UTC"\ntime_format = "{written}"\n')

    assert row.decided_at is None
    assert row.unmapped == ("Asked",)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("%Y%m%d%H%M%S", "20260301090000"),
        ("%Y%m%d%H%M%S%f", "20260301090000000"),
        ("%Y%m%d%H%M%S%f", "20260301090000000000"),
        ("%Y%m%d %H%M%S.%f %z", "20260301 100000.0 +01:00"),
        ("%d%m%Y %I%M%S %p", "01032026 090000 AM"),
    ],
)
def test_a_time_with_every_digit_needs_no_signs_between_them(tmp_path: Path, written: str, text: str) -> None:
    row = timed_row(tmp_path, f"{text},,,", top=f'time_zone = "UTC"\ntime_format = "{written}"\n')

    assert row.decided_at == exactly(2026, 3, 1, 9)


def test_an_offset_of_more_minutes_than_an_hour_has_is_none(tmp_path: Path) -> None:
    assert timed_row(tmp_path, "2026-03-01T09:00:00+01:75,,,").unmapped == ("Asked",)


@pytest.mark.parametrize(
    ("top", "text", "doubt"),
    [
        ('["%d/%m/%Y", "%m/%d/%Y"]', "02/03/2026", "Asked: '02/03/2026' fits '%d/%m/%Y' and '%m/%d/%Y', which read it"),
        (
            '"unix_seconds"',
            "20260301",
            'Asked: .20260301. was read as a time before 1973; if it is not, write time_format = "',
        ),
        ('"unix_milliseconds"', "1767225600", "Asked: '1767225600' was read as a time before 1973; .*\"unix_seconds\""),
    ],
)
def test_times_that_may_be_others_than_were_read_are_told(tmp_path: Path, top: str, text: str, doubt: str) -> None:
    history = timed_history(tmp_path, f"{text},,,", top=f'time_zone = "UTC"\ntime_format = {top}\n')

    assert len(history.doubts) == 1
    assert re.match(doubt, history.doubts[0])


@pytest.mark.parametrize(
    ("top", "text"),
    [
        ('["%Y-%m-%d 00:00:00", "iso"]', "2026-03-01 00:00:00"),
        ('["%d/%m/%Y", "%m/%d/%Y"]', "25/03/2026"),
        ('["unix_seconds", "unix_milliseconds"]', "1767225600"),
        ('"unix_seconds"', "-86400"),
    ],
)
def test_times_that_can_be_read_in_one_way_alone_are_not_doubted(tmp_path: Path, top: str, text: str) -> None:
    assert not timed_history(tmp_path, f"{text},,,", top=f'time_zone = "UTC"\ntime_format = {top}\n').doubts


def test_a_time_in_no_zone_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"line 2: Asked is '2026-07-01' without a time zone; .*time_zone"):
        timed_row(tmp_path, "2026-07-01,,,")


def test_a_text_that_is_no_time_counts_as_missing_and_its_column_is_named(tmp_path: Path) -> None:
    row = timed_row(tmp_path, "yesterday,0001-01-01T00:00+14:00,,n/a")

    assert (row.decided_at, row.started_at) == (None, None)
    assert row.unmapped == ("Asked", "Joined")


def test_a_mapping_with_an_unknown_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="no time zone 'Mars/Olympus'"):
        mapping_in(tmp_path, 'time_zone = "Mars/Olympus"\n' + MAPPING)


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ('delimiter = ";;"', "delimiter is ';;'; expected one character"),
        ('delimiter = ""', "delimiter is ''; expected one character"),
        ("delimiter = '\"'", "expected one character"),
        ('decimal = ";"', 'decimal is \';\'; expected "." or ","'),
        ('thousands = "x"', "thousands is 'x'; expected one of"),
        ('thousands = "."', r"decimal and thousands are both '\.'"),
        ('encoding = "utf-9"', "encoding is 'utf-9', which nobody knows; expected a name such as"),
        ('encoding = "hex"', "encoding is 'hex', which nobody knows"),
        ('encoding = "idna"', "encoding is 'idna', which nobody knows"),
        ('time_format = "dd/mm/yyyy"', "time_format is 'dd/mm/yyyy'; expected 'iso', 'unix_seconds'"),
        ('time_format = "%d/%m"', "time_format '%d/%m' does not say year, month and day"),
        ('time_format = "%Q"', "time_format '%Q' is no format"),
        ('time_format = "%d/%d/%Y"', "time_format '%d/%d/%Y' says a part of the time twice; expected 'iso'"),
        ('time_format = "%d/%m/%Y %H:%M %p"', "has %p, which says something behind %I alone"),
        ('time_format = ["iso", "%d/%m/%Y %I:%M"]', "has %I, which says morning or afternoon only with %p"),
        ('time_format = "%Y-%m-%d %H:%M %Z"', "has %Z, the name of a zone, which is passed over"),
        ("time_format = []", "time_format is an empty list"),
        ('decimals = ","', "unknown field `decimals`; a mapping has entity, outcome, .*, decimal, thousands, encoding"),
        ('[entity]\ndecimal = ","\ncolumn = "User"', "stand above the first .section."),
        ("decimal = 1", "Expected `str`, got `int`"),
    ],
)
def test_a_mapping_that_says_how_nothing_is_written_is_refused(tmp_path: Path, top: str, message: str) -> None:
    rest = MAPPING.replace('[entity]\ncolumn = "User"', "") if "[entity]" in top else MAPPING
    missing, _, sections = rest.partition("\n[")
    with pytest.raises(MappingError, match=message):
        mapping_in(tmp_path, f"{missing}\n{top}\n[{sections}")


def test_an_outcome_that_is_known_at_the_decision_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"the outcome is known at the decision itself \(both in Asked\)"):
        mapping_in(tmp_path, TIMED.replace('observed_at = "Known"', 'observed_at = "Asked"'))


def test_the_page_on_files_shows_a_mapping_that_can_be_read_with_every_member_in_it() -> None:
    page = (Path(__file__).parents[2] / "docs" / "history.md").read_text("utf-8")
    shown = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])

    msgspec.convert(shown, CsvMapping)
    assert set(shown) == set(CsvMapping.__struct_fields__)


def test_a_mapping_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="cannot be read"):
        load_mapping(tmp_path / "absent.toml", toy_spec())


def test_a_mapping_that_is_nested_too_deep_is_refused_like_any_other_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"toy\.toml is not a mapping"):
        mapping_in(tmp_path, "missing = " + "[" * 5000 + "]" * 5000)
