"""What a spec promises its callers, as a budget of answers that may be bad, and how fast it is being spent."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from prometheus_client.utils import floatToGoString

from monitoring.alerts.pace import Pace, duration
from monitoring.alerts.rule import OF_MODELS, Recording
from services.core.predictions import ServedBy
from services.core.spec import ModelSpec
from services.metrics import table

BAD_AT_LEAST: Final = 10
"""With little traffic a single slow answer is a large share. Nobody is woken for fewer than ten in the long window."""

P99_BUDGET: Final = 0.01


@dataclass(frozen=True, slots=True)
class Burn:
    """How many times too fast a budget is spent, seen over both windows."""

    times: float
    long: timedelta
    short: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A share of answers that may be bad. `bad` and `total` are expressions in which WINDOW stands for the range."""

    series: str
    budget: float
    bad: str
    total: str

    def ratio(self, window: timedelta) -> str:
        return self._series("ratio", window)

    def count(self, window: timedelta) -> str:
        return self._series("increase", window)

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

    def _series(self, what: str, window: timedelta) -> str:
        return f"{self._name(what, window)}{{{OF_MODELS}}}"

    def _name(self, what: str, window: timedelta) -> str:
        return f"model:{self.series}:{what}{duration(window)}"


def latency_promise(spec: ModelSpec) -> Promise:
    """One answer in a hundred may take longer than the spec's p99, whoever gave it."""
    bound = floatToGoString(spec.objectives.p99.total_seconds())  # type: ignore[no-untyped-call]
    total = f"sum by (model) (increase({table.PREDICTION_SECONDS}_count{{{OF_MODELS}}}[WINDOW]))"
    in_time = f'sum by (model) (increase({table.PREDICTION_SECONDS}_bucket{{{OF_MODELS},le="{bound}"}}[WINDOW]))'
    return Promise(
        series="bellwether_answers_slow",
        budget=P99_BUDGET,
        bad=f"{total} - {in_time}",
        total=total,
    )


def answer_promise(spec: ModelSpec) -> Promise:
    """Sound requests get an answer, by whomever."""
    of_models = f"{{{OF_MODELS}}}"
    bad = f"sum by (model) (increase({table.PREDICTIONS_LOST}{of_models}[WINDOW]))"
    answered = f"sum by (model) (increase({table.PREDICTIONS}{of_models}[WINDOW]))"
    return Promise(
        series="bellwether_answers_lost",
        budget=round(1 - spec.objectives.answered, 6),
        bad=bad,
        # A service that has lost every request so far shows no answers.
        total=f"({bad} + ({answered} or 0 * {bad}))",
    )


def by_model_promise(spec: ModelSpec) -> Promise:
    """Answers come from the model."""
    others = f'{OF_MODELS},served_by!="{ServedBy.MODEL}"'
    return Promise(
        series="bellwether_answers_without_model",
        budget=round(1 - spec.objectives.answered_by_model, 6),
        bad=f"sum by (model) (increase({table.PREDICTIONS}{{{others}}}[WINDOW]))",
        total=f"sum by (model) (increase({table.PREDICTIONS}{{{OF_MODELS}}}[WINDOW]))",
    )
