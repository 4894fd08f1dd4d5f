"""Every metric of the monitor and of the lifecycle: its name and what it means.

Rules, panels and docs/metrics.md are made from these names, so that none of them asks for what nobody shows.
"""

from collections.abc import Mapping
from typing import Final

from services.metrics.table import MODEL_INFO, Described, Kind

OBJECTIVE: Final = "bellwether_objective"
LAST_SUCCESS: Final = "bellwether_evaluation_last_success_timestamp_seconds"
DRIFT_SCORE: Final = "bellwether_drift_score"
DRIFT_THRESHOLD: Final = "bellwether_drift_threshold"
DRIFT_DETECTED: Final = "bellwether_drift_detected"
PERFORMANCE: Final = "bellwether_performance"
OUTCOME_COVERAGE: Final = "bellwether_outcome_coverage_ratio"
BUSINESS_AMOUNT: Final = "bellwether_business_amount"
BUSINESS_EFFECT: Final = "bellwether_business_effect"
BUSINESS_BEYOND_RULE: Final = "bellwether_business_beyond_rule"
FEATURE_STATUS_RATIO: Final = "bellwether_feature_status_ratio"
ANSWERED_BY_RATIO: Final = "bellwether_answered_by_ratio"
WINDOW_ROWS: Final = "bellwether_window_rows"
EVALUATION_FAILURES: Final = "bellwether_evaluation_failures_total"
RETRAINING_RUNS: Final = "bellwether_retraining_runs_total"
RETRAINING_OPEN: Final = "bellwether_retraining_open"
AWAITING_APPROVAL: Final = "bellwether_versions_awaiting_approval"
OUTCOMES_DOUBTED: Final = "bellwether_outcomes_doubted"
RECORDS: Final = "bellwether_records"
DEAD_LETTERS: Final = "bellwether_dead_letters"
ALERTS_RECEIVED: Final = "bellwether_alerts_received_total"
ROLLBACKS: Final = "bellwether_rollbacks_total"
PROMOTIONS: Final = "bellwether_promotions_total"
LIFECYCLE_LAST_ROUND: Final = "bellwether_lifecycle_last_round_timestamp_seconds"
PRUNING_STANDS_STILL: Final = "bellwether_pruning_stands_still"
LIFECYCLE_FAILURES: Final = "bellwether_lifecycle_failures_total"

MONITOR: Final[Mapping[str, Described]] = {
    OBJECTIVE: Described(
        "What the model's spec promises: p99_seconds, answered_ratio, answered_by_model_ratio, outcome_coverage_ratio.",
        ("model", "objective"),
    ),
    DRIFT_SCORE: Described(
        "Distance of the newest window from the training reference.", ("model", "feature", "method")
    ),
    DRIFT_THRESHOLD: Described(
        "Distance above which the feature has drifted at the window's number of rows.", ("model", "feature", "method")
    ),
    DRIFT_DETECTED: Described(
        "1 while drift is confirmed, 0 while it is not; absent while that is unknown.", ("model",)
    ),
    PERFORMANCE: Described(
        "Figures of a version on its newest matured answers, as if nobody had acted.", ("model", "version", "metric")
    ),
    OUTCOME_COVERAGE: Described("Share of matured answers whose outcome is known.", ("model",)),
    BUSINESS_AMOUNT: Described(
        "A measure's total over the matured window, in its own unit.", ("model", "arm", "measure")
    ),
    BUSINESS_EFFECT: Described(
        "Treatment minus control per entity to be acted on, with the ends of its 90 % interval.",
        ("model", "measure", "bound"),
    ),
    BUSINESS_BEYOND_RULE: Described(
        "The same of those whom the rule alone would have left in peace.", ("model", "measure", "bound")
    ),
    FEATURE_STATUS_RATIO: Described(
        "Share of the newest window's answers by the status of a feature.", ("model", "feature", "status")
    ),
    ANSWERED_BY_RATIO: Described("Share of the newest window's answers by who gave them.", ("model", "served_by")),
    WINDOW_ROWS: Described("Rows that the newest judgement rests on.", ("model", "kind", "version")),
    LAST_SUCCESS: Described("When a judgement last ended without failing, by the machine's clock.", ("model", "kind")),
    EVALUATION_FAILURES: Described(
        "Judgements that failed since the monitor started.", ("model", "kind"), Kind.COUNTER
    ),
    RETRAINING_RUNS: Described(
        "Retraining jobs that ended, of the newest thousand.", ("model", "trigger", "result"), Kind.COUNTER
    ),
    ROLLBACKS: Described("Times that an earlier champion became the champion again.", ("model",), Kind.COUNTER),
    PROMOTIONS: Described("Times that a new version became the champion.", ("model",), Kind.COUNTER),
    RETRAINING_OPEN: Described("Retraining jobs that wait or run.", ("model",)),
    AWAITING_APPROVAL: Described("Versions that passed the gate and wait for a person to promote them.", ("model",)),
    OUTCOMES_DOUBTED: Described(
        "1 while outcomes cannot be true for this reason (inverted, one_class, too_early), 0 while they can; "
        "absent while that is unknown.",
        ("model", "reason"),
    ),
    MODEL_INFO: Described("1 for the version that an alias means.", ("model", "version", "alias")),
    RECORDS: Described(
        "Rows of the record store: predictions, outcomes, corrections, orphan outcomes, and those pruned as too old.",
        ("model", "what"),
    ),
    DEAD_LETTERS: Described("Events that could not become rows, of all models.", ()),
    ALERTS_RECEIVED: Described(
        "Alerts, and deliveries that could not be read, by what became of them and why.",
        ("result", "reason"),
        Kind.COUNTER,
    ),
}

LIFECYCLE: Final[Mapping[str, Described]] = {
    LIFECYCLE_LAST_ROUND: Described(
        "When the model's jobs were last attended to, by the machine's clock; told by the process that does so.",
        ("model",),
    ),
    PRUNING_STANDS_STILL: Described(
        "1 while no old records are removed because time jumped, or nothing was recorded for weeks; else 0.",
        ("model",),
    ),
    LIFECYCLE_FAILURES: Described(
        "Times that attending to a model's jobs failed and was tried again.", ("model",), Kind.COUNTER
    ),
}
