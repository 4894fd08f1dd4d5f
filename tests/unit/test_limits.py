"""What is refused of ids, texts and times, and what is not."""

from datetime import UTC, datetime, timedelta

import pytest

from services.core.limits import (
    EARLIEST,
    ID_LENGTH,
    LATEST,
    TEXT_LENGTH,
    harmless,
    id_problem,
    text_problem,
    time_problem,
)

CONTROLS = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\ud800", "\udfff"]
SOUND = ["a", "Müller", "中文", "a b", "a/b", "😀", "\u00a0", "e\u0301", "\u202b\u05d0", "a\u2028b", "\uffff"]


@pytest.mark.parametrize("problem", [id_problem, text_problem])
def test_every_control_character_and_lone_surrogate_is_refused_and_named(problem: object) -> None:
    for control in CONTROLS:
        found = f"found the control character U+{ord(control):04X} at place 1, expected none"
        assert problem(f"x{control}y") == found  # type: ignore[operator]


@pytest.mark.parametrize("text", SOUND)
def test_any_other_text_is_taken_as_it_is(text: str) -> None:
    assert (id_problem(text), text_problem(text), harmless(text)) == (None, None, text)


def test_an_id_has_from_one_character_to_its_limit() -> None:
    assert id_problem("") == "found 0 characters, expected 1 to 200"
    assert id_problem("x" * ID_LENGTH) is None
    assert id_problem("x" * (ID_LENGTH + 1)) == "found 201 characters, expected 1 to 200"


def test_a_text_may_be_empty_and_has_a_limit_too() -> None:
    assert text_problem("") is None
    assert text_problem("x" * TEXT_LENGTH) is None
    assert text_problem("x" * (TEXT_LENGTH + 1)) == "found 201 characters, expected at most 200"


def test_what_is_made_harmless_has_no_problem_and_keeps_its_words() -> None:
    assert harmless("two\nlines\tand\x00\x1b[31m") == "two lines and\ufffd\ufffd[31m"
    for control in CONTROLS:
        assert text_problem(harmless(f"x{control}y")) is None


@pytest.mark.parametrize("moment", [EARLIEST, LATEST - timedelta(microseconds=1), datetime(2026, 3, 1, tzinfo=UTC)])
def test_a_time_that_stores_and_data_frames_take_is_taken(moment: datetime) -> None:
    assert time_problem(moment) is None


@pytest.mark.parametrize("year", [1, 1677, 2262, 9999])
def test_a_time_at_the_ends_of_the_calendar_is_refused(year: int) -> None:
    moment = datetime(year, 1, 1, tzinfo=UTC)
    assert time_problem(moment) == f"found {moment.isoformat()}, expected a time from 1678 to 2261"
