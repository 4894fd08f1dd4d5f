"""Which doubts about outcomes stand now."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from monitoring.evaluation.standing import BELIEVED, CHECKED_UNTIL, DOUBTS, GROUP, SAID_BY, standing_doubts
from services.core.records import EvaluationResult, Job, JobState, ResultKind
from tests.toy import NOON, drift_result

DAY = timedelta(days=1)


def doubt(*, since: datetime = NOON, kind: str = "inverted") -> dict[str, str]:
    return {"kind": kind, "since": since.isoformat(), "reason": f"outcomes look {kind}"}


def judged(
    body: dict[str, Any], *, window_end: datetime = NOON + DAY, since: datetime | None = None
) -> EvaluationResult:
    result = msgspec.structs.replace(drift_result(body, window_end=window_end), kind=ResultKind.PERFORMANCE)
    return result if since is None else msgspec.structs.replace(result, window_start=since)


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


def test_a_later_retraining_that_found_outcomes_good_ends_it() -> None:
    stopped, later = job(1, JobState.OUTCOMES_DOUBTED, {DOUBTS: [doubt()]}), job(2, JobState.REFUSED, {DOUBTS: []})

    assert standing_doubts([judged({DOUBTS: []})], [later, stopped]) == []


@pytest.mark.parametrize("state", [JobState.REFUSED, JobState.FAILED])
def test_a_later_retraining_that_ended_without_a_look_at_outcomes_does_not(state: JobState) -> None:
    stopped, later = job(1, JobState.OUTCOMES_DOUBTED, {DOUBTS: [doubt()]}), job(2, state, {})

    assert standing_doubts([judged({DOUBTS: []})], [later, stopped]) == [doubt()]


def test_a_later_judgement_of_the_same_time_that_finds_no_fault_ends_it() -> None:
    since = NOON + timedelta(hours=30)
    evidence = {DOUBTS: [doubt(since=since)], CHECKED_UNTIL: (NOON + 2 * DAY).isoformat()}
    stopped = job(1, JobState.OUTCOMES_DOUBTED, evidence, opened_at=NOON + 3 * DAY)
    same = judged({DOUBTS: []}, window_end=NOON + 2 * DAY, since=NOON)
    later = judged({DOUBTS: []}, window_end=NOON + 3 * DAY, since=NOON)

    assert standing_doubts([same], [stopped]) == [doubt(since=since)]
    assert standing_doubts([later], [stopped]) == []
    assert standing_doubts([later, judged({})], [stopped]) == []


def test_a_judgement_that_does_not_reach_back_so_far_or_knows_less_does_not() -> None:
    until = {CHECKED_UNTIL: (NOON + 2 * DAY).isoformat()}
    group, said = doubt() | {GROUP: "feed is north"}, doubt() | {SAID_BY: "v2"}
    clean = judged({DOUBTS: []}, window_end=NOON + 3 * DAY, since=NOON)

    long_ago = doubt(since=NOON - 9 * DAY)
    assert standing_doubts([clean], [job(1, JobState.OUTCOMES_DOUBTED, {DOUBTS: [long_ago]} | until)]) == [long_ago]
    assert standing_doubts([clean], [job(1, JobState.OUTCOMES_DOUBTED, {DOUBTS: [group]} | until)]) == [group]
    assert standing_doubts([clean], [job(1, JobState.OUTCOMES_DOUBTED, {DOUBTS: [said]} | until)]) == [said]


def test_an_open_retraining_does_not() -> None:
    stopped, waiting = job(1, JobState.OUTCOMES_DOUBTED, {DOUBTS: [doubt()]}), job(2, JobState.WAITING, {})

    assert standing_doubts([judged({DOUBTS: []})], [waiting, stopped]) == [doubt()]


def test_what_a_person_has_believed_is_doubted_no_more_and_what_comes_later_is() -> None:
    believed = job(2, JobState.AWAITS_APPROVAL, {BELIEVED: "they moved"}, opened_at=NOON + DAY)

    assert standing_doubts([judged({DOUBTS: [doubt()]})], [believed]) == []
    assert standing_doubts([judged({DOUBTS: [doubt(since=NOON + 2 * DAY)]})], [believed]) != []
