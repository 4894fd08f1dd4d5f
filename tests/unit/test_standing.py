"""Which doubts about outcomes stand now."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from monitoring.evaluation.standing import BELIEVED, DOUBTS, standing_doubts
from services.core.records import EvaluationResult, Job, JobState, ResultKind
from tests.toy import NOON, drift_result

DAY = timedelta(days=1)


def doubt(*, since: datetime = NOON, kind: str = "inverted") -> dict[str, str]:
    return {"kind": kind, "since": since.isoformat(), "reason": f"outcomes look {kind}"}


def judged(body: dict[str, Any], *, window_end: datetime = NOON + DAY) -> EvaluationResult:
    return msgspec.structs.replace(drift_result(body, window_end=window_end), kind=ResultKind.PERFORMANCE)


def job(number: int, state: JobState, evidence: dict[str, Any], *, opened_at: datetime = NOON + DAY) -> Job:
    return Job(
        id=number,
        model="toy",
        trigger="drift",
        dedupe_key=str(number),
        state=state,
        since=NOON,
        opened_at=opened_at,
        closed_at=None if state.open else opened_at + DAY,
        evidence=evidence,
    )


def test_the_newest_judgement_says_what_is_doubted() -> None:
    assert standing_doubts([judged({DOUBTS: [doubt()]})], []) == [doubt()]


def test_outcomes_that_can_be_believed_are_not_those_of_which_nobody_knows() -> None:
    assert standing_doubts([judged({DOUBTS: []})], []) == []
    assert standing_doubts([judged({})], []) is None


def test_what_stopped_the_newest_retraining_stands_until_all_that_is_judged_is_newer() -> None:
    stopped = job(1, JobState.OUTCOMES_DOUBTED, {DOUBTS: [doubt()]})

    assert standing_doubts([judged({DOUBTS: []})], [stopped]) == [doubt()]
    assert standing_doubts([judged({DOUBTS: []}, window_end=NOON + 30 * DAY)], [stopped]) == []


def test_a_later_retraining_that_was_not_stopped_ends_it() -> None:
    stopped, later = job(1, JobState.OUTCOMES_DOUBTED, {DOUBTS: [doubt()]}), job(2, JobState.PROMOTED, {})

    assert standing_doubts([judged({DOUBTS: []})], [later, stopped]) == []


def test_an_open_retraining_does_not() -> None:
    stopped, waiting = job(1, JobState.OUTCOMES_DOUBTED, {DOUBTS: [doubt()]}), job(2, JobState.WAITING, {})

    assert standing_doubts([judged({DOUBTS: []})], [waiting, stopped]) == [doubt()]


def test_what_a_person_has_believed_is_doubted_no_more_and_what_comes_later_is() -> None:
    believed = job(2, JobState.AWAITS_APPROVAL, {BELIEVED: "they moved"}, opened_at=NOON + DAY)

    assert standing_doubts([judged({DOUBTS: [doubt()]})], [believed]) == []
    assert standing_doubts([judged({DOUBTS: [doubt(since=NOON + 2 * DAY)]})], [believed]) != []
