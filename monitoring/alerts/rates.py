"""Whether what always comes still comes: requests, outcomes, writes of features.

What is silent raises no error. So each rate is compared with the model's own at the same hour of the day before and of
the week before, whichever is smaller: a night is like other nights and a Sunday like other Sundays. Where neither is
known there is no alert.

A fast world's callers are one process, which waits for the monitor now and then: nothing is compared over less than a
minute.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from monitoring.alerts.pace import FLOW, Pace, duration
from monitoring.alerts.rule import MODEL, OF_MODELS, Alert, Dashboard, Recording, Rule, Severity
from services.core.spec import ModelSpec
from services.metrics import table

DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)

GONE_SHARE: Final = 0.1
"""Of what is usual at this hour: below it something is broken, and not merely a quiet day."""
AT_LEAST: Final = 30
"""What has to be usual in the window: of fewer, a tenth is a matter of chance."""

REQUESTS_WINDOW: Final = timedelta(minutes=30)
WRITES_WINDOW: Final = timedelta(hours=1)
PARTS_OF_DELAY: Final = 8
SHORTEST_OUTCOMES: Final = timedelta(hours=1)

FAILING_WINDOW: Final = timedelta(minutes=15)
FAILING_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How much of something came in a window; `counted` is an expression in which WINDOW stands for the range."""

    name: str
    window: timedelta
    counted: str

    @property
    def series(self) -> str:
        return f"{self._recorded}{{{OF_MODELS}}}"

    def recording(self, pace: Pace) -> Recording:
        return Recording(name=self._recorded, expr=self.counted.replace("WINDOW", pace.window(self.window, least=FLOW)))

    def vanished(self, pace: Pace) -> str:
        """The share of what is usual, while that is too small. What a service has not counted since its start is 0."""
        usual = self._usual(pace)
        return f"({self.series} or 0 * {usual})\n/\n({usual} >= {AT_LEAST})\n< {GONE_SHARE:g}"

    def _usual(self, pace: Pace) -> str:
        day, week = (
            f"{self.series} offset {pace.offset(back, window=self.window, least=FLOW)}" for back in (DAY, WEEK)
        )
        return f"(({day} < {week}) or {week} or {day})"

    @property
    def _recorded(self) -> str:
        return f"model:bellwether_{self.name}:increase{duration(self.window)}"


def rate_rules(spec: ModelSpec, pace: Pace) -> tuple[Rule, ...]:
    return *_requests(pace), *_outcomes(spec, pace), *(_writes(pace) if spec.online_features else ())


def _requests(pace: Pace) -> Iterator[Recording | Alert]:
    """Those that got no answer came, too."""
    of_models = f"{{{OF_MODELS}}}"
    lost = f"sum by (model) (increase({table.PREDICTIONS_LOST}{of_models}[WINDOW]))"
    answered = f"sum by (model) (increase({table.PREDICTIONS}{of_models}[WINDOW]))"
    rate = Rate(name="requests", window=REQUESTS_WINDOW, counted=f"{lost} + ({answered} or 0 * {lost})")
    yield rate.recording(pace)
    yield Alert(
        name="TrafficVanished",
        expr=rate.vanished(pace),
        of_process=True,
        lasts=timedelta(minutes=10),
        severity=Severity.PAGE,
        summary=f"{MODEL}: {{{{ $value | humanizePercentage }}}} of the requests that are usual at this hour",
        description="Callers have stopped asking, or cannot reach the service: whatever they do now, no model helps.",
        dashboard=Dashboard.SERVING,
    )


def _outcomes(spec: ModelSpec, pace: Pace) -> Iterator[Recording | Alert]:
    """Long before answers mature without any: then every figure of performance is late by the outcomes' delay."""
    window = min(max(spec.task.outcome_delay / PARTS_OF_DELAY, SHORTEST_OUTCOMES), DAY)
    accepted = f'{table.OUTCOMES}{{{OF_MODELS},result="accepted"}}'
    rate = Rate(name="outcomes", window=window, counted=f"sum by (model) (increase({accepted}[WINDOW]))")
    yield rate.recording(pace)
    yield Alert(
        name="OutcomesVanished",
        expr=rate.vanished(pace),
        of_process=True,
        lasts=timedelta(hours=1),
        severity=Severity.TICKET,
        summary=f"{MODEL}: {{{{ $value | humanizePercentage }}}} of the outcomes that are usual at this hour",
        description="Who tells what became of the answers has stopped. Nothing can be judged or retrained without.",
        dashboard=Dashboard.MODEL,
    )


def _writes(pace: Pace) -> Iterator[Recording | Alert]:
    def grown(result: str) -> str:
        return f"sum by (model) (increase({table.FEATURE_WRITES}{{{OF_MODELS}{result}}}[WINDOW]))"

    rate = Rate(name="feature_writes", window=WRITES_WINDOW, counted=grown(',result="written"'))
    yield rate.recording(pace)
    yield Alert(
        name="FeatureWritesVanished",
        expr=rate.vanished(pace),
        of_process=True,
        lasts=timedelta(minutes=15),
        severity=Severity.TICKET,
        summary=f"{MODEL}: {{{{ $value | humanizePercentage }}}} of the feature writes that are usual at this hour",
        description="A feed has stopped; its values grow stale one by one, and then the rule answers.",
        dashboard=Dashboard.MODEL,
    )
    bad, total = (grown(each).replace("WINDOW", pace.window(FAILING_WINDOW)) for each in (',result!="written"', ""))
    yield Alert(
        name="FeatureWritesFailing",
        expr=f"{bad}\n/\n({total} > 0)\n> {FAILING_SHARE:g}\nand {bad} >= 10",
        lasts=timedelta(minutes=5),
        severity=Severity.TICKET,
        summary=f"{MODEL}: {{{{ $value | humanizePercentage }}}} of the feature writes are not written",
        description="The feed sends what the spec does not allow, or the online store does not take it.",
        dashboard=Dashboard.MODEL,
    )
