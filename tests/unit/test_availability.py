"""One status per feature, and never a value that may not be used."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import FeatureSourceDown
from services.core.features import FeatureVerdict, Reading, Status
from services.core.limits import text_problem
from services.core.spec import LARGEST, Feature, ModelSpec, Numeric, Source, Unavailable
from services.serving.availability import availability, blocking, in_words, usable
from tests.toy import NOON, toy_spec

SPEC = toy_spec()
GIVEN = {"amount": 10.0, "plan": "monthly"}


def reading(value: Any = 3.0, **age: float) -> Reading:
    return Reading(value, NOON - timedelta(**age))


FRESH = {"visits": reading(hours=1), "mood": reading(hours=1)}


def verdicts(spec: ModelSpec = SPEC, **changes: Any) -> dict[str, FeatureVerdict]:
    found: dict[str, Any] = {"given": GIVEN, "readings": FRESH, "now": NOON, "started_at": None}
    return availability(spec, **(found | changes))


def visits(**changes: Any) -> FeatureVerdict:
    return verdicts(readings=FRESH | {"visits": changes.pop("reading")}, **changes)["visits"]


def test_the_verdicts_stand_in_the_order_of_the_spec() -> None:
    assert tuple(verdicts(given={"plan": "yearly", "amount": 1.0})) == SPEC.feature_names


def test_present_fresh_valid_values_are_ok_and_online_ones_tell_their_age() -> None:
    found = verdicts()
    assert {each.status for each in found.values()} == {Status.OK}
    assert (found["visits"].age_seconds, found["amount"].age_seconds) == (3600.0, None)
    assert usable(found) == GIVEN | {"visits": 3.0, "mood": 3.0}
    assert blocking(SPEC, found) == ()


def test_a_value_is_fresh_up_to_its_limit_and_stale_beyond_it() -> None:
    assert visits(reading=reading(hours=6)).status is Status.OK
    beyond = visits(reading=reading(hours=50))
    assert (beyond.status, beyond.value, beyond.usable) == (Status.STALE, 3.0, None)


def test_a_stale_feature_blocks_in_plain_words() -> None:
    found = verdicts(readings=FRESH | {"visits": reading(hours=50)})
    assert blocking(SPEC, found) == ("visits is stale: 50 h old, limit 6 h",)


def test_a_value_from_the_future_is_invalid_but_a_skew_between_clocks_is_not() -> None:
    assert visits(reading=reading(seconds=-3600)).status is Status.INVALID
    skewed = visits(reading=reading(seconds=-2))
    assert (skewed.status, skewed.age_seconds) == (Status.OK, 0.0)


@pytest.mark.parametrize("value", [True, "3", -1.0, float("nan"), float("inf")])
def test_a_stored_value_that_is_no_such_number_is_invalid_whatever_its_age(value: Any) -> None:
    for age in (1, 50):
        assert visits(reading=reading(value, hours=age)).status is Status.INVALID


def test_a_bool_in_the_store_is_not_carried_into_the_record() -> None:
    assert visits(reading=reading(True, hours=1)).value is None


def test_a_source_that_says_that_it_has_no_value_is_missing_like_one_that_says_nothing() -> None:
    assert visits(reading=reading(None, hours=1)).status is Status.MISSING
    assert verdicts(readings={})["visits"].status is Status.MISSING


def test_an_absent_request_feature_is_missing_and_an_unseen_category_invalid() -> None:
    found = verdicts(given={"plan": "weekly"})
    assert (found["amount"].status, found["plan"].status) == (Status.MISSING, Status.INVALID)
    assert found["plan"].value == "weekly"


def test_a_source_that_is_down_takes_only_the_online_features() -> None:
    found = verdicts(readings=FeatureSourceDown("no answer within 20 ms"))
    assert [each.status for each in found.values()] == [Status.OK, Status.OK, Status.SOURCE_DOWN, Status.SOURCE_DOWN]
    assert blocking(SPEC, found) == ("visits could not be looked up: no answer within 20 ms",)


def test_an_imputed_feature_keeps_its_status_and_does_not_block() -> None:
    found = verdicts(readings={"visits": reading(hours=1)})
    assert (found["mood"].status, found["mood"].imputed, found["mood"].usable) == (Status.MISSING, 0.0, 0.0)
    assert blocking(SPEC, found) == ()


def test_an_optional_feature_leaves_a_gap_and_does_not_block() -> None:
    spec = toy_spec(features=(*SPEC.features[:2], early(if_unavailable=Unavailable.OPTIONAL)))
    found = verdicts(spec)
    assert "interest" not in usable(found)
    assert blocking(spec, found) == ()


def test_a_value_is_too_early_before_its_time_even_when_it_is_there() -> None:
    spec = toy_spec(features=(*SPEC.features[:2], early()))
    readings = {"interest": reading(hours=0)}
    for started_at in (None, NOON - timedelta(hours=2)):
        found = verdicts(spec, readings=readings, started_at=started_at)
        assert found["interest"].status is Status.TOO_EARLY
    assert verdicts(spec, readings=readings, started_at=NOON - timedelta(hours=3))["interest"].status is Status.OK
    assert blocking(spec, found) == ("interest is not known yet: known 3 h after the entity's start, asked 2 h after",)


def test_a_value_observed_before_its_time_stays_too_early_however_late_it_is_read() -> None:
    spec = toy_spec(features=(*SPEC.features[:2], early()))
    readings = {"interest": reading(hours=2)}
    found = verdicts(spec, readings=readings, started_at=NOON - timedelta(hours=4))
    assert found["interest"].status is Status.TOO_EARLY
    assert found["interest"].problem == "known 3 h after the entity's start, observed 60 min sooner"
    assert verdicts(spec, readings=readings, started_at=NOON - timedelta(hours=5))["interest"].status is Status.OK


@given(
    value=st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=5)),
    age=st.timedeltas(min_value=timedelta(days=-2), max_value=timedelta(days=2)),
)
def test_whatever_a_store_holds_only_a_fresh_valid_value_is_usable(value: Any, age: timedelta) -> None:
    verdict = visits(reading=Reading(value, NOON - age))
    sound = isinstance(value, float) and 0 <= value <= LARGEST and timedelta(seconds=-5) <= age <= timedelta(hours=6)
    assert (verdict.status is Status.OK) == sound
    assert verdict.usable == (value if sound else None)


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (90, "90 s"), (3000, "50 min"), (129_600, "36 h"), (1_036_800, "12 d")]
)
def test_durations_read_like_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def early(**more: Any) -> Feature:
    return Feature(
        "interest",
        Numeric(),
        Source.ONLINE,
        meaning="Interest in the first hours",
        owner="tests",
        refreshed="hourly",
        max_age=timedelta(hours=6),
        known_after=timedelta(hours=3),
        **more,
    )


def test_a_stored_text_that_no_record_store_takes_is_recorded_without_its_control_characters() -> None:
    (verdict,) = availability(
        toy_spec(features=toy_spec().online_features[:1], slices=()),
        given={},
        readings={"visits": Reading("a\x00b\nc", NOON)},
        now=NOON,
        started_at=None,
    ).values()
    assert (verdict.status, verdict.value) == (Status.INVALID, "a\ufffdb c")
    assert text_problem(verdict.problem or "") is None
