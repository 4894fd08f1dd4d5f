"""Windows of event time."""

from datetime import timedelta

from monitoring.evaluation.windows import Window, counts_as_new, is_due, is_kept, matured_window, newest_window
from tests.toy import NOON, toy_spec

SPEC = toy_spec()  # 5 days of drift window, 2 days until an outcome is certain


def test_the_newest_window_ends_now() -> None:
    assert newest_window(SPEC, NOON) == Window(NOON - timedelta(days=5), NOON)


def test_the_matured_window_ends_where_every_outcome_is_certain() -> None:
    window = matured_window(SPEC, NOON)
    assert (window.end, window.length) == (NOON - timedelta(days=2), timedelta(days=10))


def test_a_judgement_is_due_when_event_time_has_moved_not_when_it_stands() -> None:
    assert is_due(SPEC, judged_until=None, now=NOON)
    assert not is_due(SPEC, judged_until=NOON, now=NOON)
    assert not is_due(SPEC, judged_until=NOON, now=NOON + timedelta(minutes=7))
    assert is_due(SPEC, judged_until=NOON, now=NOON + timedelta(minutes=8))


def test_a_judgement_is_kept_less_often_than_it_is_refreshed() -> None:
    assert is_kept(SPEC, kept_until=None, now=NOON)
    assert not is_kept(SPEC, kept_until=NOON, now=NOON + timedelta(hours=5))
    assert is_kept(SPEC, kept_until=NOON, now=NOON + timedelta(hours=6))


def test_a_window_counts_as_new_when_a_fifth_of_it_is() -> None:
    window = newest_window(SPEC, NOON)
    assert counts_as_new(window, counted_until=None)
    assert counts_as_new(window, counted_until=NOON - timedelta(days=1))
    assert not counts_as_new(window, counted_until=NOON - timedelta(hours=23))
