"""What churn declares about itself."""

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
from services.models.churn.decide import LOYAL, decide
from services.models.churn.features import CHURNED, FEATURES, STAYED
from services.models.churn.measures import MEASURES
from services.models.churn.rule import rule
from services.models.churn.train import train

SPEC = ModelSpec(
    name="churn",
    entity="customer_id",
    owner="customer retention",
    meaning="Whether a customer of a telephone company leaves within two weeks, and whether an offer would pay.",
    task=BinaryClassification(positive=CHURNED, negative=STAYED, outcome_delay=timedelta(days=14)),
    features=FEATURES,
    rule=rule,
    # Without contract and tenure nothing is known, and an offer to a random customer loses money.
    last_resort=Decision(
        label=LOYAL, action=NO_ACTION, reasons=("neither contract nor tenure is known; offers need a reason",)
    ),
    train=train,
    decide=decide,
    measures=MEASURES,
    slices=("contract", "senior_citizen"),
    objectives=Objectives(p99=timedelta(milliseconds=50), answered=0.999, answered_by_model=0.95),
    # Three days hold 600 rows at 200 calls a day, enough to see a shift of a quarter of a standard deviation;
    # longer windows would hide a change for as long as they reach back before it.
    drift=DriftPolicy(
        window=timedelta(days=3),
        minimum_rows=300,
        minimum_effect={"wasserstein": 0.25, "jensenshannon": 0.12, "psi": 0.15},
    ),
    # 1,200 matured outcomes leave 840 rows to train on and 360 to judge by; offers take away a fifth of either.
    # 45 days of history: long enough for a quiet month, short enough to forget the world before the change.
    retraining=RetrainingPolicy(
        cool_down=timedelta(days=5), minimum_outcomes=1200, history=timedelta(days=45), patience=timedelta(days=60)
    ),
    gate=Gate(holdout=0.3, minimum_outcomes=200, margin=0.01, confidence=0.9),
    # On a fifth of those at risk a retraining would rest on too few rows: their weight of 5 makes it noisy.
    experiment=Experiment(control=0.3),
)
