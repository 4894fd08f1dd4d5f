"""Not knowing is a value. It is never written as 0.0 or as "no drift"."""

from dataclasses import dataclass
from typing import Any

from services.core.records import ResultStatus


@dataclass(frozen=True, slots=True)
class NotEnoughData:
    """`n` of `needed` rows; `what` says rows of which kind."""

    n: int
    needed: int
    what: str

    def as_body(self) -> dict[str, Any]:
        return {
            "status": ResultStatus.NOT_ENOUGH_DATA.value,
            "n": self.n,
            "needed": self.needed,
            "reason": f"{self.n} {self.what}, {self.needed} needed",
        }


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a figure could not be computed although there was data."""

    reason: str

    def as_body(self) -> dict[str, Any]:
        return {"status": ResultStatus.FAILED.value, "reason": self.reason}
