"""One exception tree. Each class carries its machine-readable `code` and whether trying again can help."""

from enum import StrEnum
from typing import ClassVar, Final

import msgspec

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what is expected: RecursionError where they are nested too deep."""


class BellwetherError(Exception):
    """Base of every error that Bellwether raises on purpose.

    The message names the thing, what was found, what was expected and the remedy.
    HTTP status codes live in the entry point alone.
    """

    code: ClassVar[str] = "internal"
    retriable: ClassVar[bool] = False


class SettingsError(BellwetherError):
    code = "settings"


class NoRecordsYet(SettingsError):
    """Nobody has made the record store."""


class SpecError(BellwetherError):
    code = "spec"


class UnknownModel(BellwetherError):
    code = "unknown_model"


class UnknownVersion(BellwetherError):
    code = "unknown_version"


class Fault(BellwetherError):
    """One bad field of a request. `expected` are the names that could have been there, where these are many."""

    code = "invalid_field"

    def __init__(self, field: str, problem: str, *, expected: str = "") -> None:
        self.field = field
        self.problem = f"{problem}; expected {expected}" if expected else problem
        self.expected = expected
        self._found = problem
        super().__init__(f"{field}: {self.problem}")

    def without_expected(self) -> "Fault":
        """For an answer that has said the names already."""
        return Fault(self.field, self._found)


class InvalidRequest(BellwetherError):
    """A request refused for every fault it has, all named at once; `beyond` counts those that are not listed."""

    code = "invalid_request"

    def __init__(self, faults: tuple[Fault, ...], *, beyond: int = 0) -> None:
        self.faults = faults
        self.beyond = beyond
        super().__init__("; ".join(str(fault) for fault in self.listed))

    @property
    def listed(self) -> tuple[Fault, ...]:
        """The faults, and behind them how many there are beyond."""
        return (*self.faults, Fault("body", f"and {self.beyond} more faults")) if self.beyond else self.faults


class MalformedEvent(BellwetherError):
    """An event that cannot become rows. It goes to the dead letters under `reason`."""

    code = "malformed_event"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class EventLogUnavailable(BellwetherError):
    """The event could not be made durable, so the answer must not leave."""

    code = "event_log_unavailable"
    retriable = True


class FeatureSourceDown(BellwetherError):
    code = "feature_source_down"
    retriable = True


class StoreUnavailable(BellwetherError):
    code = "store_unavailable"
    retriable = True


class StoreFailed(StoreUnavailable):
    """The store is there and failed for a reason that can be an outage, and can be what it was given.

    Who waits treats it as an outage. Who has other rows can find out: where those go in, the fault is the row's.
    """


class ContentRefused(BellwetherError):
    """A store, a log or an online store takes what others give it and will never take this, for what it holds.

    A text has a NUL or a lone surrogate, a number is out of range, a key is too long for its index, or it is taken.
    """

    code = "content_refused"


class LostPosition(StrEnum):
    """Why a position means nothing any more."""

    STORE_BEHIND = "store_behind"
    """The store is an earlier copy, another one, or was rewound."""
    LOG_REPLACED = "log_replaced"
    """Another local log lies in the home than the one that was read before."""
    LOG_CUT = "log_cut"
    """The local log is an earlier copy."""
    TOPICS_REPLACED = "topics_replaced"
    """Kafka's topics were made anew."""
    OFFSET_GONE = "offset_gone"
    """A partition ends before the position, or has another event there."""


class PositionLost(BellwetherError):
    """What a consumer's position stands for is not there: the log or the store is another, or an earlier copy.

    Nothing was written. Reading begins again at `restart_at`, or where None at what the store has; the store ignores
    what it has already.
    """

    code = "position_lost"
    retriable = True

    def __init__(self, message: str, *, partition: str, reason: LostPosition, restart_at: int | None = None) -> None:
        super().__init__(message)
        self.partition = partition
        self.reason = reason
        self.restart_at = restart_at


class LeaseLost(BellwetherError):
    """What was about to be written belongs to another process by now; nothing of it was written."""

    code = "lease_lost"
    # Not the work is wrong, but who does it: the one who has the lease does it again.
    retriable = True


class CorruptArtifact(BellwetherError):
    """A model version whose files, hashes or canary scores are not what its manifest says."""

    code = "corrupt_artifact"


class UnfitVersion(BellwetherError):
    """A sound model version that needs what the spec does not have any more."""

    code = "unfit_version"


class MappingError(BellwetherError):
    """A CSV or its mapping does not fit the model."""

    code = "mapping"


class AlreadyRunning(BellwetherError):
    code = "already_running"


class PortTaken(BellwetherError):
    code = "port_taken"
