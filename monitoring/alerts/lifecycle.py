"""Whether judging and retraining themselves work: judgements that are old, missing or failing, jobs that nobody attends
to, and how they ended."""

from datetime import timedelta
from typing import Final

from monitoring.alerts.pace import Pace
from monitoring.alerts.rule import MODEL, MONITOR_JOB, OF_MODELS, Alert, Dashboard, Rule, Severity
from monitoring.evaluation.windows import REFRESH_PARTS
from monitoring.metrics import table
from services.core.records import CHAMPION, JobState, ResultKind
from services.core.spec import ModelSpec
from services.metrics.table import MODEL_INFO

ROUNDS_LATE: Final = 3
"""One round may be long and one may fail; after three the gauges are history."""

LONGEST_RETRAINING: Final = timedelta(hours=2)
"""While it trains, a lifecycle looks at nothing else. It takes as long in a world that runs faster."""

FAILED_IN_A_ROW: Final = 3
SHORTEST_ROUND: Final = timedelta(minutes=5)
ATTENDED_WITHIN: Final = timedelta(minutes=10)
"""A lifecycle looks at its jobs every second or so, and one failure among hundreds is no news."""

LOOK_BACK: Final = timedelta(hours=1)
"""A job's end is no state but a moment: it is told for this long."""


def lifecycle_rules(spec: ModelSpec, pace: Pace) -> tuple[Rule, ...]:
    return (
        _too_old(spec, pace),
        _never(spec),
        _failing(spec, pace),
        _unattended(spec),
        _attending_fails(pace),
        _pruning_stands_still(),
        _retraining_failed(pace),
        _retraining_refused(pace),
        _awaits_approval(),
        _rolled_back(pace),
        _promoted(pace),
    )


def _round(spec: ModelSpec) -> timedelta:
    """Time between two judgements of the model."""
    return max(spec.drift.window / REFRESH_PARTS, SHORTEST_ROUND)


def _too_old(spec: ModelSpec, pace: Pace) -> Alert:
    limit = pace.age(ROUNDS_LATE * _round(spec))
    return Alert(
        name="EvaluationTooOld",
        expr=f"time() - max by (model, kind) ({table.LAST_SUCCESS}{{{OF_MODELS}}}) > {limit}",
        lasts=timedelta(minutes=5),
        severity=Severity.TICKET,
        summary=f"{MODEL}: {{{{ $labels.kind }}}} was last judged {{{{ $value | humanizeDuration }}}} ago",
        description="Its gauges show what was then. Nothing that has changed since is seen, drift among it.",
        dashboard=Dashboard.MODEL,
        of_process=True,
    )


def _never(spec: ModelSpec) -> Alert:
    wanted = f'{{model="{spec.name}",kind="{ResultKind.AVAILABILITY}"}}'
    return Alert(
        name="NeverEvaluated",
        expr=f"absent({table.LAST_SUCCESS}{wanted})",
        lasts=timedelta(minutes=15),
        severity=Severity.TICKET,
        summary=f"{MODEL} has not been judged since the monitor started",
        description="No monitor holds the model's lease, or none of its judgements ended; alerts on them cannot fire.",
        dashboard=Dashboard.MODEL,
        of_process=True,
    )


def _failing(spec: ModelSpec, pace: Pace) -> Alert:
    window = pace.window(max(LOOK_BACK, 2 * FAILED_IN_A_ROW * _round(spec)))
    return Alert(
        name="EvaluationFailing",
        expr=f"sum by (model, kind) (increase({table.EVALUATION_FAILURES}{{{OF_MODELS}}}[{window}]))"
        f" >= {FAILED_IN_A_ROW}",
        lasts=timedelta(minutes=1),
        severity=Severity.TICKET,
        summary=f"{MODEL}: {{{{ $labels.kind }}}} failed {{{{ $value | printf `%.0f` }}}} times in {window}",
        description="The judgement raised; its reason stands in the monitor's /status and in the store.",
        dashboard=Dashboard.MODEL,
    )


def _unattended(spec: ModelSpec) -> Alert:
    last = f'{table.LIFECYCLE_LAST_ROUND}{{model="{spec.name}"}}'
    return Alert(
        name="LifecycleSilent",
        # Where no process tells a time there is none that could be old.
        expr=f"time() - max by (model) ({last}) > {LONGEST_RETRAINING.total_seconds():g}\nor absent({last})",
        lasts=timedelta(minutes=15),
        severity=Severity.TICKET,
        summary=f"Nobody attends to the retrainings of {MODEL}",
        description="Drift opens jobs that nobody works on, and old records are not pruned. Answers go on.",
        dashboard=Dashboard.MODEL,
        of_process=True,
    )


def _attending_fails(pace: Pace) -> Alert:
    window = pace.window(ATTENDED_WITHIN)
    return Alert(
        name="LifecycleFailing",
        expr=f"sum by (model) (increase({table.LIFECYCLE_FAILURES}{{{OF_MODELS}}}[{window}])) >= {FAILED_IN_A_ROW}",
        lasts=timedelta(minutes=5),
        severity=Severity.TICKET,
        summary=f"Attending to {MODEL} failed {{{{ $value | printf `%.0f` }}}} times in {window}",
        description="No retraining begins or ends until it succeeds. The lifecycle's log has the reason.",
        dashboard=Dashboard.MODEL,
        of_process=True,
    )


def _pruning_stands_still() -> Alert:
    return Alert(
        name="PruningStandsStill",
        expr=f"max by (model) ({table.PRUNING_STANDS_STILL}{{{OF_MODELS}}}) == 1",
        # At once: a clock that jumps for a minute is a clock that jumps.
        lasts=timedelta(0),
        severity=Severity.TICKET,
        summary=f"{MODEL}: time jumped, so no old records are removed",
        description="The clock is far beyond what was recorded: it is wrong, or nobody asked for weeks. Nothing goes.",
        dashboard=Dashboard.PIPELINE,
    )


def _retraining_failed(pace: Pace) -> Alert:
    return Alert(
        name="RetrainingFailed",
        expr=_ended(pace, f'result="{JobState.FAILED}"'),
        lasts=timedelta(0),
        severity=Severity.TICKET,
        summary=f"{MODEL}: {{{{ $value | printf `%.0f` }}}} retraining failed",
        description="The champion goes on serving a world that it was not trained on; the next alert tries again.",
        dashboard=Dashboard.MODEL,
    )


def _retraining_refused(pace: Pace) -> Alert:
    return Alert(
        name="RetrainingRefused",
        # Whoever asks by hand is told at once.
        expr=_ended(pace, f'result="{JobState.REFUSED}",trigger="drift"'),
        lasts=timedelta(0),
        severity=Severity.TICKET,
        summary=f"{MODEL}: {{{{ $value | printf `%.0f` }}}} retraining was refused",
        description="A source was broken, outcomes did not come, or what was trained is no better: a person must look.",
        dashboard=Dashboard.MODEL,
    )


def _awaits_approval() -> Alert:
    return Alert(
        name="VersionAwaitsApproval",
        expr=f"max by (model) ({table.AWAITING_APPROVAL}{{{OF_MODELS}}}) > 0",
        lasts=timedelta(minutes=1),
        severity=Severity.TICKET,
        summary=f"{MODEL}: a version waits for a person to promote it",
        description="It passed the gate, and would tell most callers something else than the champion does.",
        dashboard=Dashboard.MODEL,
    )


def _ended(pace: Pace, how: str) -> str:
    """How many retrainings ended in this way lately."""
    runs = f"{table.RETRAINING_RUNS}{{{OF_MODELS},{how}}}[{pace.window(LOOK_BACK)}]"
    return f"round(sum by (model) (increase({runs}))) > 0"


def _rolled_back(pace: Pace) -> Alert:
    rollbacks = f"{table.ROLLBACKS}{{{OF_MODELS}}}[{pace.window(LOOK_BACK)}]"
    return Alert(
        name="RolledBack",
        expr=f"round(sum by (model) (increase({rollbacks}))) > 0",
        lasts=timedelta(0),
        severity=Severity.TICKET,
        summary=f"{MODEL} went back to an earlier champion {{{{ $value | printf `%.0f` }}}} time",
        description="Callers are served by a version that is known; what was wrong with the other is to be found out.",
        dashboard=Dashboard.MODEL,
    )


def _promoted(pace: Pace) -> Alert:
    champion = f'max by (model, version) ({MODEL_INFO}{{job="{MONITOR_JOB}",{OF_MODELS},alias="{CHAMPION}"}})'
    promoted = f"{table.PROMOTIONS}{{{OF_MODELS}}}[{pace.window(LOOK_BACK)}]"
    return Alert(
        name="VersionPromoted",
        expr=f"{champion}\nand on (model) round(sum by (model) (increase({promoted}))) > 0",
        lasts=timedelta(0),
        severity=Severity.TICKET,
        summary=f"{MODEL}: {{{{ $labels.version }}}} is the champion now",
        description="Callers are told what a new version says. The gate's reasons stand with the version.",
        dashboard=Dashboard.MODEL,
    )
