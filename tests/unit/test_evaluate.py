"""One evaluation of everything, and what a stream of them reports."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from monitoring.evaluation.alert import drift_alert
from monitoring.evaluation.drift import Reference, reference_of
from monitoring.evaluation.evaluate import evaluate
from services.core.errors import UnknownVersion
from services.core.features import FeatureVerdict, Status
from services.core.predictions import ServedBy
from services.core.records import EvaluationResult, Judged, ResultKind, ResultStatus, VersionRecord
from services.core.spec import DriftPolicy
from tests.fakes import StoreInMemory
from tests.toy import NOON, toy_spec
from tests.toy_traffic import flipped, toy_reference, toy_rows

SPEC = toy_spec()
WALL = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return reference_of(SPEC, "v1", toy_reference())


def test_a_model_in_good_health_gets_one_result_of_each_kind(reference: Reference) -> None:
    store = StoreInMemory(toy_rows(2500, begin=NOON - 15 * DAY))
    results = _by_kind(_evaluate(store, reference))
    assert set(results) == set(ResultKind)
    assert all(result.status is ResultStatus.OK for result in results.values())
    assert all(result.computed_at == WALL for result in results.values())
    assert results[ResultKind.DRIFT].window_end == NOON
    assert results[ResultKind.PERFORMANCE].window_end == NOON - 2 * DAY
    assert results[ResultKind.AVAILABILITY].body["served_by"] == {"model": 1.0, "rule": 0.0, "last_resort": 0.0}


def test_performance_says_what_speaks_against_its_outcomes(reference: Reference) -> None:
    rows = toy_rows(2500, begin=NOON - 15 * DAY)
    version = VersionRecord(
        model="toy",
        version="v1",
        registered_at=NOON - 15 * DAY,
        training_set="",
        training_set_sha256="",
        training_rows=1,
        evidence={"auc": {"challenger": {"value": 0.78}, "rule": {"value": 0.63}}},
    )

    def doubts(outcomes: list[Judged]) -> list[str]:
        store = StoreInMemory(outcomes)
        store.registered.append(version)
        body = _by_kind(_evaluate(store, reference))[ResultKind.PERFORMANCE].body
        json.dumps(body, allow_nan=False)
        return [doubt["kind"] for doubt in body["doubts"]]

    assert doubts(rows) == []
    assert doubts([flipped(row) for row in rows]) == ["inverted"]
    assert doubts([msgspec.structs.replace(row, outcome="stayed") for row in rows]) == ["one_class"]


def test_an_outcome_that_is_none_of_the_classes_counts_for_neither(reference: Reference) -> None:
    """A spec had other words before, or a feed of somebody else's has."""
    rows = toy_rows(2500, begin=NOON - 15 * DAY)
    half = [row if place % 2 else msgspec.structs.replace(row, outcome=None) for place, row in enumerate(rows)]
    odd = [
        msgspec.structs.replace(row, outcome="Left!") if given.outcome and row.outcome is None else row
        for row, given in zip(half, rows, strict=True)
    ]

    expected, found = (_by_kind(_evaluate(StoreInMemory(each), reference)) for each in (half, odd))

    for kind in (ResultKind.PERFORMANCE, ResultKind.BUSINESS):
        assert found[kind].status is ResultStatus.OK
        assert found[kind].body == expected[kind].body
    assert found[ResultKind.PERFORMANCE].body["coverage"] < 0.6


def test_of_too_few_outcomes_nobody_knows_whether_they_can_be_true(reference: Reference) -> None:
    store = StoreInMemory(toy_rows(120, begin=NOON - 5 * DAY))

    assert "doubts" not in _by_kind(_evaluate(store, reference))[ResultKind.PERFORMANCE].body


def test_every_body_is_strict_json(reference: Reference) -> None:
    store = StoreInMemory(toy_rows(2500, begin=NOON - 15 * DAY))
    for result in _evaluate(store, reference):
        json.dumps(result.body, allow_nan=False)


def test_an_empty_store_is_not_enough_data_for_anything(reference: Reference) -> None:
    results = _evaluate(StoreInMemory(), reference)
    assert {result.status for result in results} == {ResultStatus.NOT_ENOUGH_DATA}
    assert {result.kind for result in results} == set(ResultKind)


def test_without_a_champion_availability_is_told_and_drift_is_unknown(reference: Reference) -> None:
    rows = [
        Judged(msgspec.structs.replace(row.prediction, served_by=ServedBy.RULE, score=0.6))
        for row in toy_rows(700, begin=NOON - 5 * DAY)
    ]
    results = _by_kind(_evaluate(StoreInMemory(rows), reference, champion=None))
    assert results[ResultKind.AVAILABILITY].body["served_by"]["rule"] == 1.0
    assert results[ResultKind.DRIFT].status is ResultStatus.NOT_ENOUGH_DATA
    assert results[ResultKind.PERFORMANCE].status is ResultStatus.NOT_ENOUGH_DATA


def test_a_step_that_fails_says_why_and_the_others_go_on() -> None:
    def lost(version: str) -> Reference:
        raise UnknownVersion(f"version {version!r} is gone")

    store = StoreInMemory(toy_rows(2500, begin=NOON - 15 * DAY))
    results = _by_kind(evaluate(SPEC, store=store.port, champion="v1", reference=lost, now=NOON, wall_now=WALL))
    assert results[ResultKind.DRIFT].status is ResultStatus.FAILED
    assert results[ResultKind.DRIFT].body["reason"] == "UnknownVersion: version 'v1' is gone"
    assert results[ResultKind.PERFORMANCE].status is ResultStatus.OK


def test_a_measure_that_raises_spoils_the_business_alone(reference: Reference) -> None:
    def breaks(judged: Judged) -> float:
        raise ZeroDivisionError("no customers")

    spec = toy_spec(measures=tuple(replace(measure, value=breaks) for measure in SPEC.measures))
    store = StoreInMemory(toy_rows(2500, begin=NOON - 15 * DAY))
    results = _by_kind(
        evaluate(spec, store=store.port, champion="v1", reference=lambda _: reference, now=NOON, wall_now=WALL)
    )
    assert results[ResultKind.BUSINESS].status is ResultStatus.FAILED
    assert "no customers" in results[ResultKind.BUSINESS].body["reason"]
    assert results[ResultKind.DRIFT].status is ResultStatus.OK


def test_a_broken_feed_shows_as_unavailable_and_not_as_drift(reference: Reference) -> None:
    rows = [
        Judged(
            msgspec.structs.replace(
                row.prediction, features=row.prediction.features | {"visits": FeatureVerdict(Status.STALE, 0.0)}
            )
        )
        for row in toy_rows(700, begin=NOON - 5 * DAY)
    ]
    results = _by_kind(_evaluate(StoreInMemory(rows), reference))
    assert results[ResultKind.AVAILABILITY].body["features"]["visits"]["stale"] == 1.0
    assert results[ResultKind.DRIFT].body["drifted"] == []
    assert results[ResultKind.DRIFT].body["features"]["visits"]["status"] == "not_enough_data"


def test_a_change_is_reported_once_two_windows_have_found_it_and_dated_before_it_was_found(
    reference: Reference,
) -> None:
    changed = NOON
    store = StoreInMemory(
        toy_rows(1500, begin=changed - 10 * DAY, every=DAY / 150)
        + toy_rows(1500, begin=changed, every=DAY / 150, richer=1.0, first=5000)
    )
    confirmed = [result for result in _stream(store, reference, days=10) if result.body["confirmed"]]
    found = confirmed[0]
    assert found.window_end <= changed + 4 * DAY
    assert found.body["confirmed_features"] == ["amount"]
    assert abs(datetime.fromisoformat(found.body["since"]) - changed) <= 2.5 * DAY
    assert {result.body["since"] for result in confirmed} == {found.body["since"]}


def test_a_hundred_days_without_change_raise_no_more_alarms_than_the_budget_allows(reference: Reference) -> None:
    store = StoreInMemory(toy_rows(10_500, begin=NOON - 5 * DAY, every=DAY / 100))
    confirmed = [result.body["confirmed"] for result in _stream(store, reference, days=100)]
    onsets = sum(now and not before for before, now in zip([False, *confirmed], confirmed, strict=False))
    assert len(confirmed) == 100
    assert onsets <= 100 / DriftPolicy().false_alarm_days


def test_confirmed_drift_becomes_an_alertmanager_payload_that_stays_the_same_while_it_lasts(
    reference: Reference,
) -> None:
    store = StoreInMemory(toy_rows(1500, begin=NOON - 5 * DAY, every=DAY / 150, richer=1.0))
    payloads = [drift_alert(SPEC, result) for result in _stream(store, reference, days=5)]
    # 150 rows a day: after two days there are the 300 that can confirm the first find by themselves.
    assert payloads[:2] == [None, None]
    first, second = payloads[2], payloads[3]
    assert first is not None
    assert first == second
    (alert,) = first["alerts"]
    assert (first["version"], alert["labels"]["alertname"], alert["labels"]["model"]) == ("4", "ModelInputDrift", "toy")
    assert alert["annotations"]["features"] == "amount"
    assert datetime.fromisoformat(alert["annotations"]["since"]).tzinfo is not None


def test_looking_again_at_a_window_repeats_no_alert(reference: Reference) -> None:
    store = StoreInMemory(toy_rows(1500, begin=NOON - 5 * DAY, every=DAY / 150, richer=1.0))
    *_, last = _stream(store, reference, days=3)
    again = _drift(_evaluate(store, reference, now=last.window_end + timedelta(minutes=10)))
    assert again.body["confirmed"]
    assert drift_alert(SPEC, again) is None


def test_equal_rows_of_one_caller_are_one_row_and_no_drift(reference: Reference) -> None:
    (again,) = toy_rows(1, richer=3.0, begin=NOON - DAY)
    flood = [_at(again, NOON - DAY + place * timedelta(milliseconds=3)) for place in range(4000)]
    store = StoreInMemory([*toy_rows(2500, begin=NOON - 5 * DAY, every=DAY / 200), *flood])
    results = _stream(store, reference, days=6)
    assert not any(result.body["confirmed"] or result.body["drifted"] for result in results)
    assert [result.body["repeated_rows"] for result in results[:4]] == [3999] * 4


def test_a_burst_of_other_rows_does_not_confirm_itself(reference: Reference) -> None:
    """It is in every window for five days, and in none that shares no rows with the first that found it."""
    burst = toy_rows(2000, seed=7, richer=1.0, begin=NOON - DAY, every=timedelta(milliseconds=5), first=10_000)
    store = StoreInMemory([*toy_rows(2600, begin=NOON - 5 * DAY, every=DAY / 200), *burst])
    results = _stream(store, reference, days=7)
    assert "amount" in results[0].body["drifted"]
    assert not any(result.body["confirmed"] for result in results)
    assert drift_alert(SPEC, results[-1]) is None


@pytest.mark.parametrize("changed", [0.5, 1.5, 2.5, 4.0])
def test_a_change_is_not_said_to_be_older_than_it_is_nor_much_younger(reference: Reference, changed: float) -> None:
    change = NOON - 5 * DAY + changed * DAY
    before = toy_rows(round(200 * changed), begin=NOON - 5 * DAY, every=DAY / 200)
    after = toy_rows(2000, seed=3, begin=change, every=DAY / 200, richer=1.0, first=10_000)
    results = _stream(StoreInMemory([*before, *after]), reference, days=7)
    confirmed = next(result.body for result in results if result.body["confirmed"])
    since = datetime.fromisoformat(confirmed["since"])
    assert change - timedelta(hours=6) <= since <= change + DAY


def test_a_change_from_before_the_window_is_as_old_as_the_window(reference: Reference) -> None:
    store = StoreInMemory(toy_rows(2500, begin=NOON - 6 * DAY, every=DAY / 200, richer=1.0))
    first = _stream(store, reference, days=1)[0]
    since = datetime.fromisoformat(first.body["streaks"]["amount"]["since"])
    assert NOON - 5 * DAY <= since <= NOON - 4 * DAY


def _at(row: Judged, moment: datetime) -> Judged:
    made = msgspec.structs.replace(row.prediction, made_at=moment, prediction_id=f"again-{moment.isoformat()}")
    return msgspec.structs.replace(row, prediction=made)


def _stream(store: StoreInMemory, reference: Reference, *, days: int) -> list[EvaluationResult]:
    """The drift results of daily evaluations from noon on, each stored as the monitor stores it."""
    found = []
    for day in range(days):
        result = _drift(_evaluate(store, reference, now=NOON + day * DAY))
        store.save_results([result])
        found.append(result)
    return found


def _evaluate(
    store: StoreInMemory, reference: Reference, *, champion: str | None = "v1", now: datetime = NOON
) -> list[EvaluationResult]:
    return evaluate(SPEC, store=store.port, champion=champion, reference=lambda _: reference, now=now, wall_now=WALL)


def _by_kind(results: list[EvaluationResult]) -> dict[ResultKind, EvaluationResult]:
    return {result.kind: result for result in results}


def _drift(results: list[EvaluationResult]) -> EvaluationResult:
    return _by_kind(results)[ResultKind.DRIFT]
