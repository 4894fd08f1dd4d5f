"""The documented effects of the listing_scam world: the trap, the scammers' change, and what events do to feeds."""

import csv
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score

from monitoring.entrypoints.cli import main
from services.core.features import Value
from services.core.predictions import NO_ACTION
from services.core.training import TrainingSet
from services.core.world import Caller, World, WorldEvent
from services.models.discovery import folder_of
from services.models.listing_scam.decide import HOLD_FOR_REVIEW, THRESHOLD
from services.models.listing_scam.features import FIRST_HOUR, INTERACTIONS
from services.models.listing_scam.listings import listing
from services.models.listing_scam.spec import SPEC
from services.models.listing_scam.world import build_world
from tests.models.conftest import ORIGIN, SEED, frame, training_set

CHANGE_DAY = 20
CALLS = 200


def world_with(*events: WorldEvent) -> World:
    return build_world(seed=SEED, origin=ORIGIN, events=events)


QUIET = world_with()


def callers_on(world: World, days: range) -> list[Caller]:
    return [caller for day in days for caller in world.day(day, calls=CALLS)]


def age_of(caller: Caller) -> timedelta:
    assert caller.started_at is not None
    return caller.asked_at - caller.started_at


def first_questions(callers: Sequence[Caller]) -> list[Caller]:
    return [caller for caller in callers if age_of(caller) < FIRST_HOUR]


def second_questions(callers: Sequence[Caller]) -> list[Caller]:
    return [caller for caller in callers if age_of(caller) >= FIRST_HOUR]


def served(caller: Caller) -> dict[str, Value | bool | None]:
    """What the model may see of a question."""
    known = {name: reading.value for name, reading in caller.feed.items()}
    if age_of(caller) < FIRST_HOUR:
        del known[INTERACTIONS]
    return dict(caller.request) | known


def in_hindsight(caller: Caller) -> dict[str, Value | bool | None]:
    """What a table that is made later holds of the same question: the count of an hour that was not over."""
    return served(caller) | {INTERACTIONS: counted_in_the_end(caller)}


def counted_in_the_end(caller: Caller) -> float:
    number = int(caller.entity_id.rpartition("-")[2])
    return float(listing(SEED, number, links=False, holidays=False).reactions)


def scams(world: World, callers: Sequence[Caller]) -> np.ndarray:
    return np.array([world.truth(each, action=NO_ACTION).value == "scam" for each in callers])


def scores(estimator: Any, rows: list[Any]) -> np.ndarray:
    return np.asarray(estimator.predict_proba(frame(SPEC, rows)))[:, 1]


class Trained:
    """Models of the quiet world's first two weeks, judged on the questions at publication of the two after."""

    def __init__(self) -> None:
        learnt, self.unseen = callers_on(QUIET, range(14)), first_questions(callers_on(QUIET, range(14, 28)))
        target = scams(QUIET, learnt).astype(float)
        self.truth = scams(QUIET, self.unseen)
        self.honest = self._on([served(each) for each in learnt], target)
        self.trapped = self._on([in_hindsight(each) for each in learnt], target)

    def _on(self, rows: list[Any], target: np.ndarray) -> Any:
        return SPEC.train(TrainingSet(frame(SPEC, rows), target, np.ones(len(target))))

    def found(self, estimator: Any, rows: list[Any]) -> float:
        """Share of the scams that would be held."""
        return float((scores(estimator, rows) >= THRESHOLD)[self.truth].mean())

    def auc(self, estimator: Any, rows: list[Any]) -> float:
        return float(roc_auc_score(self.truth, scores(estimator, rows)))


@pytest.fixture(scope="module")
def trained() -> Trained:
    return Trained()


def test_trained_on_a_table_made_later_a_model_is_brilliant_offline_and_blind_at_publication(trained: Trained) -> None:
    offline = [in_hindsight(each) for each in trained.unseen]
    stored = [served(each) | {INTERACTIONS: each.feed[INTERACTIONS].value} for each in trained.unseen]
    assert trained.auc(trained.trapped, offline) > 0.92
    assert trained.found(trained.trapped, offline) > 0.7
    assert trained.found(trained.trapped, stored) < 0.2


def test_trained_on_what_was_known_a_model_finds_most_scams_at_publication(trained: Trained) -> None:
    rows = [served(each) for each in trained.unseen]
    assert trained.found(trained.honest, rows) > 0.6
    assert trained.auc(trained.honest, rows) == pytest.approx(0.87, abs=0.04)


def test_history_holds_the_count_only_where_the_hour_was_over() -> None:
    cases = QUIET.history(rows=600)
    with_count = [case for case in cases if INTERACTIONS in case.features]
    assert all(float(case.features["listing_age_minutes"]) > 60 for case in with_count)
    assert all((case in with_count) == (case.features["asked_because"] != "publication") for case in cases)
    assert 0.3 < len(with_count) / len(cases) < 0.37


def test_both_questions_about_a_listing_have_the_same_truth_at_the_same_time() -> None:
    callers = callers_on(QUIET, range(3))
    first = {caller.entity_id: caller for caller in first_questions(callers)}
    again = second_questions(callers)
    assert again
    for caller in again:
        assert QUIET.truth(caller, action=NO_ACTION) == QUIET.truth(first[caller.entity_id], action=NO_ACTION)
        assert caller.request["price_to_median"] == first[caller.entity_id].request["price_to_median"]


def test_holding_a_listing_does_not_change_what_it_is() -> None:
    for caller in QUIET.day(0, calls=CALLS):
        assert QUIET.truth(caller, action=HOLD_FOR_REVIEW) == QUIET.truth(caller, action=NO_ACTION)


class Linked:
    """A world in which payment links are allowed from day 20 on, and the models before and after."""

    def __init__(self) -> None:
        self.world = world_with(WorldEvent(name="payment_links", starts=float(CHANGE_DAY)))
        self.after = callers_on(self.world, range(CHANGE_DAY + 10, CHANGE_DAY + 20))
        self.old = SPEC.train(training_set(SPEC, self.world.history(rows=2800)))
        self.new = self._retrained(rows=840)

    def _retrained(self, *, rows: int) -> Any:
        """Trained as the loop does: listings that were held weigh nothing, those in control stand for them."""
        callers = callers_on(self.world, range(CHANGE_DAY, CHANGE_DAY + 8))
        features, target = [served(each) for each in callers], scams(self.world, callers).astype(float)
        control = np.random.default_rng(SEED).random(len(callers)) < SPEC.experiment.control
        weights = np.where(scores(self.old, features) >= THRESHOLD, control / SPEC.experiment.control, 1.0)
        kept = np.flatnonzero(weights)[:rows]
        return SPEC.train(TrainingSet(frame(SPEC, features).iloc[kept], target[kept], weights[kept]))

    def auc(self, estimator: Any) -> float:
        found = scores(estimator, [served(each) for each in self.after])
        return float(roc_auc_score(scams(self.world, self.after), found))


def test_payment_links_take_the_old_model_s_skill_and_retraining_brings_most_of_it_back() -> None:
    linked = Linked()
    assert linked.auc(linked.old) < 0.6
    assert linked.auc(linked.new) > 0.78


def test_payment_links_show_in_the_payment_method_at_once() -> None:
    world = world_with(WorldEvent(name="payment_links", starts=5.0))
    shares = [
        np.mean([caller.request["payment_method"] == "payment link" for caller in world.day(day, calls=CALLS)])
        for day in (4, 5)
    ]
    assert shares[0] < 0.1
    assert shares[1] > 0.2


def test_a_late_seller_feed_is_older_than_allowed_and_the_others_are_not() -> None:
    for caller in world_with(WorldEvent(name="late_seller_feed", starts=0.0)).day(1, calls=CALLS):
        ages = {name: caller.asked_at - reading.observed_at for name, reading in caller.feed.items()}
        late = [name for name, age in ages.items() if age > (SPEC.feature(name).max_age or timedelta.max)]
        assert late == ["seller_listings_30d"]


def test_a_broken_seller_feed_writes_negative_counts_or_none() -> None:
    world = world_with(WorldEvent(name="broken_seller_feed", starts=0.0))
    values = [caller.feed["seller_listings_30d"].value for caller in world.day(1, calls=CALLS)]
    negative = [value for value in values if value is not None]
    assert all(isinstance(value, float) and value < 0 for value in negative)
    assert 0.3 < len(negative) / CALLS < 0.7


def test_a_stalled_counter_is_stale_in_every_later_question() -> None:
    world = world_with(WorldEvent(name="stalled_counter", starts=0.0))
    for caller in second_questions(world.day(1, calls=CALLS)):
        assert caller.asked_at - caller.feed[INTERACTIONS].observed_at > FIRST_HOUR


def test_feeds_change_what_is_written_and_not_what_a_listing_is() -> None:
    for name in ("late_seller_feed", "broken_seller_feed", "stalled_counter"):
        troubled = world_with(WorldEvent(name=name, starts=0.0))
        for one, other in zip(QUIET.day(1, calls=CALLS), troubled.day(1, calls=CALLS), strict=True):
            assert one.request == other.request
            assert QUIET.truth(one, action=NO_ACTION) == troubled.truth(other, action=NO_ACTION)


def test_the_check_says_of_a_table_made_later_how_much_too_late_the_count_is(tmp_path: Path) -> None:
    callers = callers_on(QUIET, range(6))
    first = first_questions(callers)
    table = exported(tmp_path, [*first, *second_questions(callers)[: round(0.03 * len(first))]], hindsight=True)
    told = checked(table)
    assert told["verdict"] == "refused"
    (refusal,) = told["refusals"]
    assert refusal.startswith("listing_scam: 'interactions_1h' is known 58 min after the decision in 97 % of rows")


def test_the_check_accepts_a_table_that_leaves_the_count_blank_where_it_was_not_known(tmp_path: Path) -> None:
    told = checked(exported(tmp_path, callers_on(QUIET, range(6)), hindsight=False))
    assert (told["refusals"], told["unchecked"]) == ([], {})


def exported(directory: Path, callers: Sequence[Caller], *, hindsight: bool) -> Path:
    """The questions as a table with the columns of `listings.toml`."""
    path = directory / "listings.csv"
    rows = [_row(caller, hindsight=hindsight) for caller in callers]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _row(caller: Caller, *, hindsight: bool) -> dict[str, object]:
    truth = QUIET.truth(caller, action=NO_ACTION)
    assert caller.started_at is not None
    values = in_hindsight(caller) if hindsight else served(caller)
    times = {"seller_counted_at": "seller_listings_30d", "seller_reports_at": "seller_reports_90d"}
    return {
        "listing_id": caller.entity_id,
        "published_at": caller.started_at,
        "asked_at": caller.asked_at,
        "moderation": "confirmed" if truth.value == "scam" else "cleared",
        "moderated_at": truth.known_at,
        **{name: values.get(name, "") for name in SPEC.feature_names},
        **{column: caller.feed[name].observed_at for column, name in times.items()},
        "interactions_at": caller.started_at + FIRST_HOUR if INTERACTIONS in values else "",
    }


def checked(table: Path) -> dict[str, Any]:
    mapping = folder_of(SPEC.name) / "listings.toml"
    told = CliRunner().invoke(main, ["check", SPEC.name, "--csv", str(table), "--mapping", str(mapping), "--json"])
    report: dict[str, Any] = json.loads(told.stdout)
    return report
