"""What loan_approval declares about itself."""

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
from services.models.loan_approval.decide import NOT_ASSESSED, decide
from services.models.loan_approval.features import DEFAULTED, FEATURES, NOT_DEFAULTED
from services.models.loan_approval.measures import MEASURES
from services.models.loan_approval.rule import rule
from services.models.loan_approval.train import train

SPEC = ModelSpec(
    name="loan_approval",
    entity="applicant_id",
    owner="consumer lending",
    meaning="Whether somebody who is lent money misses the first instalment, and whether lending would pay.",
    # The first instalment is due after 14 days; who has not paid a week later counts as defaulted.
    task=BinaryClassification(positive=DEFAULTED, negative=NOT_DEFAULTED, outcome_delay=timedelta(days=21)),
    features=FEATURES,
    rule=rule,
    # Nobody is refused without a reason, and a label of its own keeps this from passing for an approval.
    last_resort=Decision(
        label=NOT_ASSESSED,
        action=NO_ACTION,
        reasons=("neither credit score nor debts nor employment is known; a clerk has to decide",),
    ),
    train=train,
    decide=decide,
    measures=MEASURES,
    slices=("age_band", "residence", "employment"),
    objectives=Objectives(p99=timedelta(milliseconds=50), answered=0.999, answered_by_model=0.95),
    # Five days hold 1,000 applications at 200 a day, and twice as many days, which performance and money are judged
    # by, hold some 40 risky ones that were granted on purpose: with fewer than 30 nobody knows what refusing is worth.
    # A sixth of all applicants has no credit score and nobody mends that: only a third without it is a broken source.
    drift=DriftPolicy(
        window=timedelta(days=5),
        minimum_rows=300,
        minimum_effect={"wasserstein": 0.25, "jensenshannon": 0.12, "psi": 0.15},
        broken_share=0.35,
    ),
    # 1,800 outcomes that nobody influenced leave 1,260 to train on and 540 to judge by. With 840 to train on, what
    # came out differed twice as much from run to run, and four days more hardly matter where outcomes take 21.
    retraining=RetrainingPolicy(
        cool_down=timedelta(days=5), minimum_outcomes=1800, history=timedelta(days=45), patience=timedelta(days=75)
    ),
    gate=Gate(holdout=0.3, minimum_outcomes=300, margin=0.01, confidence=0.9),
    # Every risky loan that is granted on purpose costs money; the card says how much, and what is blind without.
    experiment=Experiment(control=0.2),
)
