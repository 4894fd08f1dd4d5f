"""Turns rows of real history into live traffic, spread over simulated time, and into cases to train on."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
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
from services.traffic.mapping import CsvRow

ASKED_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCounts:
    """What became of the rows. `unanswered` rows got no answer; `unmapped` counts strange texts by column."""

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

    The rows are spread evenly over world time from `origin` on. The file has no dates: its order stands for time.

    Raises:
        Refused, Unanswered: the service did not take the outcomes, without which a replay says nothing.
    """
    run_id = uuid.uuid4().hex[:12]
    answers: list[Answer | None] = []
    for start in range(0, len(rows), ASKED_AT_ONCE):
        group = rows[start : start + ASKED_AT_ONCE]
        clock.set(origin + timedelta(days=(start + len(group)) / rows_per_day))
        asked = (_ask(row, client, clock.now(), f"{run_id}-{start + place}") for place, row in enumerate(group))
        answers += await asyncio.gather(*asked)
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
        (row, features, row.outcome)
        for row in rows
        if row.outcome is not None and (features := _complete(row, spec)) is not None
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


async def _ask(row: CsvRow, client: PredictionClient, now: datetime, request_id: str) -> Answer | None:
    # A feed that fails costs its values, not the question; the client counts it.
    with suppress(BellwetherError):
        await client.write_features(row.entity_id, {name: Reading(value, now) for name, value in row.feed.items()})
    try:
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
    """The entity is as old when the replay asks as it was at the decision; None where the file tells neither."""
    if row.started_at is None or row.decided_at is None:
        return None
    return now - (row.decided_at - row.started_at)


def _complete(row: CsvRow, spec: ModelSpec) -> dict[str, Value] | None:
    found = row.request | row.feed
    valid = {name: value for name, value in found.items() if spec.feature(name).kind.problem(value) is None}
    needed = {each.name for each in spec.features if each.if_unavailable is not Unavailable.OPTIONAL}
    if not needed <= set(valid):
        return None
    return {name: value for name in spec.feature_names if (value := valid.get(name)) is not None}
