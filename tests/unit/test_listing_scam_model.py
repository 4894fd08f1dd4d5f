"""The listing_scam model: its costs, its rule, its measures, and what it may know of a listing's first hour."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from services.core.errors import FeatureSourceDown
from services.core.features import FeatureVerdict, Reading, Status, Value
from services.core.predictions import NO_ACTION, Arm
from services.core.records import Judged
from services.core.training import TrainingSet
from services.core.world import Caller, PastCase
from services.models.discovery import folder_of, world_of
from services.models.listing_scam.decide import (
    HOLD_FOR_REVIEW,
    HONEST_HELD_LOSS,
    REVIEW_COST,
    SCAM_LOSS,
    SUSPICIOUS,
    THRESHOLD,
    UNSUSPICIOUS,
)
from services.models.listing_scam.features import FIRST_HOUR, INTERACTIONS, LISTING_AGE
from services.models.listing_scam.measures import honest_listings_blocked, scams_removed_first_hour
from services.models.listing_scam.spec import SPEC
from services.serving.availability import availability, blocking
from services.traffic.mapping import load_mapping
from tests.models.conftest import ORIGIN, SEED, training_set
from tests.toy import prediction, verdicts

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def callers() -> list[Caller]:
    world = world_of(SPEC.name)(seed=SEED, origin=ORIGIN, events=())
    return world.day(0, calls=60)


@pytest.fixture(scope="module")
def cases() -> list[PastCase]:
    return world_of(SPEC.name)(seed=SEED, origin=ORIGIN, events=()).history(rows=2500)


@pytest.fixture(scope="module")
def estimator(cases: list[PastCase]) -> Any:
    return SPEC.train(training_set(SPEC, cases[:1500]))


def scores(estimator: Any, features: pd.DataFrame) -> np.ndarray:
    return np.asarray(estimator.predict_proba(features))[:, 1]


def judged(*, acted: bool, outcome: str | None, minutes: float | None) -> Judged:
    made = prediction(
        model=SPEC.name,
        arm=Arm.TREATMENT if acted else Arm.CONTROL,
        intended_action=HOLD_FOR_REVIEW,
        action=HOLD_FOR_REVIEW if acted else NO_ACTION,
        features={} if minutes is None else verdicts(**{LISTING_AGE: minutes}),
    )
    return Judged(made, outcome)


def test_the_limit_is_where_holding_saves_as_much_as_it_costs() -> None:
    assert pytest.approx(REVIEW_COST + (1 - THRESHOLD) * HONEST_HELD_LOSS) == THRESHOLD * SCAM_LOSS
    assert (SPEC.decide(THRESHOLD).label, SPEC.decide(THRESHOLD).action) == (SUSPICIOUS, HOLD_FOR_REVIEW)
    assert (SPEC.decide(THRESHOLD - 0.001).label, SPEC.decide(THRESHOLD - 0.001).action) == (UNSUSPICIOUS, NO_ACTION)


@pytest.mark.parametrize(
    ("acted", "outcome", "minutes", "removed", "blocked"),
    [
        (True, "scam", 2.0, 1.0, 0.0),
        (True, "scam", 60.0, 1.0, 0.0),
        (True, "scam", 61.0, 0.0, 0.0),
        (True, "scam", None, 0.0, 0.0),
        (True, "honest", 2.0, 0.0, 1.0),
        (True, "honest", 90.0, 0.0, 1.0),
        (True, None, 2.0, 0.0, 0.0),
        (False, "scam", 2.0, 0.0, 0.0),
        (False, "honest", 2.0, 0.0, 0.0),
    ],
)
def test_only_held_listings_count_and_removed_scams_only_in_the_first_hour(
    acted: bool, outcome: str | None, minutes: float | None, removed: float, blocked: float
) -> None:
    case = judged(acted=acted, outcome=outcome, minutes=minutes)
    assert (scams_removed_first_hour(case), honest_listings_blocked(case)) == (removed, blocked)


def test_two_signs_are_enough_for_the_rule_and_it_names_them() -> None:
    known: dict[str, Value] = {"account_age_days": 3.0, "price_to_median": 1.0, "contact_in_text": "no"}
    one = SPEC.rule(known | {"payment_method": "escrow"})
    two = SPEC.rule(known | {"payment_method": "bank transfer"})
    assert one is not None
    assert two is not None
    assert (one.action, two.action) == (NO_ACTION, HOLD_FOR_REVIEW)
    assert two.reasons == ("the account is 3 days old", "only a bank transfer is taken")


@pytest.mark.parametrize("lacking", ["account_age_days", "price_to_median"])
def test_the_rule_does_not_guess_what_it_needs(lacking: str) -> None:
    known: dict[str, Value] = {"account_age_days": 3.0, "price_to_median": 0.5}
    del known[lacking]
    assert SPEC.rule(known) is None


def test_the_first_hour_s_count_is_too_early_at_publication_although_the_store_holds_one(
    callers: Sequence[Caller],
) -> None:
    for caller in first_questions(callers):
        assert caller.feed[INTERACTIONS].value is not None
        found = seen(caller, now=caller.asked_at)
        assert found[INTERACTIONS].status is Status.TOO_EARLY
        assert found[INTERACTIONS].usable is None
        assert not blocking(SPEC, found)


def test_the_first_hour_s_count_is_used_in_a_later_question(callers: Sequence[Caller]) -> None:
    for caller in second_questions(callers):
        found = seen(caller, now=caller.asked_at)
        assert found[INTERACTIONS].usable == caller.feed[INTERACTIONS].value


def test_the_hour_ends_to_the_second(callers: Sequence[Caller]) -> None:
    caller = first_questions(callers)[0]
    assert caller.started_at is not None
    over = caller.started_at + FIRST_HOUR
    last_moment = caller.feed | {INTERACTIONS: Reading(7.0, over - SECOND)}
    whole_hour = caller.feed | {INTERACTIONS: Reading(7.0, over)}
    assert seen(caller, now=over - SECOND, feed=last_moment)[INTERACTIONS].status is Status.TOO_EARLY
    assert seen(caller, now=over, feed=last_moment)[INTERACTIONS].status is Status.TOO_EARLY
    assert seen(caller, now=over, feed=whole_hour)[INTERACTIONS].usable == 7.0


def test_a_count_that_stopped_at_publication_is_stale_in_a_later_question(callers: Sequence[Caller]) -> None:
    for caller in second_questions(callers):
        assert caller.started_at is not None
        found = seen(caller, now=caller.asked_at, feed=caller.feed | {INTERACTIONS: Reading(0.0, caller.started_at)})
        assert found[INTERACTIONS].status is Status.STALE
        assert not blocking(SPEC, found)


def test_without_the_time_of_publication_the_count_is_never_used(callers: Sequence[Caller]) -> None:
    for caller in second_questions(callers):
        found = availability(SPEC, given=caller.request, readings=caller.feed, now=caller.asked_at, started_at=None)
        assert found[INTERACTIONS].status is Status.TOO_EARLY


@pytest.mark.parametrize("lost", ["seller_listings_30d", "seller_reports_90d"])
def test_without_a_seller_feed_the_rule_answers(callers: Sequence[Caller], lost: str) -> None:
    caller = callers[0]
    feed = {name: reading for name, reading in caller.feed.items() if name != lost}
    assert blocking(SPEC, seen(caller, now=caller.asked_at, feed=feed)) == (f"{lost} is missing",)


def test_with_the_online_store_down_the_rule_answers_from_the_listing_itself(callers: Sequence[Caller]) -> None:
    caller = callers[0]
    found = seen(caller, now=caller.asked_at, feed=FeatureSourceDown("gone"))
    assert {reason.split()[0] for reason in blocking(SPEC, found)} == {"seller_listings_30d", "seller_reports_90d"}
    assert SPEC.rule(caller.request) is not None


def test_later_answers_are_better_because_of_the_count(estimator: Any, cases: list[PastCase]) -> None:
    from sklearn.metrics import roc_auc_score

    later = training_set(SPEC, [case for case in cases[1500:] if INTERACTIONS in case.features])
    without = later.features.assign(**{INTERACTIONS: np.nan})
    known, gap = (roc_auc_score(later.target, scores(estimator, each)) for each in (later.features, without))
    assert known > gap + 0.03


def test_a_gap_is_no_low_count_to_the_model(estimator: Any, cases: list[PastCase]) -> None:
    first = training_set(SPEC, [case for case in cases[1500:] if INTERACTIONS not in case.features]).features
    low = first.assign(**{INTERACTIONS: 1.0})
    assert scores(estimator, first).mean() > 1.25 * scores(estimator, low).mean()


def test_a_later_question_without_a_count_is_answered_like_a_first_one(estimator: Any, cases: list[PastCase]) -> None:
    later = training_set(SPEC, [case for case in cases[1500:] if INTERACTIONS in case.features]).features
    gap = later.assign(**{INTERACTIONS: np.nan})
    first = gap.assign(asked_because="publication", **{LISTING_AGE: 2.0})
    np.testing.assert_array_equal(scores(estimator, gap), scores(estimator, first))


def test_an_application_that_never_asks_twice_can_train_a_version_too(cases: list[PastCase]) -> None:
    rows = training_set(SPEC, cases[:800])
    gaps = rows.features.assign(**{INTERACTIONS: np.nan})
    found = scores(SPEC.train(TrainingSet(gaps, rows.target, rows.weights)), gaps)
    assert np.isfinite(found).all()
    assert np.ptp(found) > 0.3


def test_the_shipped_mapping_fits_the_model() -> None:
    mapping = load_mapping(folder_of(SPEC.name) / "listings.toml", SPEC)
    assert (mapping.decided_at, mapping.started_at) == ("asked_at", "published_at")
    assert all(each.observed_at for each in (mapping.outcome, *mapping.features.values()))


def first_questions(callers: Sequence[Caller]) -> list[Caller]:
    return [caller for caller in callers if caller.request["asked_because"] == "publication"]


def second_questions(callers: Sequence[Caller]) -> list[Caller]:
    return [caller for caller in callers if caller.request["asked_because"] != "publication"]


def seen(
    caller: Caller, *, now: datetime, feed: dict[str, Reading] | FeatureSourceDown | None = None
) -> dict[str, FeatureVerdict]:
    """What serving may use of this question."""
    readings = caller.feed if feed is None else feed
    return availability(SPEC, given=caller.request, readings=readings, now=now, started_at=caller.started_at)
