"""Stretches of event time, and when a new one is worth a look. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.core.spec import ModelSpec

SAMPLE_LIMIT: Final = 10_000
"""Rows read per window. More make no distance or AUC visibly surer, and the work must not grow with traffic."""

REFRESH_PARTS: Final = 1000
"""A judgement is refreshed when event time has moved by this part of the drift window: every 7 minutes for 5 days."""

KEPT_PARTS: Final = 20
"""A judgement is kept when event time has moved by this part since the last kept one: 120 a month for 5 days."""

COUNTED_PARTS: Final = 5
"""A window counts as a new one when it ends this part of its length after the last that counted.

Windows that share almost every row repeat one another's chance finds: "twice in a row" would say nothing.
"""

MATURED_WINDOWS: Final = 2
"""Matured judgements look back so many drift windows: of a matured window, what was acted on weighs nothing."""


@dataclass(frozen=True, slots=True)
class Window:
    """Event time in [start, end), aware UTC."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        return self.end - self.start


def newest_window(spec: ModelSpec, now: datetime) -> Window:
    """The answers whose inputs are compared with the training reference."""
    return Window(now - spec.drift.window, now)


def matured_window(spec: ModelSpec, now: datetime) -> Window:
    """The newest answers whose truth is certain by now.

    Answers younger than the task's delay stay out: those of them with an outcome are the early ones,
    which are mostly of one class.
    """
    end = now - spec.task.outcome_delay
    return Window(end - MATURED_WINDOWS * spec.drift.window, end)


def is_due(spec: ModelSpec, *, judged_until: datetime | None, now: datetime) -> bool:
    """Whether event time has moved enough since the window that ended at `judged_until`.

    One that ends ahead was judged by a clock that has been set back since: it says nothing of the present.
    """
    return judged_until is None or not timedelta(0) <= now - judged_until < spec.drift.window / REFRESH_PARTS


def is_kept(spec: ModelSpec, *, kept_until: datetime | None, now: datetime) -> bool:
    """Whether a judgement as of `now` is worth a row in the store for its time alone."""
    return kept_until is None or not timedelta(0) <= now - kept_until < spec.drift.window / KEPT_PARTS


def counts_as_new(window: Window, *, counted_until: datetime | None) -> bool:
    """Whether `window` shares few enough rows with the last one that counted towards a confirmation."""
    return counted_until is None or window.end - counted_until >= window.length / COUNTED_PARTS
