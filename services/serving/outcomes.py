"""The use case: outcomes arrive, one or many, each judged on its own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from services.core.clock import Now
from services.core.errors import ContentRefused, EventLogUnavailable, InvalidRequest
from services.core.events import Event, outcome_event
from services.core.limits import ID_LENGTH, harmless
from services.core.outcomes import OutcomeObserved
from services.core.ports import Appended
from services.core.spec import ModelSpec
from services.metrics import ServingMetrics
from services.serving.corrections import Counting, Moments, OutcomeResult, goes_on_counting, result_beside
from services.serving.outbox import Outbox
from services.serving.requests import Listing, outcome

COUNTERS: Final = {
    OutcomeResult.ACCEPTED: "accepted",
    OutcomeResult.CORRECTED: "corrected",
    OutcomeResult.KEPT_NEWER: "kept_newer",
    OutcomeResult.DUPLICATE: "duplicates",
    OutcomeResult.REFUSED: "refused",
}
"""What the receipts of a list are counted as, each once."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one row; of one that is `refused`, `faults` say why and `retriable` whether to send it again."""

    result: OutcomeResult
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
    _moments: Moments = field(default_factory=Moments, init=False)

    async def observe(self, row: object) -> Receipt:
        """Record one outcome durably.

        Raises:
            InvalidRequest: the row is no outcome of this model; nothing was recorded.
            ContentRefused: the log cannot hold it; nothing was recorded.
            EventLogUnavailable: it may not be recorded; send it again.
        """
        try:
            observed = outcome(self.spec, row, now=self.now())
            result = await self._recorded(observed)
        except (InvalidRequest, ContentRefused, EventLogUnavailable):
            self.metrics.outcome(self.spec.name, OutcomeResult.REFUSED)
            raise
        self.metrics.outcome(self.spec.name, result)
        return Receipt(result=result, prediction_id=observed.prediction_id)

    async def observe_many(self, rows: Sequence[object]) -> list[Receipt]:
        """One receipt per row, in order. Rows of one call share the log's commits; those about one prediction are
        recorded one after the other."""
        listing = Listing()
        newest: dict[str, asyncio.Task[Receipt]] = {}
        receipts = []
        for row in rows:
            about = _id_of(row)
            receipts.append(asyncio.create_task(self._receipt(row, listing, behind=newest.get(about))))
            if about:
                newest[about] = receipts[-1]
        return await asyncio.gather(*receipts)

    async def _receipt(self, row: object, listing: Listing, *, behind: asyncio.Task[Receipt] | None) -> Receipt:
        if behind is not None:
            await asyncio.wait([behind])
        try:
            return await self.observe(row)
        except InvalidRequest as error:
            faults = [str(fault) for fault in listing.shortened(error).listed]
            return _refused(row, faults)
        except (ContentRefused, EventLogUnavailable) as error:
            return _refused(row, [str(error)], retriable=error.retriable)

    async def _recorded(self, observed: OutcomeObserved) -> OutcomeResult:
        """Append it; and again, as a correction, where another one of the same moment would go on counting."""
        counting = self._counting(observed)
        if counting is not None and counting.says(observed):
            return OutcomeResult.DUPLICATE
        recorded = self._stamped(observed, behind=counting)
        appended = await self._append(outcome_event(recorded))
        was_there = appended.existing is not None
        rival = self._counting(observed, before=None if was_there else appended.position)
        if rival is not None and goes_on_counting(rival, recorded, was_there=was_there):
            return await self._corrected(observed, rival)
        return result_beside(rival, recorded, was_there=was_there)

    async def _corrected(self, observed: OutcomeObserved, rival: Counting) -> OutcomeResult:
        recorded = self._stamped(observed, behind=rival)
        appended = await self._append(outcome_event(recorded, instead_of=rival.event_id))
        return OutcomeResult.CORRECTED if appended.existing is None else OutcomeResult.DUPLICATE

    def _stamped(self, observed: OutcomeObserved, *, behind: Counting | None) -> OutcomeObserved:
        """With the time of recording: later than that of what has to give way to it."""
        after = behind if behind is not None and behind.outcome.observed_at == observed.observed_at else None
        return msgspec.structs.replace(observed, recorded_at=self._moments.next(now=self.now(), after=after))

    async def _append(self, event: Event) -> Appended:
        appended = await self.outbox.append(event)
        if appended.existing is None:
            self.metrics.outcome_appended(self.spec.name)
        return appended

    def _counting(self, observed: OutcomeObserved, *, before: int | None = None) -> Counting | None:
        """What counts by the log, or did before this position. Raises `EventLogUnavailable`."""
        return Counting.among(self.outbox.latest_outcomes(observed.model, observed.prediction_id, before=before))


def _refused(row: object, faults: list[str], *, retriable: bool = False) -> Receipt:
    return Receipt(result=OutcomeResult.REFUSED, prediction_id=_id_of(row), faults=faults, retriable=retriable)


def _id_of(row: object) -> str:
    """As far as it can be repeated, so that the caller knows the row by it."""
    found = row.get("prediction_id") if isinstance(row, dict) else None
    return harmless(found[:ID_LENGTH]) if isinstance(found, str) else ""
