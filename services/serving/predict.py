"""The use case: one request becomes one recorded answer."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from services.core.clock import Now
from services.core.errors import InvalidRequest, MalformedEvent
from services.core.events import Event, fact_of, new_prediction_id, prediction_event, requested_prediction_id
from services.core.features import FeatureVerdict
from services.core.predictions import NO_ACTION, Arm, PredictionMade, PredictionRequest, ServedBy
from services.core.spec import ModelSpec
from services.metrics import ServingMetrics
from services.serving.assignment import assign
from services.serving.availability import availability
from services.serving.decision import Decided, decide
from services.serving.lookup import FeatureLookup
from services.serving.outbox import Outbox
from services.serving.repeats import asked_beside, known_later, require_repeated
from services.serving.runtime import ServingModel

Champion = Callable[[], ServingModel | None]
"""The version that answers at this moment, or None while none is loaded."""


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Answers for one model.

    Args:
        control_share: probability of the control arm, in [0, 1].
    """

    spec: ModelSpec
    champion: Champion
    lookup: FeatureLookup
    outbox: Outbox
    now: Now
    control_share: float
    metrics: ServingMetrics
    timer: Callable[[], float] = time.perf_counter

    @cached_property
    def _known_later(self) -> tuple[str, ...]:
        return known_later(self.spec)

    async def predict(self, request: PredictionRequest) -> PredictionMade:
        """Look for an earlier answer to the same request; judge the features; decide; draw the arm; record; count.

        Raises:
            EventLogUnavailable: nothing was recorded, so there is no answer; `ContentRefused` where it never will be.
            InvalidRequest: the request_id belongs to another request.
        """
        try:
            return await self._answered(request)
        except InvalidRequest:
            raise
        except BaseException:
            # A cancellation is one, too: the server's limit of time has ended the request.
            self.metrics.lost(self.spec.name)
            raise

    async def _answered(self, request: PredictionRequest) -> PredictionMade:
        started = self.timer()
        earlier = self._earlier(request)
        if earlier is not None:
            return earlier
        verdicts, now = await self.verdicts(request)
        model = self.champion()
        decided = decide(self.spec, model, verdicts, failed=self._failed)
        made = self._made(request, decided, verdicts, version="" if model is None else model.version, now=now)
        existing = (await self.outbox.append(prediction_event(made))).existing
        if existing is not None:
            return self._repeated(request, existing)
        self.metrics.answered(made, seconds=self.timer() - started)
        return made

    async def verdicts(self, request: PredictionRequest) -> tuple[dict[str, FeatureVerdict], datetime]:
        """The features' verdicts, and the moment at which they hold. Nothing is recorded."""
        readings = await self.lookup.readings(request.entity_id)
        # After the look-up: a value written while it ran must not appear to come from the future.
        now = self.now()
        return availability(
            self.spec, given=request.features, readings=readings, now=now, started_at=request.started_at
        ), now

    def _earlier(self, request: PredictionRequest) -> PredictionMade | None:
        if request.request_id is None:
            return None
        event = self.outbox.find(requested_prediction_id(self.spec.name, request.request_id))
        return None if event is None else self._repeated(request, event)

    def _repeated(self, request: PredictionRequest, event: Event) -> PredictionMade:
        """The answer that was given before. Another request's answer is nobody else's, and this one has none."""
        made = fact_of(event)
        if not isinstance(made, PredictionMade):
            raise MalformedEvent("unknown_type", f"event {event.id} has a prediction's id and is {event.type}")
        require_repeated(self.spec, request, made)
        self.metrics.repeated(self.spec.name)
        return made

    def _made(
        self,
        request: PredictionRequest,
        decided: Decided,
        verdicts: Mapping[str, FeatureVerdict],
        *,
        version: str,
        now: datetime,
    ) -> PredictionMade:
        decision = decided.decision
        arm = self._arm(request.entity_id)
        return PredictionMade(
            prediction_id=self._prediction_id(request),
            model=self.spec.name,
            version=version,
            entity_id=request.entity_id,
            served_by=decided.served_by,
            arm=arm,
            control_share=self.control_share,
            score=decision.score,
            label=decision.label,
            action=NO_ACTION if arm is Arm.CONTROL else decision.action,
            intended_action=decision.action,
            features=dict(verdicts),
            reasons=list(decision.reasons),
            made_at=now,
            request_id=request.request_id,
            asked=asked_beside(request, verdicts, known_later=self._known_later),
        )

    def _prediction_id(self, request: PredictionRequest) -> str:
        if request.request_id is None:
            return new_prediction_id()
        return requested_prediction_id(self.spec.name, request.request_id)

    def _arm(self, entity_id: str) -> Arm:
        return assign(
            model=self.spec.name,
            salt=self.spec.experiment.salt,
            entity_id=entity_id,
            control_share=self.control_share,
        )

    def _failed(self, served_by: ServedBy) -> None:
        self.metrics.answer_failed(self.spec.name, served_by=served_by.value)
