"""Turns rows of real history into live traffic, spread over simulated time, and into cases to train on."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.core.errors import BellwetherError
from services.core.features import Reading, Value
from services.core.predictions import Answer
from services.core.spec import ModelSpec, Unavailable
from services.core.world import PastCase
from services.traffic.client import Outcome, PredictionClient
from services.traffic.clock import WorldClock
from services.traffic.history import CsvRow
from services.traffic.in_turn import in_turn

ASKED_AT_ONCE: Final = 16
APART: Final = timedelta(microseconds=1)
"""Between two rows that share a moment of the clock, so that a later row of an entity has the newer values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCounts:
    """What became of the rows. `unmapped` counts strange texts by column.

    `unanswered` rows got no answer, or were not asked about because their own values could not be written.
    """

    rows_sent: int
    unanswered: int
    served_by: dict[str, int]
    outcomes_sent: int
    unmapped: dict[str, int]


def say_nothing(_done: int, _total: int) -> None:
    """The default listener."""


async def replay_rows(
    rows: Sequence[CsvRow],
    *,
    client: PredictionClient,
    clock: WorldClock,
    origin: datetime,
    rows_per_day: int,
    outcome_delay: timedelta,
    on_progress: Callable[[int, int], None] = say_nothing,
) -> ReplayCounts:
    """Write each row's feed, ask for its prediction, and after the outcome delay send what is known to be true.

    The rows are spread evenly over world time from `origin` on, or from the clock's time where that is later. The file
    has no dates: its order stands for time. Each row is asked about its own values, in whatever order an entity's rows
    come: they follow one another, and each writes values that are newer than those of the one before.

    Raises:
        Refused, Unanswered: the service did not take the outcomes, without which a replay says nothing.
    """
    run_id, begun = uuid.uuid4().hex[:12], max(origin, clock.now())
    answers: list[Answer | None] = []
    for start in range(0, len(rows), ASKED_AT_ONCE):
        group = rows[start : start + ASKED_AT_ONCE]
        clock.set(begun + timedelta(days=(start + len(group)) / rows_per_day))
        answers += await _ask_about(group, client, clock.now(), first=f"{run_id}-{start}")
        on_progress(len(answers), len(rows))
    clock.set(clock.now() + outcome_delay)
    recorded = await client.send_outcomes(_outcomes(rows, answers, outcome_delay))
    return ReplayCounts(
        rows_sent=len(rows),
        unanswered=answers.count(None),
        served_by=dict(Counter(answer.served_by.value for answer in answers if answer is not None)),
        outcomes_sent=recorded,
        unmapped=dict(Counter(column for row in rows for column in row.unmapped)),
    )


def training_cases(rows: Iterable[CsvRow], *, spec: ModelSpec, origin: datetime, rows_per_day: int) -> list[PastCase]:
    """The complete and valid rows whose outcome is known, oldest first, settled before `origin`.

    A row with a blank or a strange value is left out: training takes complete rows, and a guess would be learnt.
    Features that the spec calls optional may be blank: the model takes such gaps when it serves, too.
    """
    known = [
        (row, _valid(row, spec), row.outcome)
        for row in rows
        if row.outcome is not None and _why_left_out(row, spec) is None
    ]
    settled = origin - spec.task.outcome_delay
    return [
        PastCase(
            entity_id=row.entity_id,
            asked_at=settled - timedelta(days=(len(known) - place) / rows_per_day),
            features=features,
            value=outcome,
        )
        for place, (row, features, outcome) in enumerate(known)
    ]


def left_out(rows: Iterable[CsvRow], *, spec: ModelSpec) -> dict[str, int]:
    """How many rows `training_cases` leaves out, by the first reason of each, the most frequent first."""
    return dict(Counter(why for row in rows if (why := _why_left_out(row, spec)) is not None).most_common())


async def _ask_about(
    rows: Sequence[CsvRow], client: PredictionClient, now: datetime, *, first: str
) -> list[Answer | None]:
    async def ask(place: int, row: CsvRow) -> Answer | None:
        return await _ask(row, client, now - (len(rows) - place) * APART, f"{first}-{place}")

    return await in_turn(rows, entity=lambda row: row.entity_id, ask=ask)


async def _ask(row: CsvRow, client: PredictionClient, now: datetime, request_id: str) -> Answer | None:
    # A row whose values could not be written would be asked about those of an earlier one. The client counts it.
    try:
        await client.write_features(row.entity_id, {name: Reading(value, now) for name, value in row.feed.items()})
        return await client.predict(row.entity_id, row.request, request_id=request_id, started_at=_started_at(row, now))
    except BellwetherError:
        return None


def _outcomes(rows: Sequence[CsvRow], answers: Sequence[Answer | None], outcome_delay: timedelta) -> list[Outcome]:
    return [
        Outcome(answer.prediction_id, row.outcome, answer.made_at + outcome_delay)
        for row, answer in zip(rows, answers, strict=True)
        if answer is not None and row.outcome is not None
    ]


def _started_at(row: CsvRow, now: datetime) -> datetime | None:
    """The entity is as old when the replay asks as it was at the decision; None where the file does not tell.

    Where the file tells it roughly, it is as old as it can have been, which is how the file was checked.
    """
    if row.started_at is None or row.decided_at is None:
        return None
    return now - row.decided_at.at_most_after(row.started_at)


def _why_left_out(row: CsvRow, spec: ModelSpec) -> str | None:
    """The first reason, or None for a row that can be trained on."""
    if row.outcome is None:
        return "outcome not understood" if row.outcome_not_understood else "outcome blank"
    found = row.request | row.feed
    for feature in spec.features:
        if feature.if_unavailable is Unavailable.OPTIONAL:
            continue
        value = found.get(feature.name)
        if value is None:
            return f"{feature.name} {'not understood' if feature.name in row.not_understood else 'blank'}"
        if feature.kind.problem(value) is not None:
            return f"{feature.name} invalid"
    return None


def _valid(row: CsvRow, spec: ModelSpec) -> dict[str, Value]:
    """In the order of the spec."""
    found = row.request | row.feed
    return {
        each.name: value
        for each in spec.features
        if (value := found.get(each.name)) is not None and each.kind.problem(value) is None
    }
