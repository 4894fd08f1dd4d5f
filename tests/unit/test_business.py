"""What the answers earned."""

import msgspec
import pytest

from monitoring.evaluation.business import Earned, business
from monitoring.evaluation.unknown import NotEnoughData
from services.core.predictions import Arm
from services.core.records import Judged
from tests.toy import toy_spec
from tests.toy_traffic import toy_rows

SPEC = toy_spec()  # 100 EUR for whoever stays


def test_totals_are_by_arm_and_add_up() -> None:
    rows = toy_rows(1000)
    arms = _measures(rows)["kept"]["arms"]
    stayed = sum(row.outcome == "stayed" for row in rows)
    assert arms["treatment"]["total"] + arms["control"]["total"] == 100.0 * stayed
    assert arms["treatment"]["n"] + arms["control"]["n"] == 1000
    assert arms["control"]["mean"] == arms["control"]["total"] / arms["control"]["n"]


def test_the_effect_of_an_offer_is_found_as_often_as_its_interval_says() -> None:
    # Three in four of those to be called would leave; calling keeps 60 % of them, worth 100 EUR each: 45 EUR.
    earned = [_kept_effect(toy_rows(1000, seed=seed, effect=0.6)) for seed in range(20)]
    nothing = [_kept_effect(toy_rows(1000, seed=seed)) for seed in range(20)]
    assert sum(each["low"] < 45 < each["high"] for each in earned) >= 15
    assert sum(each["low"] < 0 < each["high"] for each in nothing) >= 15
    assert all(each["low"] > 0 for each in earned)


def test_what_acting_earned_is_the_effect_on_everybody_treated() -> None:
    effect = _measures(toy_rows(1000, effect=0.6))["kept"]["effect"]
    assert effect["earned"]["value"] == pytest.approx(effect["per_entity"]["value"] * effect["n_treatment"])


def test_people_who_were_to_be_left_alone_do_not_count_towards_the_effect() -> None:
    rows = toy_rows(2000)
    called = [row for row in rows if row.prediction.intended_action == "call"]
    assert _measures(rows)["kept"]["effect"] == _measures(called)["kept"]["effect"]


def test_several_answers_about_one_entity_are_one() -> None:
    rows = toy_rows(2000)
    twice = [
        Judged(msgspec.structs.replace(row.prediction, prediction_id=f"again-{i}"), row.outcome)
        for i, row in enumerate(rows)
    ]
    once, doubled = (_measures(each)["kept"] for each in (rows, rows + twice))
    assert doubled["effect"]["n_control"] == once["effect"]["n_control"]
    assert doubled["arms"]["control"]["entities"] == once["arms"]["control"]["entities"]
    assert doubled["arms"]["control"]["n"] == 2 * once["arms"]["control"]["n"]


def test_beyond_the_rule_counts_whom_the_model_alone_would_act_on() -> None:
    rows = toy_rows(4000, effect=0.6)
    # The toy's rule asks to call whoever pays monthly.
    only_model = [row for row in rows if row.prediction.features["plan"].usable == "yearly"]
    beyond, there = _measures(rows)["kept"]["beyond_rule"], _measures(only_model)["kept"]["effect"]
    assert beyond == there
    assert beyond["status"] == "ok"
    assert _measures(rows)["kept"]["effect"]["n_control"] > beyond["n_control"]


def test_where_the_rule_asks_for_the_same_nothing_is_beyond_it() -> None:
    monthly = [row for row in toy_rows(2000) if row.prediction.features["plan"].usable == "monthly"]
    beyond = _measures(monthly)["kept"]["beyond_rule"]
    assert (beyond["status"], beyond["n"]) == ("not_enough_data", 0)


def test_without_a_control_arm_totals_are_told_and_the_effect_is_unknown() -> None:
    rows = [row for row in toy_rows(500) if row.prediction.arm is Arm.TREATMENT]
    kept = _measures(rows)["kept"]
    assert set(kept["arms"]) == {"treatment"}
    assert (kept["effect"]["status"], kept["effect"]["n"]) == ("not_enough_data", 0)


def test_without_outcomes_nothing_is_known() -> None:
    assert isinstance(business(SPEC, [Judged(row.prediction) for row in toy_rows(50)]), NotEnoughData)
    assert isinstance(business(SPEC, []), NotEnoughData)


def _measures(rows: list[Judged]) -> dict:  # type: ignore[type-arg]  # JSON-ready
    found = business(SPEC, rows)
    assert not isinstance(found, NotEnoughData)
    measures: dict = found["measures"]  # type: ignore[type-arg]
    return measures


def _kept_effect(rows: list[Judged]) -> dict[str, float]:
    found: dict[str, float] = _measures(rows)["kept"]["effect"]["per_entity"]
    return found


def test_what_was_earned_is_the_same_in_batches_as_at_once() -> None:
    rows = toy_rows(4000)
    earned = Earned(SPEC)
    for start in range(0, len(rows), 7):
        earned.add(rows[start : start + 7])
    assert earned.found() == business(SPEC, rows)


def test_what_was_earned_adds_up_over_the_answers_of_each_arm() -> None:
    rows = [row for row in toy_rows(4000) if row.outcome is not None]
    found = business(SPEC, rows)
    assert not isinstance(found, NotEnoughData)
    for measure in SPEC.measures:
        for arm in Arm:
            of_arm = [row for row in rows if row.prediction.arm is arm]
            told = found["measures"][measure.name]["arms"][arm.value]
            assert (told["total"], told["n"]) == (sum(measure.value(row) for row in of_arm), len(of_arm))
            assert told["entities"] == len({row.prediction.entity_id for row in of_arm})
