"""Answers of the toy model with a known truth, for tests of what judges them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from services.core.predictions import NO_ACTION, Arm, ServedBy
from services.core.records import Judged
from tests.toy import NOON, prediction, verdicts


def toy_columns(n: int, *, seed: int, richer: float = 0.0, yearly: float = 0.4) -> dict[str, Any]:
    """The toy's features and a calibrated `score`; `richer` moves `amount` by so many standard deviations."""
    random = np.random.default_rng(seed)
    amount = random.normal(100 + 20 * richer, 20, n).clip(0, 1000)
    plan = np.where(random.random(n) < yearly, "yearly", "monthly")
    visits = random.poisson(5, n).astype(float)
    risk = 1 / (1 + np.exp(-(np.where(plan == "monthly", 0.8, -0.8) - 0.5 * (visits - 5))))
    return {"amount": amount, "plan": plan, "visits": visits, "mood": random.normal(0, 1, n), "score": risk}


def toy_reference(n: int = 4000, *, seed: int = 0) -> pd.DataFrame:
    """What lies in a version's reference file."""
    return pd.DataFrame(toy_columns(n, seed=seed))


def toy_rows(
    n: int,
    *,
    seed: int = 1,
    begin: datetime = NOON,
    every: timedelta = timedelta(minutes=10),
    version: str = "v1",
    richer: float = 0.0,
    yearly: float = 0.4,
    effect: float = 0.0,
    first: int = 0,
) -> list[Judged]:
    """`n` judged answers, one `every` so often. Acting makes a leaver stay with probability `effect`."""
    columns = toy_columns(n, seed=seed, richer=richer, yearly=yearly)
    random = np.random.default_rng(seed + 1_000_000)
    rows = []
    for i in range(n):
        score = float(columns["score"][i])
        intended = "call" if score >= 0.5 else NO_ACTION
        arm = Arm.CONTROL if random.random() < 0.25 else Arm.TREATMENT
        action = intended if arm is Arm.TREATMENT else NO_ACTION
        leaves = random.random() < score
        kept = action != NO_ACTION and random.random() < effect
        made_at = begin + i * every
        made = prediction(
            first + i,
            version=version,
            served_by=ServedBy.MODEL,
            arm=arm,
            score=score,
            label="leaver" if score >= 0.5 else "stayer",
            action=action,
            intended_action=intended,
            features=verdicts(
                amount=float(columns["amount"][i]),
                plan=str(columns["plan"][i]),
                visits=float(columns["visits"][i]),
                mood=float(columns["mood"][i]),
            ),
            made_at=made_at,
        )
        rows.append(Judged(made, "left" if leaves and not kept else "stayed", made_at + timedelta(days=1)))
    return rows


def flipped(row: Judged) -> Judged:
    """The row with the other word for what happened, as an upstream that has the two mixed up sends it."""
    other = {"left": "stayed", "stayed": "left"}
    return msgspec.structs.replace(row, outcome=other[row.outcome or ""])


def world_of_moods(rows: Iterable[Judged], *, seed: int) -> list[Judged]:
    """A world that has changed: it is the mood that makes users leave, no longer how often they come."""
    random = np.random.default_rng(seed + 2_000_000)
    return [msgspec.structs.replace(row, outcome=_by_mood(row, random.random())) for row in rows]


def _by_mood(row: Judged, throw: float) -> str:
    values = {name: verdict.value for name, verdict in row.prediction.features.items()}
    drive = (0.8 if values["plan"] == "monthly" else -0.8) + 1.5 * float(values["mood"] or 0.0)
    return "left" if throw < 1 / (1 + np.exp(-drive)) else "stayed"
