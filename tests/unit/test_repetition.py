"""Which rows of a window say something of the world."""

import msgspec
import pandas as pd

from monitoring.evaluation.repetition import distinct
from services.core.features import FeatureVerdict, Status
from services.core.records import Judged
from tests.toy import toy_spec, verdicts
from tests.toy_traffic import toy_reference, toy_rows

SPEC = toy_spec()
REFERENCE = toy_reference()
FEW = pd.DataFrame(
    {"amount": [1.0, 2.0] * 500, "plan": ["yearly"] * 1000, "visits": [3.0] * 1000, "mood": [0.0] * 1000}
)


def equal(n: int, *, amount: float = 7.0) -> list[Judged]:
    found = verdicts(amount=amount, plan="yearly", visits=1.0, mood=0.0)
    return [
        msgspec.structs.replace(row, prediction=msgspec.structs.replace(row.prediction, features=found))
        for row in toy_rows(n, seed=9)
    ]


def test_a_row_that_is_a_large_part_of_the_window_counts_once() -> None:
    found = distinct(SPEC, [*toy_rows(800), *equal(200)], reference=REFERENCE)
    assert (len(found.rows), found.left_out) == (801, 199)


def test_each_of_two_such_rows_counts_once() -> None:
    found = distinct(SPEC, [*equal(300), *toy_rows(400), *equal(300, amount=8.0)], reference=REFERENCE)
    assert (len(found.rows), found.left_out) == (402, 598)


def test_rows_that_are_equal_now_and_then_all_count() -> None:
    found = distinct(SPEC, [*toy_rows(960), *equal(40)], reference=REFERENCE)
    assert (len(found.rows), found.left_out) == (1000, 0)


def test_where_training_had_equal_rows_they_are_what_the_world_is_like() -> None:
    rows = [*toy_rows(100), *equal(900)]
    assert distinct(SPEC, rows, reference=FEW).left_out == 0


def test_what_could_not_be_used_is_no_difference() -> None:
    rows = equal(100)
    for place, row in enumerate(rows):
        row.prediction.features["visits"] = FeatureVerdict(Status.STALE, float(place))
    assert distinct(SPEC, [*toy_rows(500), *rows], reference=REFERENCE).left_out == 99


def test_of_no_rows_there_are_none() -> None:
    assert distinct(SPEC, [], reference=REFERENCE).left_out == 0
