import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from monitoring.entrypoints.up.summary import Run, summarise
from monitoring.evaluation.auc import auc
from services.adapters.record_store import RecordStoreSql
from services.core.events import outcome_event
from services.core.outcomes import OutcomeObserved
from services.core.predictions import Arm, PredictionMade
from services.core.records import CHAMPION, AliasChange, Batch, Judged
from tests.toy import NOON, prediction, toy_spec

DAY = timedelta(days=1)
CHANGED, PROMOTED, ENDED = NOON + 10 * DAY, NOON + 20 * DAY, NOON + 30 * DAY
PER_DAY = 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStoreSql]:
    store = RecordStoreSql(f"sqlite:///{tmp_path / 'records.sqlite'}")
    store.migrate()
    yield store
    store.close()


def run(ended_at: datetime = ENDED) -> Run:
    return Run(
        seconds=60.04,
        began_at=NOON,
        ended_at=ended_at,
        changed_at=CHANGED,
        failed_requests=0,
        retried_requests=2,
        pruned_events=0,
        unaccounted_events=0,
    )


def live(store: RecordStoreSql) -> None:
    """Thirty days: v1 is right until the change and wrong after it, v2 is right again; outcomes take two days."""
    chance = random.Random(1)  # noqa: S311 - a simulation
    made, seen = [], []
    for number in range(30 * PER_DAY):
        at = NOON + number * DAY / PER_DAY
        score = chance.random()
        right = at < CHANGED or at >= PROMOTED
        left = (chance.random() < score) if right else (chance.random() > score)
        version = "v2" if at >= PROMOTED else "v1"
        made.append(prediction(number, made_at=at, score=score, version=version, intended_action="none"))
        # Whoever leaves is known at once, whoever stays only after two days.
        known_at = at if left else at + 2 * DAY
        if known_at <= ENDED:
            seen.append(outcome(made[-1], "left" if left else "stayed", known_at))
    store.commit(Batch(made, seen, []), consumer="c", position=1)
    store.move_alias(change("v1", "", NOON))
    store.move_alias(change("v2", "v1", PROMOTED))


def outcome(made: PredictionMade, value: str, at: datetime) -> tuple[str, OutcomeObserved]:
    fact = OutcomeObserved(prediction_id=made.prediction_id, model="toy", value=value, observed_at=at)
    return outcome_event(fact).id, fact


def change(version: str, previous: str, at: datetime) -> AliasChange:
    return AliasChange(model="toy", alias=CHAMPION, version=version, previous=previous, at=at, reason="test")


def test_the_phases_are_judged_by_the_version_that_served_and_by_matured_answers_alone(store: RecordStoreSql) -> None:
    live(store)

    told = summarise(toy_spec(), run(), store)

    assert told["auc"]["before"] > 0.7
    assert told["auc"]["after_change"] < 0.3
    assert told["auc"]["after_promotion"] > 0.7
    assert (told["version_before"], told["version_after"]) == ("v1", "v2")
    assert told["promoted_at"] == PROMOTED.isoformat()
    assert told["outcome_coverage"] == 1.0
    assert told["world_days"] == 30.0
    assert told["predictions"] == {"model": 600, "total": 600}


class InBatches(RecordStoreSql):
    """Gives so many judged rows at once, and never all of them."""

    at_once = 7

    def judged(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("all judged rows were asked for at once")

    def judged_in_batches(self, model: str, **window: Any) -> Iterator[list[Judged]]:
        return super().judged_in_batches(model, **window | {"at_once": self.at_once})


def test_the_summary_is_the_same_in_batches_of_any_size_and_never_reads_all_rows_at_once(
    store: RecordStoreSql, tmp_path: Path
) -> None:
    live(store)
    batched = InBatches(f"sqlite:///{tmp_path / 'records.sqlite'}")
    told = summarise(toy_spec(), run(), batched)
    batched.at_once = 100_000
    assert summarise(toy_spec(), run(), batched) == told
    batched.close()

    before = [row for row in store.judged("toy", made_from=NOON, made_until=CHANGED) if row.outcome is not None]
    target, score = ([row.outcome == "left" for row in before], [row.prediction.score for row in before])
    assert told["auc"]["before"] == round(auc(np.array(target, dtype=int), np.array(score, dtype=float)), 4)
    (kept,) = (measure for measure in toy_spec().measures if measure.name == "kept")
    control = [kept.value(row) for row in before if row.prediction.arm is Arm.CONTROL]
    assert told["measures"]["kept"]["before"]["control"] == round(sum(control) / len(control), 2)


def test_what_cannot_be_known_is_null_and_never_0(store: RecordStoreSql) -> None:
    told = summarise(toy_spec(), run(), store)

    assert told["auc"] == {"before": None, "after_change": None, "after_promotion": None}
    assert told["outcome_coverage"] is None
    assert told["drift_found_at"] is None
    assert told["version_after"] is None
    assert told["measures"]["kept"]["before"] == {"treatment": None, "control": None, "effect": None}
