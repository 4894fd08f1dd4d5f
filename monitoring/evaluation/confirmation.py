"""When a find counts: a feature has drifted once enough windows in a row found it. Pure.

The state is the newest stored drift result, so a monitor that starts anew goes on where the last one stopped.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from monitoring.evaluation.windows import Window, counts_as_new
from services.core.records import EvaluationResult
from services.core.spec import DriftPolicy

COUNTED_UNTIL: Final = "counted_until"


@dataclass(frozen=True, slots=True)
class Streak:
    """How many counted windows in a row found a feature drifted, and since when it presumably is (None: it is not)."""

    in_a_row: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """`counted_until` ends the last window that counted; `is_new` says whether that is the present one."""

    streaks: Mapping[str, Streak]
    counted_until: datetime | None
    confirmed: tuple[str, ...]
    enough: bool
    is_new: bool

    @classmethod
    def none(cls) -> Self:
        return cls({}, None, (), enough=False, is_new=False)

    @property
    def since(self) -> datetime | None:
        """When the model's drift presumably began: with the first feature that is confirmed."""
        found = [since for name in self.confirmed if (since := self.streaks[name].since) is not None]
        return min(found) if self.enough and found else None

    def as_body(self) -> dict[str, Any]:
        return {
            COUNTED_UNTIL: None if self.counted_until is None else self.counted_until.isoformat(),
            "streaks": {
                name: {"in_a_row": streak.in_a_row, "since": streak.since and streak.since.isoformat()}
                for name, streak in self.streaks.items()
                if streak.in_a_row
            },
            "confirmed_features": list(self.confirmed),
            "confirmed": self.enough,
            "since": self.since and self.since.isoformat(),
        }


def confirm(policy: DriftPolicy, *, window: Window, drifted: Iterable[str], earlier: Confirmation) -> Confirmation:
    """Carry the streaks on with what this window found.

    A window that shares too many rows with the last counted one neither adds to a streak nor ends it.
    """
    if not counts_as_new(window, counted_until=earlier.counted_until):
        return _confirmation(policy, earlier.streaks, earlier.counted_until, is_new=False)
    streaks = {name: _longer(earlier.streaks.get(name, Streak()), window) for name in drifted}
    return _confirmation(policy, streaks, window.end, is_new=True)


def newest_confirmation(policy: DriftPolicy, results: Iterable[EvaluationResult], version: str) -> Confirmation:
    """The state that the results (oldest first) left behind for this version: another version is another reference."""
    for result in reversed(list(results)):
        if result.version == version and result.body.get(COUNTED_UNTIL):
            return _from_body(policy, result.body)
    return Confirmation.none()


def _longer(streak: Streak, window: Window) -> Streak:
    """The change lies before the first window that shows it, by at most that window's length: its middle is meant."""
    return Streak(streak.in_a_row + 1, streak.since or window.end - window.length / 2)


def _confirmation(
    policy: DriftPolicy, streaks: Mapping[str, Streak], counted_until: datetime | None, *, is_new: bool
) -> Confirmation:
    confirmed = tuple(name for name, streak in streaks.items() if streak.in_a_row >= policy.windows_in_a_row)
    return Confirmation(streaks, counted_until, confirmed, len(confirmed) >= policy.enough_features, is_new)


def _from_body(policy: DriftPolicy, body: Mapping[str, Any]) -> Confirmation:
    streaks = {
        name: Streak(each["in_a_row"], datetime.fromisoformat(each["since"])) for name, each in body["streaks"].items()
    }
    return _confirmation(policy, streaks, datetime.fromisoformat(body[COUNTED_UNTIL]), is_new=False)
