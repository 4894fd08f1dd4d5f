"""What `bellwether replay` reports of the recorded answers, read in batches."""

import msgspec
import numpy as np

from monitoring.entrypoints.replay import Replayed
from monitoring.evaluation.auc import auc_interval
from monitoring.evaluation.windows import SAMPLE_LIMIT
from services.core.features import Status
from services.core.records import Judged
from tests.toy import toy_spec
from tests.toy_traffic import toy_rows

SPEC = toy_spec()


def stale(row: Judged) -> Judged:
    """The row with visits that were too old to be used."""
    features = row.prediction.features
    verdict = msgspec.structs.replace(features["visits"], status=Status.STALE)
    prediction = msgspec.structs.replace(row.prediction, features=features | {"visits": verdict})
    return msgspec.structs.replace(row, prediction=prediction)


def replayed(rows: list[Judged], *, at_once: int) -> Replayed:
    found = Replayed(SPEC)
    for start in range(0, len(rows), at_once):
        found.add(rows[start : start + at_once])
    return found


def test_the_report_is_the_same_in_batches_as_at_once() -> None:
    rows = [*map(stale, toy_rows(500)), *toy_rows(2500, first=500)]
    told = replayed(rows, at_once=7).as_body()
    assert told == replayed(rows, at_once=len(rows)).as_body()

    known = [row for row in rows if row.outcome is not None and row.prediction.served_by == "model"]
    found = auc_interval(
        np.array([row.outcome == "left" for row in known], dtype=int),
        np.array([row.prediction.score for row in known], dtype=float),
    )
    assert told["auc"] == round(found.value, 4)
    assert told["auc_interval"] == [round(found.low, 4), round(found.high, 4)]
    assert told["auc_rows"] == len(known)
    assert told["outcomes"] == sum(row.outcome is not None for row in rows)
    assert told["unavailable"] == {"visits": {"stale": 500}}
    assert told["predictions"]["total"] == len(rows)


def test_rows_are_kept_for_drift_alone_and_no_more_than_it_looks_at() -> None:
    rows = toy_rows(1) * (SAMPLE_LIMIT + 5)
    assert len(replayed(rows, at_once=4000).first) == SAMPLE_LIMIT
