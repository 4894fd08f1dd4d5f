"""Whether callers get what the spec promises: fast answers, answers at all, and the model's own.

An alert asks how many times too fast a promise's budget is being spent, over a long window (it matters) and a short one
(it still goes on), as in the Site Reliability Workbook, chapter 5.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from monitoring.alerts.pace import Pace
from monitoring.alerts.promise import (
    BAD_AT_LEAST,
    P99_BUDGET,
    Burn,
    Promise,
    answer_promise,
    by_model_promise,
    latency_promise,
)
from monitoring.alerts.rule import (
    MODEL,
    MONITOR_JOB,
    OF_MODELS,
    SERVING_JOB,
    Alert,
    Dashboard,
    Group,
    Recording,
    Rule,
    Severity,
)
from services.core.artifacts import SILENT_AFTER
from services.core.records import CHAMPION
from services.core.spec import ModelSpec
from services.metrics import table

FAST: Final = (
    Burn(14.4, timedelta(hours=1), timedelta(minutes=5)),
    Burn(6.0, timedelta(hours=6), timedelta(minutes=30)),
)
"""2 % of a month's budget within an hour, or 5 % within six."""

SLOW: Final = (Burn(1.0, timedelta(days=3), timedelta(hours=6)),)
"""A tenth of a month's budget within three days: the promise will be broken, though not tonight."""

WINDOWS: Final = sorted({window for burn in (*FAST, *SLOW) for window in (burn.long, burn.short)})
BY_RULE_WINDOW: Final = timedelta(minutes=30)
BY_RULE_NEWEST: Final = timedelta(minutes=5)
"""What tells that it is over, minutes after the repair."""

SCORING_WINDOW: Final = timedelta(minutes=15)
HALF_LN_100: Final = 2.303
IDLE_AT_LEAST: Final = 0.01
"""With less idle time the estimate would grow without end, and then turn negative."""
BUSY: Final = "bellwether:scoring_busy:ratio"


def serving_rules(spec: ModelSpec, pace: Pace) -> tuple[Rule, ...]:
    latency, answers, by_model = latency_promise(spec), answer_promise(spec), by_model_promise(spec)
    recorded = [
        *(each for window in WINDOWS for promise in (latency, answers) for each in promise.recordings(window, pace)),
        *(each for window in (BY_RULE_WINDOW, BY_RULE_NEWEST) for each in by_model.recordings(window, pace)),
        _busy(pace),
    ]
    return (
        *recorded,
        *_latency_alerts(spec, latency),
        *_answer_alerts(answers),
        _by_rule(by_model),
        _too_slow(spec),
        _load_failing(pace),
        _not_served(),
    )


def _latency_alerts(spec: ModelSpec, promise: Promise) -> Iterator[Alert]:
    limit = f"{spec.objectives.p99.total_seconds() * 1000:g} ms"
    summary = (
        f"{MODEL}: {{{{ $value | humanizePercentage }}}} of the answers took longer than {limit}, "
        f"at most {P99_BUDGET:.0%} is promised"
    )
    yield _fast("LatencyBudgetBurnsFast", promise, summary, "Callers wait now, and the month's budget is going.")
    yield _slow("LatencyBudgetBurnsSlowly", promise, summary, "Over days more answers are slow than the spec promises.")


def _answer_alerts(promise: Promise) -> Iterator[Alert]:
    summary = (
        f"{MODEL}: {{{{ $value | humanizePercentage }}}} of the sound requests got no answer, "
        f"at most {promise.budget:.3%} is promised"
    )
    yield _fast("AnswerBudgetBurnsFast", promise, summary, "Callers get errors now: nothing was recorded for them.")
    yield _slow("AnswerBudgetBurnsSlowly", promise, summary, "Over days more requests fail than the spec promises.")


def _fast(name: str, promise: Promise, summary: str, description: str) -> Alert:
    return Alert(
        name=name,
        expr="\nor\n".join(f"(\n{promise.burns(burn)}\n)" for burn in FAST),
        lasts=timedelta(minutes=2),
        severity=Severity.PAGE,
        summary=summary,
        description=description,
        dashboard=Dashboard.SERVING,
    )


def _slow(name: str, promise: Promise, summary: str, description: str) -> Alert:
    return Alert(
        name=name,
        expr="\nor\n".join(promise.burns(burn) for burn in SLOW),
        lasts=timedelta(minutes=15),
        severity=Severity.TICKET,
        summary=summary,
        description=description,
        dashboard=Dashboard.SERVING,
    )


def _by_rule(promise: Promise) -> Alert:
    return Alert(
        name="AnsweredByRuleTooOften",
        expr=f"{promise.ratio(BY_RULE_WINDOW)} > {promise.budget:g}\n"
        f"and {promise.count(BY_RULE_WINDOW)} >= {BAD_AT_LEAST}\n"
        f"unless {promise.ratio(BY_RULE_NEWEST)} <= {promise.budget:g}",
        lasts=timedelta(minutes=15),
        severity=Severity.TICKET,
        summary=f"{MODEL}: {{{{ $value | humanizePercentage }}}} of the answers were not the model's, "
        f"at most {promise.budget:.3g} is promised",
        description="Callers get answers, from the rule or the last resort; what the model would earn is lost.",
        dashboard=Dashboard.MODEL,
    )


def _row_seconds() -> str:
    return f"max by (model, version, form) ({table.MODEL_ROW_SECONDS}{{{OF_MODELS}}} > 0)"


def _busy(pace: Pace) -> Recording:
    """The share of a worker's time that scoring takes."""
    scored = f'{table.PREDICTIONS}{{{OF_MODELS},served_by="model"}}[{pace.window(SCORING_WINDOW)}]'
    of_a_worker = f"sum by (model) (rate({scored})) / on () group_left () sum({table.WORKERS})"
    return Recording(name=BUSY, expr=f"{_row_seconds()}\n* on (model) group_left ()\n({of_a_worker})")


def _too_slow(spec: ModelSpec) -> Alert:
    """From what a row takes and how many come: an estimate, so that it is known before callers wait.

    Requests come at random and each takes the same time: they wait row × busy / 2 (1 - busy) on average, spread about
    exponentially (M/D/1 in heavy traffic; Kleinrock, Queueing Systems, 1976), so 99 of 100 wait at most ln(100) times
    that.
    """
    row, busy = _row_seconds(), f"{BUSY}{{{OF_MODELS}}}"
    limit = spec.objectives.p99.total_seconds()
    return Alert(
        name="ScoringTooSlow",
        expr=f"{row}\n* (1 + {HALF_LN_100:g} * ({busy} / clamp_min(1 - {busy}, {IDLE_AT_LEAST:g}) or 0 * {row}))\n"
        f"> {limit:g}",
        lasts=timedelta(minutes=15),
        severity=Severity.TICKET,
        summary=f"{MODEL}: {{{{ $labels.form }}}} scores version {{{{ $labels.version }}}} too slowly: a p99 of "
        f"{{{{ $value | humanizeDuration }}}} is to be expected, objective {limit * 1000:g} ms",
        description="What a row takes and how many come leave no room. The model's page says why ONNX does not serve.",
        dashboard=Dashboard.SERVING,
    )


def _load_failing(pace: Pace) -> Alert:
    window = pace.window(timedelta(minutes=15))
    return Alert(
        name="ModelLoadFailing",
        expr=f"sum by (model) (increase({table.MODEL_LOAD_FAILURES}{{{OF_MODELS}}}[{window}])) > 0",
        # A full disk that was emptied is over by now: workers try again every ten seconds.
        lasts=timedelta(minutes=5),
        severity=Severity.TICKET,
        summary=f"{MODEL}: workers refused a version {{{{ $value | printf `%.0f` }}}} times in {window}",
        description="The version did not pass its checks; the one before goes on answering, or the rule without one.",
        dashboard=Dashboard.SERVING,
        of_process=True,
    )


def _not_served() -> Alert:
    champion = f'{table.MODEL_INFO}{{job="{MONITOR_JOB}",{OF_MODELS},alias="{CHAMPION}"}}'
    served = f'{table.MODEL_INFO}{{job="{SERVING_JOB}",{OF_MODELS}}} == 1'
    return Alert(
        name="ChampionNotServed",
        expr=f"max by (model, version) ({champion})\n"
        f"unless on (model, version) ({served})\n"
        f'and on () (up{{job="{SERVING_JOB}"}} == 1)',
        lasts=timedelta(minutes=10),
        severity=Severity.TICKET,
        summary=f"{MODEL}: no worker answers with the champion {{{{ $labels.version }}}}",
        description="The workers did not follow a promotion: they answer with another version, or with the rule.",
        dashboard=Dashboard.MODEL,
        of_process=True,
    )


def worker_rules(pace: Pace) -> Group:
    """Of the server as a whole."""
    return Group(
        (
            Alert(
                name="WorkerNotResponding",
                expr=f"time() - {table.WORKER_HEARTBEAT} > {pace.age(SILENT_AFTER)}",
                lasts=timedelta(minutes=1),
                severity=Severity.PAGE,
                summary="A serving worker at {{ $labels.instance }} has not shown for {{ $value | humanizeDuration }} "
                "that it works",
                description="It hangs or was stopped: who is connected to it gets no answer. The other workers answer.",
                dashboard=Dashboard.SERVING,
                of_process=True,
            ),
            Alert(
                name="WorkersGone",
                expr=f"{table.WORKERS} < {table.WORKERS_WANTED}",
                lasts=timedelta(minutes=5),
                severity=Severity.TICKET,
                summary="Only {{ $value }} serving workers work at {{ $labels.instance }}",
                description="Workers that end are started again within seconds; these were not, or hang. Others work.",
                dashboard=Dashboard.SERVING,
                of_process=True,
            ),
        ),
    )
