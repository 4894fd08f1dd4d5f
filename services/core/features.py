"""Feature values, their readings, and the verdict on each."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

Value = float | str
"""A feature's value: a finite number or a category. Never None, never a bool."""


class Status(StrEnum):
    """May this feature be used now? Exactly one status per feature and request."""

    OK = "ok"
    MISSING = "missing"
    STALE = "stale"
    INVALID = "invalid"
    TOO_EARLY = "too_early"
    SOURCE_DOWN = "source_down"


class Reading(msgspec.Struct, frozen=True):
    """What the online store knows of one feature.

    `value` is None when the source itself says that it has no value.
    `observed_at` is the value's own time (aware UTC), not the time at which it was written or read.
    """

    value: Value | bool | None
    observed_at: datetime


Readings = Mapping[str, Reading]


class WriteResult(StrEnum):
    """What became of a value that was written. All but `KEPT_NEWER` mean that the store has it now."""

    WRITTEN = "written"
    """It is the first, or newer than what was there."""
    CORRECTED = "corrected"
    """Another value of the same moment was there; the later delivery wins."""
    DUPLICATE = "duplicate"
    """The same value of the same moment was there already."""
    KEPT_NEWER = "kept_newer"
    """A value of a later moment was there, and stays."""


# A verdict holds scalars alone and can be in no cycle. Windows hold them by the hundred thousand, and a collector that
# walks through all of those takes longer than reading the window does.
class FeatureVerdict(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One feature's status as the caller and the event see it.

    `value` is what was found, kept for the record even when it may not be used (None when nothing was found).
    `imputed` is the value that the model was given instead, when the spec says so.
    """

    status: Status
    value: float | str | None = None
    age_seconds: float | None = None
    imputed: float | str | None = None
    problem: str | None = None

    @property
    def usable(self) -> Value | None:
        """The value that the model may see, or None."""
        if self.status is Status.OK:
            return self.value
        return self.imputed
