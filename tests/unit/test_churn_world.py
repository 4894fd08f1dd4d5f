"""The documented effects of the churn world: who the customers are, and what its events do to model and money."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import wasserstein_distance
from sklearn.metrics import roc_auc_score

from services.core.predictions import NO_ACTION
from services.core.training import TrainingSet
from services.core.world import Caller, World, WorldEvent
from services.models.churn.decide import OFFER_COST, RETENTION_OFFER, YEARLY_MARGIN
from services.models.churn.spec import SPEC
from services.models.churn.world import build_world
from tests.models.conftest import ORIGIN, SEED, frame, training_set

CHANGE_DAY = 20
CALLS = 200


def complete(callers: Sequence[Caller]) -> list[Caller]:
    return [caller for caller in callers if all(reading.value is not None for reading in caller.feed.values())]


def callers_on(world: World, days: range) -> list[Caller]:
    return complete([caller for day in days for caller in world.day(day, calls=CALLS)])


def features_of(callers: Sequence[Caller]) -> list[dict[str, object]]:
    return [dict(each.request) | {name: reading.value for name, reading in each.feed.items()} for each in callers]


def left(world: World, callers: Sequence[Caller], action: str = NO_ACTION) -> np.ndarray:
    return np.array([world.truth(each, action=action).value == "churned" for each in callers])


def scores(estimator: object, callers: Sequence[Caller]) -> np.ndarray:
    return np.asarray(estimator.predict_proba(frame(SPEC, features_of(callers)))[:, 1])  # type: ignore[attr-defined]  # scikit-learn has no types


class Repriced:
    """A world whose prices change on day 20, and the model trained on its history."""

    def __init__(self) -> None:
        self.world = build_world(
            seed=SEED, origin=ORIGIN, events=[WorldEvent(name="price_change", starts=float(CHANGE_DAY))]
        )
        self.before = callers_on(self.world, range(CHANGE_DAY - 10, CHANGE_DAY))
        self.after = callers_on(self.world, range(CHANGE_DAY + 20, CHANGE_DAY + 30))
        self.history = self.world.history(rows=2500)
        self.old = SPEC.train(training_set(SPEC, self.history))
        self.new = self._retrained(rows=840)

    def _retrained(self, *, rows: int) -> object:
        """Trained on the first rows after the change, as the loop does: offers hide outcomes, so weights stand in."""
        callers = callers_on(self.world, range(CHANGE_DAY, CHANGE_DAY + 6))[:rows]
        at_risk = np.array([SPEC.decide(float(score)).action != NO_ACTION for score in scores(self.old, callers)])
        control = np.random.default_rng(SEED).random(rows) < SPEC.experiment.control
        weights = np.where(at_risk, control / SPEC.experiment.control, 1.0)
        target = left(self.world, callers).astype(float)
        features = frame(SPEC, features_of(callers))
        kept = weights > 0
        return SPEC.train(TrainingSet(features[kept], target[kept], weights[kept]))

    def auc(self, estimator: object, callers: Sequence[Caller]) -> float:
        return float(roc_auc_score(left(self.world, callers), scores(estimator, callers)))

    def profit(self, estimator: object, callers: Sequence[Caller]) -> float:
        """EUR per customer when every customer whom the model finds at risk gets an offer."""
        offered = np.array([SPEC.decide(float(score)).action != NO_ACTION for score in scores(estimator, callers)])
        gone = np.where(offered, left(self.world, callers, RETENTION_OFFER), left(self.world, callers))
        return float(np.mean(YEARLY_MARGIN * ~gone - OFFER_COST * offered))


@pytest.fixture(scope="module")
def repriced() -> Repriced:
    return Repriced()


def test_before_the_change_the_world_is_as_hard_as_the_real_file(repriced: Repriced) -> None:
    assert repriced.auc(repriced.old, repriced.before) == pytest.approx(0.84, abs=0.025)
    assert left(repriced.world, repriced.before).mean() == pytest.approx(0.265, abs=0.03)


def test_the_change_of_prices_takes_the_old_model_s_skill_and_retraining_brings_it_back(repriced: Repriced) -> None:
    assert repriced.auc(repriced.old, repriced.after) <= 0.70
    assert repriced.auc(repriced.new, repriced.after) >= 0.78


def test_the_change_of_prices_costs_money_and_retraining_recovers_some_of_it(repriced: Repriced) -> None:
    before, after = (repriced.profit(repriced.old, callers) for callers in (repriced.before, repriced.after))
    recovered = repriced.profit(repriced.new, repriced.after)
    assert after < before - 15
    assert recovered > after + 5


def test_the_change_of_prices_shows_in_the_charges_from_the_first_days_on(repriced: Repriced) -> None:
    first_days = callers_on(repriced.world, range(CHANGE_DAY, CHANGE_DAY + 3))
    assert charges_moved(repriced, first_days) > 0.4


def test_without_a_change_the_charges_stay_within_the_minimum_effect(repriced: Repriced) -> None:
    quiet = build_world(seed=SEED, origin=ORIGIN, events=())
    limit = SPEC.drift.minimum_effect["wasserstein"]
    moved = [charges_moved(repriced, callers_on(quiet, range(day, day + 3))) for day in range(0, 70, 10)]
    assert max(moved) < limit / 2


def charges_moved(repriced: Repriced, callers: Sequence[Caller]) -> float:
    reference = [float(case.features["monthly_charges"]) for case in repriced.history]
    current = [float(each["monthly_charges"]) for each in features_of(callers)]  # type: ignore[arg-type]  # a number
    return float(wasserstein_distance(reference, current) / np.std(reference))


def test_total_charges_never_fall_and_follow_the_monthly_ones(repriced: Repriced) -> None:
    for each in features_of(repriced.before):
        months, monthly, total = (each[name] for name in ("tenure_months", "monthly_charges", "total_charges"))
        assert total == pytest.approx(months * monthly, abs=1.0)  # type: ignore[operator]  # numbers, by the spec


def test_an_offer_keeps_about_half_of_those_about_to_leave(repriced: Repriced) -> None:
    without = left(repriced.world, repriced.before)
    with_offer = left(repriced.world, repriced.before, RETENTION_OFFER)
    assert 1 - with_offer[without].mean() == pytest.approx(0.55, abs=0.15)


def test_an_entity_keeps_its_traits_and_only_ever_commits_longer() -> None:
    world = build_world(seed=SEED, origin=ORIGIN, events=())
    met: dict[str, dict[str, object]] = {}
    order = ("month-to-month", "one year", "two year")
    again = 0
    for caller in (caller for day in range(0, 60, 2) for caller in world.day(day, calls=CALLS)):
        (now,) = features_of([caller])
        earlier = met.setdefault(caller.entity_id, now)
        again += earlier is not now
        for name in ("gender", "senior_citizen", "partner", "dependents", "payment_method", "internet_service"):
            assert now[name] == earlier[name]
        assert order.index(str(now["contract"])) >= order.index(str(earlier["contract"]))
        assert now["tenure_months"] >= earlier["tenure_months"]  # type: ignore[operator]  # numbers, by the spec
    assert again > 200


def test_customers_before_their_first_invoice_have_no_total() -> None:
    world = build_world(seed=SEED, origin=ORIGIN, events=())
    callers = [caller for day in range(30) for caller in world.day(day, calls=CALLS)]
    new = [caller for caller in callers if caller.request["tenure_months"] == 0]
    assert new
    assert all((caller.feed["total_charges"].value is None) == (caller in new) for caller in callers)


def test_a_broken_billing_feed_writes_negative_charges_or_none() -> None:
    world = build_world(seed=SEED, origin=ORIGIN, events=[WorldEvent(name="broken_billing_feed", starts=0.0)])
    values = [caller.feed["monthly_charges"].value for caller in world.day(1, calls=CALLS)]
    negative = [value for value in values if value is not None]
    assert all(isinstance(value, float) and value < 0 for value in negative)
    assert 0.3 < len(negative) / CALLS < 0.7


def test_a_slow_billing_feed_is_older_than_allowed_and_the_service_feed_is_not() -> None:
    world = build_world(seed=SEED, origin=ORIGIN, events=[WorldEvent(name="slow_billing_feed", starts=0.0)])
    for caller in world.day(1, calls=CALLS):
        ages = {name: caller.asked_at - reading.observed_at for name, reading in caller.feed.items()}
        assert ages["monthly_charges"] > timedelta(days=3)
        assert ages["internet_service"] < timedelta(days=2)


def test_a_broken_feed_changes_what_is_written_and_not_what_customers_do() -> None:
    quiet = build_world(seed=SEED, origin=ORIGIN, events=())
    broken = build_world(seed=SEED, origin=ORIGIN, events=[WorldEvent(name="broken_billing_feed", starts=0.0)])
    pairs = zip(quiet.day(1, calls=CALLS), broken.day(1, calls=CALLS), strict=True)
    assert all(quiet.truth(a, action=NO_ACTION) == broken.truth(b, action=NO_ACTION) for a, b in pairs)
