import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.core.errors import MappingError
from services.traffic.mapping import CsvMapping, CsvRow, load_mapping, read_history
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
    path = directory / "history.csv"
    path.write_text("\n".join(lines) + "\n", encoding)
    return read_history(path, mapping_in(directory), toy_spec())


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


@pytest.mark.parametrize("text", ["twelve", "nan", "inf"])
def test_a_text_where_a_number_belongs_counts_as_missing_and_its_column_is_named(tmp_path: Path, text: str) -> None:
    (row,) = rows_of(tmp_path, HEADER, f"u1,No,{text},M,{text},0")
    assert "amount" not in row.request
    assert row.feed["visits"] is None
    assert row.unmapped == ("Amount", "Visits")


def test_an_unknown_outcome_is_none_and_its_column_named(tmp_path: Path) -> None:
    perhaps, blank = rows_of(tmp_path, HEADER, "u1,Perhaps,1,M,3,0", "u2,,1,M,3,0")
    assert (perhaps.outcome, perhaps.unmapped) == (None, ("Gone",))
    assert (blank.outcome, blank.unmapped) == (None, ())


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert rows_of(tmp_path, HEADER, "u1,No,1,M,3,0", encoding="utf-8-sig")[0].entity_id == "u1"


def test_a_short_row_lacks_what_it_lacks(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, HEADER, "u1,No,1,M")
    assert row.feed == {"visits": None, "mood": None}


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


def test_a_field_beyond_the_reader_s_limit_says_so(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="field larger than"):
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


def timed_row(directory: Path, times: str, *, zone: str = "") -> CsvRow:
    path = directory / "history.csv"
    path.write_text(f"{TIMED_HEADER}\n{VALUES},{times}\n", "utf-8")
    (row,) = read_history(path, mapping_in(directory, zone + TIMED), toy_spec())
    return row


def test_a_row_tells_when_its_values_its_decision_and_its_outcome_became_known_in_utc(tmp_path: Path) -> None:
    row = timed_row(tmp_path, "2026-03-01T12:00:00+01:00,2026-02-01T00:00:00Z,2026-03-01T10:59Z,2026-03-03T00:00Z")

    assert row.decided_at == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert row.started_at == datetime(2026, 2, 1, tzinfo=UTC)
    assert row.observed_at == {"visits": datetime(2026, 3, 1, 10, 59, tzinfo=UTC)}
    assert row.outcome_at == datetime(2026, 3, 3, tzinfo=UTC)
    assert row.unmapped == ()


def test_a_time_without_an_offset_is_in_the_zone_of_the_mapping(tmp_path: Path) -> None:
    row = timed_row(tmp_path, "2026-07-01 12:00:00,,2026-01-01,", zone='time_zone = "Europe/Berlin"\n')

    assert row.decided_at == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert row.observed_at == {"visits": datetime(2025, 12, 31, 23, tzinfo=UTC)}
    assert (row.started_at, row.outcome_at) == (None, None)


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


def test_a_mapping_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="cannot be read"):
        load_mapping(tmp_path / "absent.toml", toy_spec())
