"""A request is refused for all its faults at once, and for nothing that is the world's doing."""

from datetime import timedelta
from typing import Any

import pytest

from services.core.errors import InvalidRequest
from services.core.features import Reading
from services.serving.requests import (
    FAULTS_AT_MOST,
    Listing,
    entity_id,
    feature_readings,
    outcome,
    prediction_request,
)
from tests.toy import NOON, toy_spec

SPEC = toy_spec()


def asked(**changes: Any) -> dict[str, Any]:
    return {"entity_id": "u", "features": {"amount": 1, "plan": "monthly"}} | changes


def faults_of(call: Any, *args: Any, **kwargs: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as refused:
        call(*args, **kwargs)
    return {fault.field: fault.problem for fault in refused.value.faults}


def test_a_sound_request_has_its_values_in_the_types_of_the_spec() -> None:
    request = prediction_request(SPEC, asked(request_id="r", started_at="2026-03-01T13:00:00+01:00"))
    assert (request.entity_id, request.request_id, request.started_at) == ("u", "r", NOON)
    assert request.features == {"amount": 1.0, "plan": "monthly"}
    assert isinstance(request.features["amount"], float)


def test_null_and_absent_features_are_left_to_availability() -> None:
    assert prediction_request(SPEC, asked(features={"amount": None})).features == {}


def test_values_out_of_range_and_unseen_categories_are_left_to_availability() -> None:
    features = {"amount": -5.0, "plan": "weekly"}
    assert prediction_request(SPEC, asked(features=features)).features == features


def test_every_fault_is_named_at_once() -> None:
    body = {
        "entity_id": "",
        "features": {"amount": "1.5", "plan": 3, "visits": 2, "plam": "monthly"},
        "request_id": 7,
        "started_at": "2026-03-01T12:00:00",
        "extra": 1,
    }
    faults = faults_of(prediction_request, SPEC, body)
    assert faults == {
        "extra": "is unknown; expected entity_id, features, request_id, started_at",
        "entity_id": "found 0 characters, expected 1 to 200",
        "features.amount": "found a string, expected a number",
        "features.plan": "found a number, expected a string",
        "features.visits": "comes from the online store; PUT it to the entity's features instead",
        "features.plam": "is unknown; expected amount, plan",
        "request_id": "found a number, expected a string",
        "started_at": "found '2026-03-01T12:00:00', expected a time with its offset, such as 2026-03-01T12:00:00Z",
    }


@pytest.mark.parametrize("value", [True, "1.5", [1], {"v": 1}, 10**400, float("nan"), float("inf")])
def test_what_is_no_finite_json_number_is_refused_for_a_number(value: Any) -> None:
    assert list(faults_of(prediction_request, SPEC, asked(features={"amount": value}))) == ["features.amount"]


def test_an_id_or_category_of_document_length_is_refused() -> None:
    body = asked(entity_id="u" * 201, features={"plan": "m" * 201})
    assert list(faults_of(prediction_request, SPEC, body)) == ["entity_id", "features.plan"]


@pytest.mark.parametrize("body", [None, [], "x", 1])
def test_a_body_that_is_no_object_is_one_fault(body: Any) -> None:
    assert list(faults_of(prediction_request, SPEC, body)) == ["body"]


def test_a_missing_member_is_one_fault_and_not_two() -> None:
    assert faults_of(prediction_request, SPEC, {}) == {"entity_id": "is missing", "features": "is missing"}


def test_online_features_come_with_their_own_time_and_null_says_that_there_is_no_value() -> None:
    body = {"features": {"visits": {"value": 3, "observed_at": "2026-03-01T11:00:00Z"}}}
    assert feature_readings(SPEC, body, now=NOON) == {"visits": Reading(3.0, NOON - timedelta(hours=1))}
    body["features"]["visits"]["value"] = None
    assert feature_readings(SPEC, body, now=NOON)["visits"].value is None


def test_a_reading_from_the_future_is_refused_because_it_would_hide_every_true_one_after_it() -> None:
    body = {"features": {"visits": {"value": 3, "observed_at": "2026-03-01T15:00:00Z"}}}
    assert "3 h in the future" in faults_of(feature_readings, SPEC, body, now=NOON)["features.visits.observed_at"]


def test_faults_of_written_features_are_named_at_once() -> None:
    body = {"features": {"visits": 3, "mood": {"value": True}, "amount": {}, "x": {}}}
    faults = faults_of(feature_readings, SPEC, body, now=NOON)
    assert faults["features.visits"] == "found a number, expected an object with value and observed_at"
    assert faults["features.mood.observed_at"] == "is missing"
    assert faults["features.mood.value"] == "found a boolean, expected a number"
    assert "request to predict" in faults["features.amount"]
    assert "features.x" in faults


def test_an_outcome_is_one_of_the_two_classes_at_a_known_time() -> None:
    body = {"prediction_id": "p", "value": "left", "observed_at": "2026-03-01T12:00:00Z"}
    assert outcome(SPEC, body, now=NOON).value == "left"
    wrong = body | {"value": "gone", "observed_at": "2026-03-02T12:00:00Z"}
    assert list(faults_of(outcome, SPEC, wrong, now=NOON)) == ["value", "observed_at"]
    assert list(faults_of(outcome, SPEC, {"value": True}, now=NOON)) == ["prediction_id", "observed_at", "value"]


CONTROLS = ["\x00", "\n", "\x1b", "\x7f", "\x9b", "\ud800"]


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_character_is_refused_wherever_a_caller_chooses_a_text(control: str) -> None:
    text = f"x{control}y"
    problem = f"found the control character U+{ord(control):04X} at place 1, expected none"
    body = asked(entity_id=text, request_id=text, features={"plan": text})
    assert faults_of(prediction_request, SPEC, body) == dict.fromkeys(
        ("entity_id", "features.plan", "request_id"), problem
    )
    wrong = {"prediction_id": text, "value": text, "observed_at": text}
    assert list(faults_of(outcome, SPEC, wrong, now=NOON)) == ["prediction_id", "value", "observed_at"]
    assert faults_of(entity_id, text) == {"entity_id": problem}


def test_a_name_is_repeated_without_its_control_characters_and_never_whole() -> None:
    faults = faults_of(prediction_request, SPEC, asked(features={"a\x1b[31m" + "b" * 1000: 1}, **{"x\x00": 1}))
    assert list(faults) == ["x\ufffd", "features.a\ufffd[31m" + "b" * 58]


def test_the_id_of_a_prediction_has_the_limit_of_all_ids() -> None:
    body = {"prediction_id": "p" * 201, "value": "left", "observed_at": "2026-03-01T12:00:00Z"}
    assert faults_of(outcome, SPEC, body, now=NOON) == {"prediction_id": "found 201 characters, expected 1 to 200"}


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00+00:00",
        "0001-01-01T00:00:00+14:00",
        "1677-12-31T23:59:59.999999Z",
        "2262-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_a_time_that_no_store_takes_is_refused(moment: str) -> None:
    assert list(faults_of(prediction_request, SPEC, asked(started_at=moment))) == ["started_at"]
    told = {"prediction_id": "p", "value": "left", "observed_at": moment}
    assert list(faults_of(outcome, SPEC, told, now=NOON)) == ["observed_at"]
    read = {"features": {"visits": {"value": 1, "observed_at": moment}}}
    assert list(faults_of(feature_readings, SPEC, read, now=NOON)) == ["features.visits.observed_at"]


def test_a_leap_second_is_refused_for_what_it_is() -> None:
    told = faults_of(prediction_request, SPEC, asked(started_at="2016-12-31T23:59:60Z"))["started_at"]
    assert "a second from 00 to 59 (of a leap second send the 59th)" in told


def refusal(call: Any, *args: Any, **kwargs: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        call(*args, **kwargs)
    return refused.value


def test_faults_without_end_are_counted_and_the_first_of_them_listed() -> None:
    error = refusal(prediction_request, SPEC, asked(features={f"x{number}": 1 for number in range(10_000)}))
    assert (len(error.faults), error.beyond) == (FAULTS_AT_MOST, 9_900)
    assert str(error.listed[-1]) == "body: and 9900 more faults"
    assert str(error).endswith("features.x99: is unknown; body: and 9900 more faults")


def test_the_names_that_were_expected_are_said_once() -> None:
    faults = faults_of(prediction_request, SPEC, asked(features={"a": 1, "b": 2}))
    assert faults == {"features.a": "is unknown; expected amount, plan", "features.b": "is unknown"}


def test_an_absent_member_is_one_fault_behind_many_others_too() -> None:
    readings: dict[str, Any] = {f"x{number}": 1 for number in range(1000)} | {"visits": {}}
    error = refusal(feature_readings, SPEC, {"features": readings}, now=NOON)
    assert len(error.faults) + error.beyond == 1000 + 2


def test_the_rows_of_a_call_share_what_is_listed_and_each_says_one_fault_at_least() -> None:
    listing = Listing()
    errors = [refusal(prediction_request, SPEC, asked(features={f"x{n}": 1 for n in range(60)})) for _ in range(4)]
    shortened = [listing.shortened(error) for error in errors]
    assert [(len(each.faults), each.beyond) for each in shortened] == [(60, 0), (40, 20), (1, 59), (1, 59)]
    assert ["expected" in str(each) for each in shortened] == [True, False, False, False]
