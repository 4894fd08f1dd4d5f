"""Whether callers get what the spec promises: fast answers, answers at all, and the model's own.

A promise is a budget: 1 % of the answers may be slow when the spec states a p99. An alert asks how many times too fast
the budget is being spent, over a long window (it matters) and a short one (it still goes on), as in the Site
Reliability Workbook, chapter 5.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from prometheus_client.utils import floatToGoString

from monitoring.alerts.pace import Pace, duration
from monitoring.alerts.rule import Alert, Dashboard, Group, Recording, Severity
from services.core.predictions import ServedBy
from services.core.records import CHAMPION
from services.core.spec import ModelSpec
from services.metrics import table

BAD_AT_LEAST: Final = 10
"""With little traffic a single slow answer is a large share. Nobody is woken for fewer than ten in the long window."""

P99_BUDGET: Final = 0.01
WINDOWS: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 30, 60, 360, 4320))


@dataclass(frozen=True, slots=True)
class Burn:
    """How many times too fast a budget is spent, seen over both windows."""

    times: float
    long: timedelta
    short: timedelta


FAST: Final = (
    Burn(14.4, timedelta(hours=1), timedelta(minutes=5)),
    Burn(6.0, timedelta(hours=6), timedelta(minutes=30)),
)
"""2 % of a month's budget within an hour, or 5 % within six."""

SLOW: Final = (Burn(1.0, timedelta(days=3), timedelta(hours=6)),)
"""A tenth of a month's budget within three days: the promise will be broken, though not tonight."""

BY_RULE_WINDOW: Final = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A share of answers that may be bad. `bad` and `total` are expressions in which WINDOW stands for the range."""

    series: str
    model: str
    budget: float
    bad: str
    total: str

    def ratio(self, window: timedelta) -> str:
        return f"{self._name('ratio', window)}{_of(self.model)}"

    def count(self, window: timedelta) -> str:
        return f"{self._name('increase', window)}{_of(self.model)}"

    def recordings(self, window: timedelta, pace: Pace) -> Iterator[Recording]:
        """The number of bad answers in the window, and their share, which is unknown without any answer."""
        length = pace.window(window)
        bad, total = self.bad.replace("WINDOW", length), self.total.replace("WINDOW", length)
        yield Recording(name=self._name("increase", window), expr=bad)
        yield Recording(name=self._name("ratio", window), expr=f"{self.count(window)}\n/\n({total} > 0)")

    def burns(self, burn: Burn) -> str:
        limit = f"{burn.times:g} * {self.budget:g}"
        return (
            f"{self.ratio(burn.long)} > {limit}\n"
            f"and {self.ratio(burn.short)} > {limit}\n"
            f"and {self.count(burn.long)} >= {BAD_AT_LEAST}"
        )

    def _name(self, what: str, window: timedelta) -> str:
        return f"model:{self.series}:{what}{duration(window)}"


def serving_rules(spec: ModelSpec, pace: Pace) -> Group:
    latency, answers, by_model = latency_promise(spec), answer_promise(spec), by_model_promise(spec)
    recorded = [
        *(each for window in WINDOWS for promise in (latency, answers) for each in promise.recordings(window, pace)),
        *by_model.recordings(BY_RULE_WINDOW, pace),
    ]
    return Group(
        spec.name,
        (
            *recorded,
            *_latency_alerts(spec, latency),
            *_answer_alerts(spec, answers),
            _by_rule(spec, by_model),
            _load_failing(spec, pace),
            _not_served(spec),
        ),
    )


def latency_promise(spec: ModelSpec) -> Promise:
    """One answer in a hundred may take longer than the spec's p99, whoever gave it."""
    of_model = f'model="{spec.name}"'
    bound = floatToGoString(spec.objectives.p99.total_seconds())  # type: ignore[no-untyped-call]
    total = f"sum by (model) (increase({table.PREDICTION_SECONDS}_count{{{of_model}}}[WINDOW]))"
    in_time = f'sum by (model) (increase({table.PREDICTION_SECONDS}_bucket{{{of_model},le="{bound}"}}[WINDOW]))'
    return Promise(
        series="bellwether_answers_slow",
        model=spec.name,
        budget=P99_BUDGET,
        bad=f"{total} - {in_time}",
        total=total,
    )


def answer_promise(spec: ModelSpec) -> Promise:
    """Sound requests get an answer, by whomever."""
    of_model = _of(spec.name)
    bad = f"sum by (model) (increase({table.PREDICTIONS_LOST}{of_model}[WINDOW]))"
    answered = f"sum by (model) (increase({table.PREDICTIONS}{of_model}[WINDOW]))"
    return Promise(
        series="bellwether_answers_lost",
        model=spec.name,
        budget=round(1 - spec.objectives.answered, 6),
        bad=bad,
        # A service that has lost every request so far shows no answers.
        total=f"({bad} + ({answered} or 0 * {bad}))",
    )


def by_model_promise(spec: ModelSpec) -> Promise:
    """Answers come from the model."""
    of_model = f'model="{spec.name}"'
    others = f'{of_model},served_by!="{ServedBy.MODEL}"'
    return Promise(
        series="bellwether_answers_without_model",
        model=spec.name,
        budget=round(1 - spec.objectives.answered_by_model, 6),
        bad=f"sum by (model) (increase({table.PREDICTIONS}{{{others}}}[WINDOW]))",
        total=f"sum by (model) (increase({table.PREDICTIONS}{{{of_model}}}[WINDOW]))",
    )


def _latency_alerts(spec: ModelSpec, promise: Promise) -> Iterator[Alert]:
    limit = f"{spec.objectives.p99.total_seconds() * 1000:g} ms"
    summary = (
        f"{spec.name}: {{{{ $value | humanizePercentage }}}} of the answers took longer than {limit}, "
        f"at most {P99_BUDGET:.0%} is promised"
    )
    yield _fast("LatencyBudgetBurnsFast", promise, summary, "Callers wait now, and the month's budget is going.")
    yield _slow("LatencyBudgetBurnsSlowly", promise, summary, "Over days more answers are slow than the spec promises.")


def _answer_alerts(spec: ModelSpec, promise: Promise) -> Iterator[Alert]:
    summary = (
        f"{spec.name}: {{{{ $value | humanizePercentage }}}} of the sound requests got no answer, "
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


def _by_rule(spec: ModelSpec, promise: Promise) -> Alert:
    return Alert(
        name="AnsweredByRuleTooOften",
        expr=f"{promise.ratio(BY_RULE_WINDOW)} > {promise.budget:g}\n"
        f"and {promise.count(BY_RULE_WINDOW)} >= {BAD_AT_LEAST}",
        lasts=timedelta(minutes=15),
        severity=Severity.TICKET,
        summary=f"{spec.name}: {{{{ $value | humanizePercentage }}}} of the answers were not the model's, "
        f"at most {promise.budget:.3g} is promised",
        description="Callers get answers, from the rule or the last resort; what the model would earn is lost.",
        dashboard=Dashboard.MODEL,
    )


def _load_failing(spec: ModelSpec, pace: Pace) -> Alert:
    window = pace.window(timedelta(minutes=15))
    return Alert(
        name="ModelLoadFailing",
        expr=f"sum by (model) (increase({table.MODEL_LOAD_FAILURES}{_of(spec.name)}[{window}])) > 0",
        # A full disk that was emptied is over by now: workers try again every ten seconds.
        lasts=timedelta(minutes=5),
        severity=Severity.TICKET,
        summary=f"{spec.name}: workers refused a version {{{{ $value | printf `%.0f` }}}} times in {window}",
        description="The version did not pass its checks; the one before goes on answering, or the rule without one.",
        dashboard=Dashboard.SERVING,
        of_process=True,
    )


def _not_served(spec: ModelSpec) -> Alert:
    champion = f'{table.MODEL_INFO}{{job="bellwether-monitor",model="{spec.name}",alias="{CHAMPION}"}}'
    served = f'{table.MODEL_INFO}{{job="bellwether-serving",model="{spec.name}"}} == 1'
    return Alert(
        name="ChampionNotServed",
        expr=f"max by (model, version) ({champion})\n"
        f"unless on (model, version) ({served})\n"
        'and on () (up{job="bellwether-serving"} == 1)',
        lasts=timedelta(minutes=10),
        severity=Severity.TICKET,
        summary=f"{spec.name}: no worker answers with the champion {{{{ $labels.version }}}}",
        description="The workers did not follow a promotion: they answer with another version, or with the rule.",
        dashboard=Dashboard.MODEL,
        of_process=True,
    )


def worker_rules() -> Group:
    """Of the server as a whole."""
    return Group(
        "",
        (
            Alert(
                name="WorkersGone",
                expr=f"{table.WORKERS} < {table.WORKERS_WANTED}",
                lasts=timedelta(minutes=5),
                severity=Severity.TICKET,
                summary="Only {{ $value }} serving workers are alive at {{ $labels.instance }}",
                description="Workers that end are started again within seconds; these were not. The others answer.",
                dashboard=Dashboard.SERVING,
                of_process=True,
            ),
        ),
    )


def _of(model: str) -> str:
    return f'{{model="{model}"}}'
