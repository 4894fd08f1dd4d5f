"""Shares, ages and causes, from recorded verdicts."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from monitoring.evaluation.availability_report import FAILED_TO_SCORE, NO_VERSION, availability_report
from services.core.features import FeatureVerdict, Status
from services.core.predictions import PredictionMade, ServedBy
from tests.toy import prediction, toy_spec, verdicts

HOUR = timedelta(hours=1).total_seconds()
STALE = FeatureVerdict(Status.STALE, 3.0, 9 * HOUR)
MISSING = FeatureVerdict(Status.MISSING)
IMPUTED = FeatureVerdict(Status.SOURCE_DOWN, imputed=0.0)


def answer(served_by: ServedBy = ServedBy.MODEL, version: str = "v1", **found: FeatureVerdict) -> PredictionMade:
    features = verdicts(amount=10.0, plan="monthly", visits=3.0, mood=0.5) | found
    return prediction(features=features, served_by=served_by, version=version)


def by_rule(version: str = "v1", **found: FeatureVerdict) -> PredictionMade:
    return answer(ServedBy.RULE, version, **found)


def report(*answers: PredictionMade) -> dict[str, Any]:
    return availability_report(toy_spec(), answers)


def test_the_shares_of_a_feature_s_statuses_add_up_to_one() -> None:
    visits = report(answer(), answer(), by_rule(visits=STALE), by_rule(visits=MISSING))["features"]["visits"]

    assert visits["n"] == 4
    assert visits["status"] == {
        "ok": 0.5, "missing": 0.25, "stale": 0.25, "invalid": 0.0, "too_early": 0.0, "source_down": 0.0
    }  # fmt: skip


def test_an_answer_from_before_a_feature_was_declared_says_nothing_about_it() -> None:
    earlier = prediction(features=verdicts(amount=10.0, plan="monthly", mood=0.5))

    features = report(earlier)["features"]

    assert (features["visits"]["n"], features["visits"]["status"], features["visits"]["imputed"]) == (0, None, None)
    assert features["amount"]["n"] == 1


def test_ages_are_those_of_values_that_were_found_and_stand_beside_their_limit() -> None:
    aged = [answer(visits=FeatureVerdict(Status.OK, 3.0, hours * HOUR)) for hours in range(1, 101)]

    features = report(*aged, by_rule(visits=MISSING))["features"]

    assert features["visits"]["age_seconds"] == {
        "p50": 50 * HOUR, "p90": 90 * HOUR, "p99": 99 * HOUR, "max": 100 * HOUR
    }  # fmt: skip
    assert features["visits"]["max_age_seconds"] == 6 * HOUR
    assert (features["amount"]["age_seconds"], features["amount"]["max_age_seconds"]) == (None, None)


def test_an_imputed_feature_is_counted_and_blamed_for_nothing() -> None:
    mood = report(answer(mood=IMPUTED), by_rule(mood=IMPUTED, visits=STALE))["features"]["mood"]

    assert mood["imputed"] == 1.0
    assert mood["kept_from_model"] == {"alone": 0.0, "with_others": 0.0}


def test_a_feature_is_blamed_alone_or_with_others_for_answers_that_the_model_did_not_give() -> None:
    alone, both = by_rule(visits=STALE), by_rule(visits=STALE, amount=MISSING)

    features = report(*[answer()] * 6, alone, alone, alone, both)["features"]

    assert features["visits"]["kept_from_model"] == {"alone": 0.75, "with_others": 0.25}
    assert features["amount"]["kept_from_model"] == {"alone": 0.0, "with_others": 0.25}
    assert features["plan"]["kept_from_model"] == {"alone": 0.0, "with_others": 0.0}


def test_when_the_model_gave_every_answer_nobody_is_to_blame_and_the_share_is_unknown() -> None:
    found = report(answer(), answer())

    assert found["reasons"] == []
    assert {each["kept_from_model"] for each in found["features"].values()} == {None}


def test_without_a_loaded_version_no_feature_is_to_blame() -> None:
    found = report(by_rule(version="", visits=STALE))

    assert found["reasons"] == [{"reason": NO_VERSION, "share": 1.0}]
    assert found["features"]["visits"]["kept_from_model"] == {"alone": 0.0, "with_others": 0.0}


def test_the_reasons_come_with_the_most_frequent_first() -> None:
    found = report(answer(), by_rule(visits=STALE), by_rule(visits=STALE, amount=MISSING), by_rule(), by_rule())

    assert [(each["reason"], each["share"]) for each in found["reasons"]] == [
        ("visits stale", 0.5),
        (FAILED_TO_SCORE, 0.5),
        ("amount missing", 0.25),
    ]


def test_what_the_service_said_of_a_row_that_it_could_not_score_is_the_reason() -> None:
    said = "it was not trained for plan: found 'weekly', expected one of monthly, yearly"
    failed = msgspec.structs.replace(by_rule(), reasons=[f"version v1 failed to score: {said}", "plan is weekly"])

    assert report(failed)["reasons"] == [{"reason": f"{FAILED_TO_SCORE}: {said}", "share": 1.0}]


@pytest.mark.parametrize("who", list(ServedBy))
def test_who_answered_is_a_share_of_all_answers(who: ServedBy) -> None:
    assert report(answer(), by_rule(visits=STALE), answer(ServedBy.LAST_RESORT), answer(who))["served_by"][who] == 0.5
