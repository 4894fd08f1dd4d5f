"""A model small enough to reason about, for tests of everything that is not a model."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from services.core.features import FeatureVerdict, Status, Value
from services.core.predictions import NO_ACTION, Arm, PredictionMade, ServedBy
from services.core.records import EvaluationResult, Judged, ResultKind, ResultStatus
from services.core.spec import (
    BinaryClassification,
    Categorical,
    Decision,
    DriftPolicy,
    Experiment,
    Feature,
    Gate,
    Good,
    Impute,
    Measure,
    ModelSpec,
    Numeric,
    Objectives,
    RetrainingPolicy,
    Source,
)
from services.core.training import TrainingSet

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def rule(features: Mapping[str, Value]) -> Decision | None:
    plan = features.get("plan")
    if plan is None:
        return None
    at_risk = plan == "monthly"
    return Decision(
        label="leaver" if at_risk else "stayer",
        action="call" if at_risk else NO_ACTION,
        score=0.6 if at_risk else 0.2,
        reasons=(f"plan is {plan}",),
    )


def decide(score: float) -> Decision:
    at_risk = score >= 0.5
    return Decision(label="leaver" if at_risk else "stayer", action="call" if at_risk else NO_ACTION, score=score)


def train(training: TrainingSet) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = ColumnTransformer(
        [
            ("numeric", StandardScaler(), ["amount", "visits", "mood"]),
            ("categorical", OneHotEncoder(handle_unknown="ignore"), ["plan"]),
        ]
    )
    estimator = make_pipeline(columns, LogisticRegression(max_iter=1000))
    return estimator.fit(training.features, training.target, logisticregression__sample_weight=training.weights)


def kept(judged: Judged) -> float:
    return 100.0 if judged.outcome == "stayed" else 0.0


def wasted(judged: Judged) -> float:
    return 5.0 if judged.prediction.acted and judged.outcome == "left" else 0.0


def toy_spec(**changes: Any) -> ModelSpec:
    """The toy's spec: `amount` and `plan` come in the request, `visits` and `mood` (imputed with 0) from the store."""
    declared: dict[str, Any] = {
        "name": "toy",
        "entity": "user_id",
        "owner": "tests",
        "meaning": "Whether a user leaves.",
        "task": BinaryClassification(positive="left", negative="stayed", outcome_delay=timedelta(days=2)),
        "features": (
            _feature("amount", Numeric(low=0, high=1000), Source.REQUEST),
            _feature("plan", Categorical(("monthly", "yearly")), Source.REQUEST),
            _feature("visits", Numeric(low=0), Source.ONLINE, max_age=timedelta(hours=6)),
            _feature("mood", Numeric(), Source.ONLINE, max_age=timedelta(hours=6), if_unavailable=Impute(0.0)),
        ),
        "rule": rule,
        "last_resort": Decision(label="stayer", action=NO_ACTION, reasons=("neither model nor rule could answer",)),
        "train": train,
        "decide": decide,
        "measures": (
            Measure(name="kept", good=Good.UP, unit="EUR", meaning="Margin of users who stayed", value=kept),
            Measure(name="wasted", good=Good.DOWN, unit="EUR", meaning="Calls to users who left", value=wasted),
        ),
        "slices": ("plan",),
        "objectives": Objectives(p99=timedelta(milliseconds=50), answered=0.999, answered_by_model=0.95),
        "drift": DriftPolicy(),
        "retraining": RetrainingPolicy(),
        "gate": Gate(),
        "experiment": Experiment(control=0.25),
    }
    return ModelSpec(**(declared | changes))


def prediction(number: int = 1, **changes: Any) -> PredictionMade:
    """A prediction of the toy model by its version v1, made at noon; `changes` replaces fields."""
    made: dict[str, Any] = {
        "prediction_id": f"00000000-0000-4000-8000-{number:012d}",
        "model": "toy",
        "version": "v1",
        "entity_id": f"user-{number}",
        "served_by": ServedBy.MODEL,
        "arm": Arm.CONTROL,
        "control_share": 0.25,
        "score": 0.7,
        "label": "leaver",
        "action": NO_ACTION,
        "intended_action": "call",
        "features": verdicts(amount=10.0, plan="monthly", visits=3.0, mood=0.5),
        "reasons": [],
        "made_at": NOON,
    }
    return PredictionMade(**(made | changes))


def verdicts(**values: Value) -> dict[str, FeatureVerdict]:
    return {name: FeatureVerdict(Status.OK, value) for name, value in values.items()}


def _feature(name: str, kind: Numeric | Categorical, source: Source, **more: Any) -> Feature:
    return Feature(name, kind, source, meaning=f"The {name}", owner="tests", refreshed="hourly", **more)


def drift_result(
    body: dict[str, Any] | None = None, *, window_end: datetime = NOON, version: str = "v1"
) -> EvaluationResult:
    """A judgement of five days, which found what the body says."""
    return EvaluationResult(
        model="toy",
        version=version,
        kind=ResultKind.DRIFT,
        window_start=window_end - timedelta(days=5),
        window_end=window_end,
        n=500,
        status=ResultStatus.OK,
        body=body or {},
        computed_at=window_end,
    )


def confirmed_drift(since: datetime, *, confirmed: bool = True) -> EvaluationResult:
    """A drift result that has confirmed, or seen the end of, a drift of the amount."""
    body = {"confirmed": confirmed, "confirmed_features": ["amount"], "since": since.isoformat()}
    return drift_result(body, window_end=since + timedelta(days=1))
