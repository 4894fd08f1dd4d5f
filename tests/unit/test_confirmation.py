"""When a find counts."""

from collections.abc import Iterable
from datetime import timedelta

from monitoring.evaluation.confirmation import Confirmation, confirm, newest_confirmation
from monitoring.evaluation.windows import newest_window
from services.core.spec import DriftPolicy
from tests.toy import NOON, drift_result, toy_spec

POLICY = DriftPolicy()
SPEC = toy_spec()
DAY = timedelta(days=1)


def test_one_find_is_not_enough_and_two_in_a_row_are() -> None:
    once, twice = _after((0, ["amount"]), (1, ["amount"]))
    assert (once.enough, twice.enough, twice.confirmed) == (False, True, ("amount",))


def test_finds_of_different_features_do_not_add_up() -> None:
    assert not _after((0, ["amount"]), (1, ["plan"]))[-1].enough


def test_a_window_without_the_find_ends_the_streak() -> None:
    assert not _after((0, ["amount"]), (1, []), (2, ["amount"]))[-1].enough


def test_the_same_rows_looked_at_again_count_once() -> None:
    looks = _after((0, ["amount"]), (0.1, ["amount"]), (0.5, []), (0.9, ["amount"]))
    assert [each.is_new for each in looks] == [True, False, False, False]
    assert not looks[-1].enough
    assert looks[-1].streaks["amount"].in_a_row == 1


def test_the_beginning_is_the_middle_of_the_first_window_that_found_it_and_stays() -> None:
    states = _after((0, ["amount"]), (1, ["amount"]), (2, ["amount", "plan"]), (3, ["amount", "plan"]))
    assert [each.since for each in states] == [None, *[NOON - timedelta(days=2.5)] * 3]
    assert states[-1].confirmed == ("amount", "plan")


def test_a_monitor_that_starts_anew_goes_on_where_the_last_one_stopped() -> None:
    (state,) = _after((0, ["amount"]))
    # The newer one failed, and says nothing of a state.
    results = [drift_result(state.as_body(), version="v1"), drift_result(version="v1")]
    assert newest_confirmation(POLICY, results, "v1").streaks == state.streaks
    assert newest_confirmation(POLICY, results, "v1").counted_until == NOON


def test_another_version_starts_from_nothing() -> None:
    (state,) = _after((0, ["amount"]))
    assert newest_confirmation(POLICY, [drift_result(state.as_body(), version="v1")], "v2") == Confirmation.none()


def _after(*found: tuple[float, Iterable[str]]) -> list[Confirmation]:
    """The states after windows that end so many days after noon and found these features drifted."""
    states = [Confirmation.none()]
    for days, drifted in found:
        window = newest_window(SPEC, NOON + days * DAY)
        states.append(confirm(POLICY, window=window, drifted=drifted, earlier=states[-1]))
    return states[1:]
