"""What a historic file may be refused for, and what it is only warned about."""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from monitoring.evaluation.history_check import FeatureCheck, HistoryCheck, Verdict, check_history, percent
from monitoring.evaluation.point_in_time import HistoricRow, Shared
from monitoring.evaluation.separation import OUTCOMES_NEEDED, Separation, separation
from monitoring.evaluation.unknown import NotEnoughData
from services.core.features import Value
from services.core.spec import Feature, ModelSpec, Unavailable
from services.core.time_range import TimeRange
from tests.toy import NOON, toy_spec

TOY = toy_spec()
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def with_feature(name: str, **changes: Any) -> ModelSpec:
    return toy_spec(features=tuple(replace(each, **changes) if each.name == name else each for each in TOY.features))


EARLY = with_feature("visits", known_after=HOUR, if_unavailable=Unavailable.OPTIONAL)


exactly = TimeRange.exactly


def row(number: int = 0, **changes: Any) -> HistoricRow:
    """A row in order: every value observed a minute before the decision, the outcome a day after it."""
    chance = np.random.default_rng(number)
    decided_at = NOON + timedelta(hours=number)
    values: dict[str, Value] = {
        "amount": float(chance.uniform(0, 1000)),
        "plan": ("monthly", "yearly")[int(chance.integers(2))],
        "visits": float(chance.integers(9)),
        "mood": float(chance.normal()),
    }
    whole: dict[str, Any] = {
        "values": values,
        "observed_at": dict.fromkeys(values, exactly(decided_at - MINUTE)),
        "outcome": ("left", "stayed")[int(chance.integers(2))],
        "decided_at": exactly(decided_at),
        "outcome_at": exactly(decided_at + timedelta(days=1)),
    }
    return HistoricRow(**(whole | changes))


def rows(count: int = 200) -> list[HistoricRow]:
    return [row(number) for number in range(count)]


def valued(one: HistoricRow, **values: Value) -> HistoricRow:
    return replace(one, values={**one.values, **values})


def observed(one: HistoricRow, name: str, at: TimeRange) -> HistoricRow:
    return replace(one, observed_at={**one.observed_at, name: at})


def after_decision(one: HistoricRow, name: str, lead: timedelta) -> HistoricRow:
    return observed(one, name, exactly(at(one) + lead))


def feature(check: HistoryCheck, name: str) -> FeatureCheck:
    return next(each for each in check.features if each.facts.feature.name == name)


def verdicts(check: HistoryCheck) -> dict[str, Verdict]:
    return {each.facts.feature.name: each.findings.verdict for each in check.features}


def test_a_history_in_order_is_ok() -> None:
    check = check_history(TOY, rows())

    assert verdicts(check) == dict.fromkeys(TOY.feature_names, Verdict.OK)
    assert (check.verdict, check.refusals, check.warnings, check.unchecked) == (Verdict.OK, (), (), {})
    assert sum(check.outcomes.values()) == check.n == 200


def test_values_known_after_the_decision_are_refused_with_their_share_and_the_median_lead_of_those_rows() -> None:
    late = [after_decision(each, "visits", lead * MINUTE) for each, lead in zip(rows(3), (10, 58, 90), strict=True)]
    check = check_history(TOY, late + rows(200)[3:])

    assert feature(check, "visits").findings.verdict is Verdict.REFUSED
    (refusal,) = check.refusals
    assert refusal.startswith("toy: 'visits' is known 58 min after the decision in 2 % of rows; ")


def test_one_late_value_is_refused_however_few_rows_there_are() -> None:
    check = check_history(TOY, [after_decision(row(), "visits", HOUR)])

    assert check.verdict is Verdict.REFUSED
    assert "in 100 % of rows" in check.refusals[0]


def test_clocks_that_differ_as_little_as_serving_forgives_are_no_leak() -> None:
    assert check_history(TOY, [after_decision(each, "visits", 5 * SECOND) for each in rows()]).refusals == ()
    assert check_history(TOY, [after_decision(each, "visits", 6 * SECOND) for each in rows()]).refusals


def test_values_asked_for_before_the_entity_is_old_enough_are_late_though_no_time_of_theirs_is_known() -> None:
    asked = [replace(each, observed_at={}, started_at=exactly(at(each) - 2 * MINUTE)) for each in rows()]
    check = check_history(EARLY, asked)

    (refusal,) = check.refusals
    assert refusal.startswith("toy: 'visits' is known 58 min after the decision in 100 % of rows")
    assert feature(check, "visits").facts.timing.too_early == 200


def test_a_blank_where_the_value_was_not_known_yet_is_in_order() -> None:
    asked = [
        replace(each, started_at=exactly(at(each) - 2 * MINUTE), values={"amount": 1.0, "plan": "monthly", "mood": 0.0})
        for each in rows()
    ]
    old_enough = [replace(row(300 + number), started_at=exactly(at(row(300 + number)) - HOUR)) for number in range(40)]
    check = check_history(EARLY, asked + old_enough)

    assert check.refusals == ()
    assert not [each for each in check.warnings if "'visits'" in each], "gaps in an optional feature are no fault"


def test_a_feature_with_a_known_after_is_not_fully_checked_without_the_entity_s_start() -> None:
    check = check_history(EARLY, rows())

    assert feature(check, "visits").findings.verdict is Verdict.NOT_ENOUGH_DATA
    (reason,) = check.unchecked
    assert "started_at" in reason


def test_a_value_observed_when_the_outcome_is_known_is_refused() -> None:
    together = [observed(each, "mood", each.outcome_at) if each.outcome_at else each for each in rows()]
    check = check_history(TOY, [replace(each, decided_at=None) for each in together])

    assert check.refusals == (
        "toy: 'mood' is observed when the outcome is known or later in 100 % of rows, so it can hold the answer",
    )


def test_an_outcome_known_before_the_decision_is_refused() -> None:
    check = check_history(TOY, [replace(each, outcome_at=each.decided_at) for each in rows(50)] + rows(200)[50:])

    (refusal,) = check.refusals
    assert refusal.startswith(
        "toy: the outcome is known before the decision in 25 % of rows; such rows decide nothing: "
    )
    assert check.verdict is Verdict.REFUSED


def roughly(moment: datetime, length: timedelta) -> TimeRange:
    return TimeRange(moment, moment + length)


def test_a_time_that_is_known_roughly_is_late_only_if_no_reading_of_it_is_in_time() -> None:
    day = timedelta(days=1)
    same_day = [observed(each, "visits", roughly(at(each) - 12 * HOUR, day)) for each in rows()]
    check = check_history(TOY, same_day)

    assert check.refusals == ()
    assert list(check.unchecked.values()) == [["visits"]]
    assert "because their times are days without hours" in next(iter(check.unchecked))
    (warning,) = check_history(TOY, [*same_day[:100], *rows()[100:]]).warnings
    assert warning.startswith("toy: 'visits' may be known after the decision in 50 % of rows, because their times are")
    next_day = [observed(each, "visits", roughly(at(each) + HOUR, day)) for each in rows()]
    assert check_history(TOY, next_day).refusals[0].startswith("toy: 'visits' is known 60 min after the decision")


def test_a_value_that_is_observed_at_the_decision_itself_is_in_time_however_roughly_that_is_known() -> None:
    roughly_decided = [replace(each, decided_at=roughly(at(each), HOUR)) for each in rows()]
    history = [observed(each, "visits", roughly(at(each), HOUR)) for each in roughly_decided]
    check = check_history(TOY, history, shared={"visits": Shared(decided_at=True)})

    assert (check.refusals, check.warnings) == ((), ())


def test_a_value_that_is_observed_with_the_outcome_itself_is_refused_however_roughly_that_is_known() -> None:
    known = [replace(each, outcome_at=roughly(at(each) + 24 * HOUR, 24 * HOUR)) for each in rows()]
    history = [observed(each, "mood", each.outcome_at) for each in known if each.outcome_at]
    check = check_history(TOY, history, shared={"mood": Shared(outcome_at=True)})

    assert "'mood' is observed when the outcome is known or later in 100 % of rows" in check.refusals[-1]


def test_an_outcome_of_the_same_day_is_refused_only_if_no_reading_puts_it_behind_the_decision() -> None:
    same_day = [replace(each, outcome_at=roughly(at(each) - 12 * HOUR, 24 * HOUR)) for each in rows()]
    assert check_history(TOY, same_day).refusals == ()

    day_before = [replace(each, outcome_at=roughly(at(each) - 24 * HOUR, 23 * HOUR)) for each in rows()]
    assert "known before the decision in 100 % of rows" in check_history(TOY, day_before).refusals[0]


def test_a_time_that_is_known_roughly_is_stale_only_if_its_youngest_reading_is() -> None:
    young = [observed(each, "visits", roughly(at(each) - 24 * HOUR, 18 * HOUR)) for each in rows()]
    assert check_history(TOY, young).warnings == ()

    old = [observed(each, "visits", roughly(at(each) - 24 * HOUR, 17 * HOUR)) for each in rows()]
    assert check_history(TOY, old).warnings == ("toy: 'visits' is older than 6 h at the decision in 100 % of rows",)


def test_rows_that_are_not_in_the_order_of_their_decisions_are_warned_about() -> None:
    check = check_history(TOY, [*rows(150)[::-1], *rows(200)[150:]])

    (warning,) = check.warnings
    assert warning.startswith("toy: 74 % of rows were decided before one further up in the file")
    assert check.verdict is Verdict.WARNED


def test_entities_that_begin_after_their_decision_are_warned_about() -> None:
    later = [replace(each, started_at=roughly(at(each) + HOUR, HOUR)) for each in rows(50)]
    same_day = [replace(each, started_at=roughly(at(each) - HOUR, 24 * HOUR)) for each in rows(200)[50:]]
    check = check_history(TOY, [*later, *same_day])

    (warning,) = check.warnings
    assert warning.startswith("toy: 25 % of rows were decided before their entity began (started_at)")
    assert check_history(TOY, same_day).warnings == ()


def test_stale_invalid_and_missing_values_are_warned_about_with_their_shares() -> None:
    half = [after_decision(each, "visits", -7 * HOUR) for each in rows(100)]
    check = check_history(TOY, [valued(each, amount=-1.0, plan="weekly") for each in half] + rows(200)[100:])

    assert check.verdict is Verdict.WARNED
    assert check.warnings == (
        "toy: 'amount' is invalid in 50 % of rows",
        "toy: 'plan' is invalid in 50 % of rows",
        "toy: 'visits' is older than 6 h at the decision in 50 % of rows",
    )
    gaps = [replace(each, values={"amount": 1.0, "plan": "monthly", "mood": math.nan}) for each in rows(50)]
    assert check_history(TOY, gaps + rows(200)[50:]).warnings == (
        "toy: 'visits' is missing in 25 % of rows",
        "toy: 'mood' is invalid in 25 % of rows",
    )


def test_a_value_as_old_as_its_limit_is_not_stale() -> None:
    assert check_history(TOY, [after_decision(each, "visits", -6 * HOUR) for each in rows()]).warnings == ()


def test_without_times_nothing_is_called_known_at_the_decision() -> None:
    check = check_history(TOY, [replace(each, observed_at={}, decided_at=None) for each in rows()])

    assert verdicts(check) == dict.fromkeys(TOY.feature_names, Verdict.NOT_ENOUGH_DATA)
    assert check.unchecked == {
        "known at the decision: no row says when it was decided (decided_at)": list(TOY.feature_names)
    }
    assert feature(check, "visits").as_body()["late"] == {
        "n": 0,
        "share": None,
        "lead_seconds_median": None,
        "too_early_share": None,
        "unsure_share": None,
    }


def test_a_feature_without_times_beside_others_with_them_is_named() -> None:
    timeless = [replace(each, observed_at={"visits": exactly(at(each))}) for each in rows()]

    assert check_history(TOY, timeless).unchecked == {
        "known at the decision: no value has its own time (observed_at)": ["amount", "plan", "mood"]
    }


def test_a_few_times_in_order_prove_nothing() -> None:
    few = [each if place < 29 else replace(each, observed_at={}) for place, each in enumerate(rows())]

    assert list(check_history(TOY, few).unchecked) == ["known at the decision: 29 values with a time, 30 needed"]


def test_times_that_some_values_lack_are_warned_about() -> None:
    most = [each if place < 150 else replace(each, decided_at=None) for place, each in enumerate(rows())]
    check = check_history(TOY, most)

    assert check.verdict is Verdict.WARNED
    assert "has no time, or its decision has none, in 25 % of its values" in check.warnings[0]


def test_the_outcome_s_own_column_is_refused_at_any_number_of_rows() -> None:
    check = check_history(TOY, rows(2), shared={"plan": Shared(outcome=True)})

    assert check.refusals[0].startswith("toy: 'plan' is the outcome itself")


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(lambda left, chance: float(left) + chance, id="threshold"),
        pytest.param(lambda left, chance: 500.0 if left else chance * 400 + 550 * (chance > 0.5), id="band"),
        pytest.param(lambda left, chance: chance if left else None, id="filled in with the outcome"),
        pytest.param(lambda left, chance: float(left) if chance < 0.999 else 0.5, id="nearly always"),
    ],
)
def test_a_number_that_determines_the_outcome_is_refused(leak: Any) -> None:
    history = [leaking(each, "amount", leak) for each in rows(400)]
    check = check_history(TOY, history)

    (refusal,) = check.refusals
    assert refusal.startswith("toy: 'amount' gives the outcome away: alone it tells the classes apart with AUC ")
    assert "in 400 rows" in refusal


def test_a_category_that_determines_the_outcome_is_refused_even_one_that_the_spec_does_not_know() -> None:
    words = [leaking(each, "plan", lambda left, _: "closed" if left else "yearly") for each in rows(400)]

    assert [each.split(" gives ")[0] for each in check_history(TOY, words).refusals] == ["toy: 'plan'"]


def test_the_rare_outcome_is_seen_through_as_well() -> None:
    rare = [replace(each, outcome="left" if place % 100 == 0 else "stayed") for place, each in enumerate(rows(4000))]
    check = check_history(TOY, [leaking(each, "amount", lambda left, chance: float(left) + chance) for each in rare])

    assert feature(check, "amount").findings.verdict is Verdict.REFUSED


def test_a_strong_feature_is_not_the_outcome_but_one_should_look_at_it() -> None:
    history = [leaking(each, "amount", lambda left, chance: 0.85 * float(left) + chance) for each in rows(2000)]
    check = check_history(TOY, history)

    alone = feature(check, "amount").facts.alone
    assert isinstance(alone, Separation)
    assert 0.95 < alone.auc < 0.99
    assert check.refusals == ()
    assert "make sure that it is not derived from the outcome" in check.warnings[0]


def test_a_number_that_is_different_in_every_row_is_no_oracle() -> None:
    ids = [valued(each, amount=float(place)) for place, each in enumerate(rows(400))]
    alone = feature(check_history(TOY, ids), "amount").facts.alone

    assert isinstance(alone, Separation)
    assert alone.auc < 0.65


def test_too_few_outcomes_of_one_class_say_nothing_about_separation() -> None:
    few = OUTCOMES_NEEDED - 1
    history = [replace(each, outcome="left" if place < few else "stayed") for place, each in enumerate(rows())]
    check = check_history(TOY, [leaking(each, "amount", lambda left, _: float(left)) for each in history])

    assert check.refusals == ()
    assert check.verdict is Verdict.NOT_ENOUGH_DATA
    assert list(check.unchecked) == [f"derived from the outcome: {few} outcomes of the rarer class, 30 needed"]


def test_a_feature_without_any_value_is_not_judged_by_its_separation() -> None:
    nothing: list[Value | None] = [None] * 100

    assert isinstance(separation(TOY.feature("amount"), nothing, [True, False] * 50), NotEnoughData)


def test_numbers_beyond_a_tree_s_range_are_judged_all_the_same() -> None:
    huge = separation(TOY.feature("amount"), [1e300, -1e300] * 50, [True, False] * 50)

    assert huge == Separation(100, 1.0)


def test_the_body_is_json_ready_and_has_every_number() -> None:
    body = check_history(TOY, [after_decision(each, "visits", 58 * MINUTE) for each in rows()]).as_body()

    assert body["verdict"] == "refused"
    assert len(body["refusals"]) == 1
    assert body["features"]["visits"]["late"] == {
        "n": 200,
        "share": 1.0,
        "lead_seconds_median": 3480.0,
        "too_early_share": 0.0,
        "unsure_share": 0.0,
    }
    assert body["features"]["visits"]["alone"]["status"] == "ok"


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.97, "97 %"),
        (0.004, "0.4 %"),
        (0.9996, "99.96 %"),
        (1e-6, "under 0.01 %"),
        (1 - 1e-6, "over 99.99 %"),
    ],
)
def test_a_share_that_is_neither_none_nor_all_is_rounded_to_neither(share: float, words: str) -> None:
    assert percent(share) == words


def at(one: HistoricRow) -> datetime:
    assert one.decided_at is not None
    return one.decided_at.earliest


def leaking(one: HistoricRow, name: str, leak: Any) -> HistoricRow:
    """The row with a value made from its outcome and an even draw; None takes the value away."""
    value = leak(one.outcome == "left", float(np.random.default_rng(at(one).toordinal() * 24 + at(one).hour).random()))
    others = {key: each for key, each in one.values.items() if key != name}
    return replace(one, values=others if value is None else others | {name: value})


def test_the_toy_has_the_features_that_these_tests_speak_of() -> None:
    known: dict[str, Feature] = {each.name: each for each in TOY.features}
    assert known["visits"].max_age == 6 * HOUR
