"""When a find counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from monitoring.evaluation.confirmation import Confirmation, confirm, newest_confirmation
from monitoring.evaluation.windows import newest_window
from services.core.spec import DriftPolicy
from tests.toy import NOON, drift_result, toy_spec

POLICY = DriftPolicy()
SPEC = toy_spec()
DAY = timedelta(days=1)


def test_one_find_is_not_enough_and_one_more_in_new_rows_is() -> None:
    once, twice = _after((0, ["amount"]), (1, ["amount"]))
    assert (once.enough, twice.enough, twice.confirmed) == (False, True, ("amount",))


def test_windows_that_share_the_rows_of_a_find_do_not_confirm_it() -> None:
    burst = [_Found(["amount"]), *[_Found(["amount"], again=[])] * 4, _Found([])]
    states = _after(*((day, found) for day, found in enumerate(burst)))
    assert not any(each.enough for each in states)
    assert [each.streaks["amount"].in_a_row for each in states[:-1]] == [1] * 5
    assert states[-1].streaks == {}


def test_what_confirms_is_looked_for_behind_the_last_find() -> None:
    found = _Found(["amount"], again=[])
    _after((0, _Found(["amount"])), (1, found), (2, found), (3, _Found(["amount"])), (4, last := _Found(["amount"])))
    assert found.asked == [NOON, NOON]
    assert last.asked == [NOON + 3 * DAY]


def test_finds_of_different_features_do_not_add_up() -> None:
    assert not _after((0, ["amount"]), (1, ["plan"]))[-1].enough


def test_a_window_without_the_find_ends_the_streak() -> None:
    assert not _after((0, ["amount"]), (1, []), (2, ["amount"]))[-1].enough


def test_the_same_rows_looked_at_again_count_once() -> None:
    looks = _after((0, ["amount"]), (0.1, ["amount"]), (0.5, []), (0.9, ["amount"]))
    assert [each.is_new for each in looks] == [True, False, False, False]
    assert not looks[-1].enough
    assert looks[-1].streaks["amount"].in_a_row == 1


def test_the_beginning_is_told_by_the_first_window_that_found_it_and_stays() -> None:
    states = _after((0, ["amount"]), (1, ["amount"]), (2, ["amount", "plan"]), (3, ["amount", "plan"]))
    assert [each.since for each in states] == [None, *[BEGAN["amount"]] * 3]
    assert states[-1].confirmed == ("amount", "plan")


def test_a_monitor_that_starts_anew_goes_on_where_the_last_one_stopped() -> None:
    (state,) = _after((0, ["amount"]))
    # The newer one failed, and says nothing of a state.
    results = [drift_result(state.as_body(), version="v1"), drift_result(version="v1")]
    assert newest_confirmation(POLICY, results, "v1").streaks == state.streaks
    assert newest_confirmation(POLICY, results, "v1").counted_until == NOON


def test_a_streak_of_an_earlier_version_of_ours_was_found_until_it_was_counted() -> None:
    (state,) = _after((0, ["amount"]))
    body = state.as_body()
    del body["streaks"]["amount"]["found_until"]
    assert newest_confirmation(POLICY, [drift_result(body, version="v1")], "v1").streaks == state.streaks


def test_another_version_starts_from_nothing() -> None:
    (state,) = _after((0, ["amount"]))
    assert newest_confirmation(POLICY, [drift_result(state.as_body(), version="v1")], "v2") == Confirmation.none()


@dataclass
class _Found:
    """What a window found, and which of it the rows since the last find show by themselves: all, unless it is said."""

    drifted: Sequence[str]
    again: Sequence[str] | None = None
    asked: list[datetime] = field(default_factory=list)

    def drifted_since(self, name: str, moment: datetime) -> bool:
        self.asked.append(moment)
        return name in (self.drifted if self.again is None else self.again)

    def began(self, name: str) -> datetime:
        return BEGAN[name]


BEGAN = {"amount": NOON - DAY, "plan": NOON}


def _after(*found: tuple[float, Sequence[str] | _Found]) -> list[Confirmation]:
    """The states after windows that end so many days after noon and found this."""
    states = [Confirmation.none()]
    for days, each in found:
        window = newest_window(SPEC, NOON + days * DAY)
        finds = each if isinstance(each, _Found) else _Found(each)
        states.append(confirm(POLICY, window=window, found=finds, earlier=states[-1]))
    return states[1:]
