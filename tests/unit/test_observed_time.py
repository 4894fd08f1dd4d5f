from datetime import datetime, timedelta
from functools import partial

import pytest

from monitoring.lifecycle.observed_time import LONGEST_PAUSE, SUPPORT, Jump, Observed, borne_out
from monitoring.lifecycle.observed_time import observed as observed_by
from services.core.clock import DAY
from tests.toy import NOON

TODAY = NOON.replace(hour=0)
observed = partial(observed_by, keep=400 * DAY)


def days(*numbers: int) -> list[datetime]:
    return [TODAY + number * DAY for number in numbers]


def at(number: int) -> datetime:
    return TODAY + number * DAY


def test_time_has_come_to_a_day_once_predictions_were_made_on_enough_days_from_it_on() -> None:
    assert observed(days(-3, -2, -1, 0), known=None, now=NOON) == Observed(at(-2))
    assert len(days(-2, -1, 0)) == SUPPORT


def test_too_few_days_tell_no_time() -> None:
    assert observed([], known=None, now=NOON) == Observed(None)
    assert observed(days(-1, 0), known=None, now=NOON) == Observed(None)


def test_the_day_that_was_known_stays_until_later_ones_bear_another_out() -> None:
    assert observed(days(0), known=at(-9), now=NOON) == Observed(at(-9))
    assert observed(days(-2, -1, 0), known=at(-9), now=NOON) == Observed(at(-2))


def test_a_moment_far_ahead_moves_nothing_and_is_a_jump() -> None:
    ahead = NOON + 500 * DAY
    assert observed(days(-2, -1, 0, 500), known=None, now=ahead) == Observed(at(-2), Jump(at(0), at(500)))
    assert observed(days(-2, -1, 0), known=at(-5), now=ahead) == Observed(at(-2), Jump(at(0), ahead))


@pytest.mark.parametrize("ahead", [1, 20, 35])
def test_a_moment_a_little_ahead_moves_nothing_either(ahead: int) -> None:
    assert observed(days(-3, -2, -1, 0, ahead), known=None, now=at(ahead)).day == at(-1)


def test_many_days_far_ahead_are_a_jump_all_the_same() -> None:
    found = observed(days(*range(-100, 1), *range(500, 560)), known=None, now=at(559))
    assert found == Observed(at(-2), Jump(at(0), at(500)))


def test_a_moment_long_ago_is_no_beginning_of_time() -> None:
    assert observed([datetime(1970, 1, 1, tzinfo=NOON.tzinfo), *days(-2, -1, 0)], known=None, now=NOON) == Observed(
        at(-2)
    )


def test_a_pause_of_long_ago_is_no_jump_of_today() -> None:
    assert observed(days(-300, -299, -298, *range(-200, 1)), known=None, now=NOON) == Observed(at(-2))


def test_what_is_read_again_from_before_the_known_day_says_nothing() -> None:
    assert observed(days(-900, -899, -898, -2, -1, 0), known=at(-2), now=NOON) == Observed(at(-2))


def test_a_pause_of_a_month_and_a_holiday_is_no_jump() -> None:
    length = LONGEST_PAUSE // DAY
    assert observed(days(-2 * length, -length, 0), known=None, now=NOON) == Observed(at(-2 * length))


def test_who_asks_on_one_day_a_quarter_is_told_of_a_jump_once_there_is_something_to_remove() -> None:
    assert observed(days(-360, -270, -180, -90, 0), known=None, now=NOON) == Observed(None)
    assert observed(days(-450, -360, -270, -180, -90, 0), known=None, now=NOON) == Observed(None, Jump(at(-90), at(0)))
    assert observed(days(-450, -360, -270), known=None, now=NOON) == Observed(None, Jump(at(-270), NOON))
    assert observed(days(-450, -449), known=None, now=NOON) == Observed(None, Jump(at(-449), NOON))


def test_who_asks_on_one_day_a_quarter_has_old_records_removed_once_somebody_confirmed() -> None:
    quarters = days(-450, -360, -270, -180, -90, 0)
    assert observed(quarters, known=TODAY, now=NOON) == Observed(TODAY)


def test_a_jump_that_somebody_confirmed_is_the_day_that_is_known() -> None:
    slept = days(-102, -101, -100, 0)
    assert observed(slept, known=None, now=NOON).jump == Jump(at(-100), at(0))
    assert observed(slept, known=at(0), now=NOON) == Observed(at(0))
    assert observed(days(-102, -101, -100, 0, 1, 2), known=at(0), now=NOON + timedelta(days=2)) == Observed(at(0))


def test_a_jump_says_how_far_it_went() -> None:
    said = "time jumped by 500 days, from 2026-03-01 to 2027-07-14, and no prediction was made on the way"
    assert str(Jump(at(0), at(500))) == said


@pytest.mark.parametrize(
    ("asked_on", "believed"),
    [
        ((0,), 0),
        ((0, 1), 1),
        ((0, 1, 2, 3), 3),
        ((0, 20), 0),
        ((0, 1, 2, 22), 2),
        ((0, 1, 2, 22, 23), 2),
        ((0, 1, 2, 22, 23, 24), 24),
        ((0, 30, 60, 90), 30),
        ((1, 2, 3, 4, 7), 4),
        ((1, 2, 3, 4, 7, 8, 9), 9),
    ],
)
def test_a_day_that_follows_is_borne_out_at_once_and_one_after_a_pause_by_three(
    asked_on: tuple[int, ...], believed: int
) -> None:
    assert borne_out(days(*asked_on)) == at(believed)
