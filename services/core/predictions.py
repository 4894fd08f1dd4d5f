"""Requests, answers, and the fact that an answer was given."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from services.core.features import FeatureVerdict, Status, Value

NO_ACTION: Final = "none"
"""The action of an answer on which nobody acts; every spec may use it, and the control arm always gets it."""


LEAST_CONTROL_SHARE: Final = 0.0001
"""An answer of the control arm stands for one over its share. With a smaller one a single outcome would stand for more
than ten thousand, and decide alone what a model is worth."""


class ServedBy(StrEnum):
    MODEL = "model"
    RULE = "rule"
    LAST_RESORT = "last_resort"


class Arm(StrEnum):
    """On a control answer nobody acts, so that what acting earns can be known."""

    TREATMENT = "treatment"
    CONTROL = "control"


class PredictionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request after validation: names known, types right. `started_at` is when the entity came to be."""

    entity_id: str
    features: dict[str, Value]
    request_id: str | None = None
    started_at: datetime | None = None


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a request asked and the verdicts on its features do not tell.

    `early` are values that were not looked at, because it was too early for them to mean anything.
    """

    started_at: datetime | None = None
    early: dict[str, Value] = {}


class PredictionMade(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it is recorded: data of `bellwether.prediction.made.v1`.

    `version` is the serving model version, or "" when no model was loaded.
    `intended_action` is what was decided before the arm was looked at; `action` is what the caller was told.
    `control_share` is the probability with which this entity is in the control arm.
    `asked` is None where nobody can ask again, for want of a `request_id`, and in events of versions without it.
    """

    prediction_id: str
    model: str
    version: str
    entity_id: str
    served_by: ServedBy
    arm: Arm
    control_share: float
    score: float | None
    label: str
    action: str
    intended_action: str
    features: dict[str, FeatureVerdict]
    reasons: list[str]
    made_at: datetime
    request_id: str | None = None
    asked: Asked | None = None

    @property
    def acted(self) -> bool:
        """Whether somebody acts on this answer, which changes what its outcome would have been."""
        return self.action != NO_ACTION

    @property
    def weight(self) -> float:
        """How many entities this answer stands for when asking what happens if nobody acts.

        Inverse probability weighting (Horvitz and Thompson 1952): an answer that was acted on counts 0,
        one whose action was withheld counts 1 / P(withheld), one that never called for action counts 1.
        """
        if self.acted:
            return 0.0
        if self.intended_action != NO_ACTION:
            return 1.0 / self.control_share
        return 1.0


class AnsweredFeature(msgspec.Struct, frozen=True, omit_defaults=True):
    status: Status
    age_seconds: float | None = None
    imputed: float | str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller gets."""

    prediction_id: str
    model: str
    version: str
    served_by: ServedBy
    arm: Arm
    score: float | None
    label: str
    action: str
    features: dict[str, AnsweredFeature]
    reasons: list[str]
    made_at: datetime


def answer_of(made: PredictionMade) -> Answer:
    """The caller's view of a recorded answer; feature values stay in the record."""
    return Answer(
        prediction_id=made.prediction_id,
        model=made.model,
        version=made.version,
        served_by=made.served_by,
        arm=made.arm,
        score=made.score,
        label=made.label,
        action=made.action,
        features={
            name: AnsweredFeature(verdict.status, verdict.age_seconds, verdict.imputed)
            for name, verdict in made.features.items()
        },
        reasons=made.reasons,
        made_at=made.made_at,
    )
