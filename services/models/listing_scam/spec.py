"""What listing_scam declares about itself."""

from datetime import timedelta

from services.core.predictions import NO_ACTION
from services.core.spec import (
    BinaryClassification,
    Decision,
    DriftPolicy,
    Experiment,
    Gate,
    ModelSpec,
    Objectives,
    RetrainingPolicy,
)
from services.models.listing_scam.decide import UNASSESSED, decide
from services.models.listing_scam.features import ASKED_BECAUSE, FEATURES, HONEST, SCAM
from services.models.listing_scam.measures import MEASURES
from services.models.listing_scam.rule import rule
from services.models.listing_scam.train import train

SPEC = ModelSpec(
    name="listing_scam",
    entity="listing_id",
    owner="trust and safety",
    meaning="Whether a listing in a marketplace is a scam, asked minutes after publication and perhaps again later.",
    # Moderation closes a case after five days: whom nobody has shown to be a scammer by then counts as honest.
    task=BinaryClassification(positive=SCAM, negative=HONEST, outcome_delay=timedelta(days=5)),
    features=FEATURES,
    rule=rule,
    # Without the account's age and the price nothing is known; a label of its own keeps that from passing for a "no".
    last_resort=Decision(
        label=UNASSESSED,
        action=NO_ACTION,
        reasons=("neither the account's age nor the price is known; ask again with both",),
    ),
    train=train,
    decide=decide,
    measures=MEASURES,
    slices=(ASKED_BECAUSE, "category"),
    objectives=Objectives(p99=timedelta(milliseconds=50), answered=0.999, answered_by_model=0.95),
    # Three days hold 600 questions at 200 a day, of which a third has the first hour's count: 200 values, so 150 must
    # do. That count is too early in two of three answers, by design; only beyond that is something broken.
    drift=DriftPolicy(
        window=timedelta(days=3),
        minimum_rows=150,
        minimum_effect={"wasserstein": 0.25, "jensenshannon": 0.12, "psi": 0.15},
    ),
    # 1,200 outcomes that nobody influenced leave 840 rows to train on and 360 to judge by, some 70 scams among them.
    # Scammers change their ways within weeks: what is older than 45 days is about others.
    retraining=RetrainingPolicy(
        cool_down=timedelta(days=5), minimum_outcomes=1200, history=timedelta(days=45), patience=timedelta(days=45)
    ),
    gate=Gate(holdout=0.3, minimum_outcomes=200, margin=0.01, confidence=0.9),
    # Every scam that is left up on purpose costs money; the card says how much, and what is blind without.
    experiment=Experiment(control=0.2),
)
