"""When a find counts: a feature has drifted once enough windows in a row found it that share no rows. Pure.

Windows that share rows confirm one another's chance finds, and a burst of a minute is seen by all of them. So what
confirms a find is found in the rows behind it by themselves. The state is the newest stored drift result, so a monitor
that starts anew goes on where the last one stopped.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, Self

from monitoring.evaluation.windows import Window, counts_as_new
from services.core.records import EvaluationResult
from services.core.spec import DriftPolicy

COUNTED_UNTIL: Final = "counted_until"
FOUND_UNTIL: Final = "found_until"


class Finds(Protocol):
    """What one window found."""

    @property
    def drifted(self) -> Iterable[str]:
        """Features that differ from the training reference in the whole window."""
        ...

    def drifted_since(self, name: str, moment: datetime) -> bool:
        """Whether a feature does in the rows since that moment alone; False where they are too few to say."""
        ...

    def began(self, name: str) -> datetime:
        """When the change of a feature that has drifted presumably began."""
        ...


@dataclass(frozen=True, slots=True)
class Streak:
    """How many windows in a row that share no rows found a feature drifted, since when it presumably is, and the end of
    the last of them: rows from before have been counted."""

    in_a_row: int
    since: datetime
    found_until: datetime


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
        found = [self.streaks[name].since for name in self.confirmed]
        return min(found) if self.enough and found else None

    def as_body(self) -> dict[str, Any]:
        return {
            COUNTED_UNTIL: None if self.counted_until is None else self.counted_until.isoformat(),
            "streaks": {
                name: {
                    "in_a_row": streak.in_a_row,
                    "since": streak.since.isoformat(),
                    FOUND_UNTIL: streak.found_until.isoformat(),
                }
                for name, streak in self.streaks.items()
            },
            "confirmed_features": list(self.confirmed),
            "confirmed": self.enough,
            "since": self.since and self.since.isoformat(),
        }


def confirm(policy: DriftPolicy, *, window: Window, found: Finds, earlier: Confirmation) -> Confirmation:
    """Carry the streaks on with what this window found.

    A window that ends too soon after the last counted one changes nothing. A streak ends with a window that does not
    find the feature drifted, and grows where the rows since its last find show it by themselves.
    """
    if not counts_as_new(window, counted_until=earlier.counted_until):
        return _confirmation(policy, earlier.streaks, earlier.counted_until, is_new=False)
    streaks = {name: _carried_on(name, earlier.streaks.get(name), window, found) for name in found.drifted}
    return _confirmation(policy, streaks, window.end, is_new=True)


def newest_confirmation(policy: DriftPolicy, results: Iterable[EvaluationResult], version: str) -> Confirmation:
    """The state that the results (oldest first) left behind for this version: another version is another reference."""
    for result in reversed(list(results)):
        if result.version == version and result.body.get(COUNTED_UNTIL):
            return _from_body(policy, result.body)
    return Confirmation.none()


def _carried_on(name: str, streak: Streak | None, window: Window, found: Finds) -> Streak:
    if streak is None:
        return Streak(1, found.began(name), window.end)
    if found.drifted_since(name, streak.found_until):
        return Streak(streak.in_a_row + 1, streak.since, window.end)
    return streak


def _confirmation(
    policy: DriftPolicy, streaks: Mapping[str, Streak], counted_until: datetime | None, *, is_new: bool
) -> Confirmation:
    confirmed = tuple(name for name, streak in streaks.items() if streak.in_a_row >= policy.windows_in_a_row)
    return Confirmation(streaks, counted_until, confirmed, len(confirmed) >= policy.enough_features, is_new)


def _from_body(policy: DriftPolicy, body: Mapping[str, Any]) -> Confirmation:
    """Results from before finds were kept apart say of none where it ended: it was counted until then."""
    streaks = {
        name: Streak(
            each["in_a_row"],
            datetime.fromisoformat(each["since"]),
            datetime.fromisoformat(each.get(FOUND_UNTIL, body[COUNTED_UNTIL])),
        )
        for name, each in body["streaks"].items()
    }
    return _confirmation(policy, streaks, datetime.fromisoformat(body[COUNTED_UNTIL]), is_new=False)
