"""What turned out to be true."""

from datetime import datetime

import msgspec


class OutcomeObserved(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about one prediction: data of `bellwether.outcome.observed.v1`.

    `value` is one of the task's two classes. `observed_at` orders corrections: the latest wins, and of several at the
    same moment the one that was recorded last. `recorded_at` is None in events of versions that did not say it; those
    count as recorded before all others.
    """

    prediction_id: str
    model: str
    value: str
    observed_at: datetime
    recorded_at: datetime | None = None
