"""The use case: outcomes arrive, one or many, each judged on its own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from services.core.clock import Now
from services.core.errors import EventLogUnavailable, InvalidRequest
from services.core.events import outcome_event
from services.core.limits import ID_LENGTH, harmless
from services.core.spec import ModelSpec
from services.metrics import ServingMetrics
from services.serving.outbox import Outbox
from services.serving.requests import Listing, outcome


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one row. `duplicate`: the same outcome is recorded already; `refused` says why."""

    result: Literal["accepted", "duplicate", "refused"]
    prediction_id: str = ""
    faults: list[str] = []
    retriable: bool = False


@dataclass(frozen=True, kw_only=True)
class OutcomeRecorder:
    """Records outcomes of one model. The prediction may be unknown here: outcomes can overtake their predictions."""

    spec: ModelSpec
    outbox: Outbox
    now: Now
    metrics: ServingMetrics

    async def observe(self, row: object) -> Receipt:
        """Record one outcome durably.

        Raises:
            InvalidRequest: the row is no outcome of this model; nothing was recorded.
            EventLogUnavailable: nothing was recorded; send it again.
        """
        try:
            observed = outcome(self.spec, row, now=self.now())
            appended = await self.outbox.append(outcome_event(observed))
        except (InvalidRequest, EventLogUnavailable):
            self.metrics.outcome(self.spec.name, "refused")
            raise
        result: Literal["accepted", "duplicate"] = "accepted" if appended.existing is None else "duplicate"
        self.metrics.outcome(self.spec.name, result)
        return Receipt(result=result, prediction_id=observed.prediction_id)

    async def observe_many(self, rows: Sequence[object]) -> list[Receipt]:
        """One receipt per row, in order. Rows of one call share the log's commits."""
        listing = Listing()
        return list(await asyncio.gather(*(self._receipt(row, listing) for row in rows)))

    async def _receipt(self, row: object, listing: Listing) -> Receipt:
        try:
            return await self.observe(row)
        except InvalidRequest as error:
            faults = [str(fault) for fault in listing.shortened(error).listed]
            return Receipt(result="refused", prediction_id=_id_of(row), faults=faults)
        except EventLogUnavailable as error:
            return Receipt(result="refused", prediction_id=_id_of(row), faults=[str(error)], retriable=error.retriable)


def _id_of(row: object) -> str:
    """As far as it can be repeated, so that the caller knows the row by it."""
    found = row.get("prediction_id") if isinstance(row, dict) else None
    return harmless(found[:ID_LENGTH]) if isinstance(found, str) else ""
