"""What every model's declaration keeps, whatever it declares."""

import copy
import itertools
import re
import subprocess
import sys
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from services.core.features import Value
from services.core.predictions import NO_ACTION
from services.core.records import Judged
from services.core.spec import Categorical, Decision, Impute, ModelSpec, Numeric, Source, Unavailable
from services.core.world import PastCase
from services.models.discovery import folder_of
from services.traffic.mapping import load_mapping
from tests.toy import prediction

SCORES = [float(each) for each in np.linspace(0.0, 1.0, 201)]
CARD_QUESTIONS = (
    "What does the score mean?",
    "What do I do with an answer that was served by the rule?",
    "How often is it wrong?",
    "Who owns it?",
)


def test_every_feature_says_what_it_means_who_owns_it_and_how_often_it_is_refreshed(spec: ModelSpec) -> None:
    silent = [each.name for each in spec.features if not (each.meaning and each.owner and each.refreshed)]
    assert not silent


def test_a_request_feature_has_no_age_and_an_online_feature_has_a_limit(spec: ModelSpec) -> None:
    assert all((each.max_age is None) == (each.source is Source.REQUEST) for each in spec.features)


def test_every_category_is_named_once_in_lower_case(spec: ModelSpec) -> None:
    for feature in spec.features:
        if isinstance(feature.kind, Categorical):
            assert len(set(feature.kind.categories)) == len(feature.kind.categories) >= 2
            assert all(re.fullmatch(r"[a-z0-9][a-z0-9 _-]*", each) for each in feature.kind.categories)


def test_every_number_has_a_range(spec: ModelSpec) -> None:
    for feature in spec.features:
        if isinstance(feature.kind, Numeric):
            assert feature.kind.low is not None
            assert feature.kind.high is not None


def test_outcomes_take_time_and_the_two_classes_differ(spec: ModelSpec) -> None:
    assert spec.task.outcome_delay > timedelta(0)
    assert spec.task.positive != spec.task.negative


def test_slices_are_categories_that_the_model_may_not_guess(spec: ModelSpec) -> None:
    sliced = [spec.feature(name) for name in spec.slices]
    assert all(isinstance(each.kind, Categorical) for each in sliced)
    assert not [each.name for each in sliced if isinstance(each.if_unavailable, Impute)]


def test_the_drift_window_can_hold_the_rows_it_needs_and_the_statistics_have_a_minimum_effect(spec: ModelSpec) -> None:
    assert spec.drift.minimum_effect[spec.drift.numeric] > 0
    assert spec.drift.minimum_effect[spec.drift.categorical] > 0


def test_the_gate_can_be_met_by_the_rows_that_a_retraining_waits_for(spec: ModelSpec) -> None:
    held_out = spec.gate.holdout * spec.retraining.minimum_outcomes
    assert held_out >= spec.gate.minimum_outcomes
    assert 0 < spec.experiment.control < 1


def test_the_last_resort_is_an_answer_on_which_nobody_acts(spec: ModelSpec) -> None:
    assert spec.last_resort.label
    assert spec.last_resort.action == NO_ACTION
    assert spec.last_resort.reasons


def test_importing_a_spec_loads_no_training_library(spec: ModelSpec) -> None:
    script = (
        f"import sys, services.models.{spec.name}.spec;"
        "print(sorted({'sklearn', 'pandas', 'numpy', 'skl2onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_deciding_is_monotone_in_the_score_and_keeps_it(spec: ModelSpec) -> None:
    decisions = [spec.decide(score) for score in SCORES]
    assert [each.score for each in decisions] == SCORES
    assert runs(each.label for each in decisions) == len({each.label for each in decisions})
    assert runs(each.action for each in decisions) == len({each.action for each in decisions})


def test_some_scores_call_for_action_and_some_do_not(spec: ModelSpec) -> None:
    assert {spec.decide(score).action == NO_ACTION for score in SCORES} == {True, False}


def test_the_rule_answers_from_the_request_alone(spec: ModelSpec, history: list[PastCase]) -> None:
    requested = {each.name for each in spec.features if each.source is Source.REQUEST}
    for case in history[:50]:
        request = {name: value for name, value in case.features.items() if name in requested}
        assert spec.rule(request) == spec.rule(case.features) is not None


def test_the_rule_survives_any_subset_of_features_and_leaves_them_as_they_were(
    spec: ModelSpec, history: list[PastCase]
) -> None:
    chance = np.random.default_rng(1)
    for case in history[:200]:
        some = {name: value for name, value in case.features.items() if chance.random() < 0.5}
        before = copy.deepcopy(some)
        check_decision(spec.rule(some))
        assert some == before


def test_the_rule_survives_each_end_of_each_range(spec: ModelSpec, history: list[PastCase]) -> None:
    for feature in spec.features:
        for value in extremes(feature.kind):
            check_decision(spec.rule(history[0].features | {feature.name: value}))


def test_the_rule_has_nothing_to_say_about_nothing(spec: ModelSpec) -> None:
    assert spec.rule({}) is None


def test_the_rule_speaks_the_words_of_the_model_and_says_why(spec: ModelSpec, history: list[PastCase]) -> None:
    words = {(each.label, each.action) for each in map(spec.decide, SCORES)}
    for case in history[:200]:
        decision = spec.rule(case.features)
        assert decision is not None
        assert (decision.label, decision.action) in words
        assert decision.reasons


def test_the_rule_tells_the_classes_apart_better_than_chance(spec: ModelSpec, history: list[PastCase]) -> None:
    from sklearn.metrics import roc_auc_score

    decisions = [spec.rule(case.features) for case in history]
    scores = [decision.score if decision else None for decision in decisions]
    assert roc_auc_score([case.value == spec.task.positive for case in history], scores) > 0.6


def test_measures_count_nothing_while_the_outcome_is_unknown_and_are_finite_with_it(spec: ModelSpec) -> None:
    acting = next(each for each in map(spec.decide, reversed(SCORES)) if each.action != NO_ACTION)
    for measure, action in itertools.product(spec.measures, (acting.action, NO_ACTION)):
        made = prediction(model=spec.name, label=acting.label, intended_action=acting.action, action=action)
        assert measure.value(Judged(made)) == 0.0
        values = [measure.value(Judged(made, outcome, made.made_at)) for outcome in spec.task.classes]
        assert np.isfinite(values).all()
        assert measure.meaning
        assert measure.unit


def test_a_feature_that_must_be_there_is_not_also_imputed(spec: ModelSpec) -> None:
    asking = [each for each in spec.features if each.if_unavailable is Unavailable.ASK_THE_RULE]
    assert asking, "a model that answers without any feature never shows that its feeds are down"


def test_the_mappings_of_histories_that_the_model_ships_fit_it(spec: ModelSpec) -> None:
    for path in sorted(folder_of(spec.name).glob("*.toml")):
        assert set(load_mapping(path, spec).features) == set(spec.feature_names)


@pytest.mark.parametrize("question", CARD_QUESTIONS)
def test_the_model_card_answers_what_callers_ask(spec: ModelSpec, question: str) -> None:
    card = (folder_of(spec.name) / "README.md").read_text("utf-8")
    _, heading, rest = card.partition(f"### {question}\n")
    assert heading, f"services/models/{spec.name}/README.md has no heading '### {question}'"
    answer = rest.partition("\n#")[0]
    assert len(answer.split()) >= 10
    if question == CARD_QUESTIONS[-1]:
        assert spec.owner in answer


def runs(values: Any) -> int:
    return sum(1 for _ in itertools.groupby(values))


def extremes(kind: Numeric | Categorical) -> tuple[Value, ...]:
    if isinstance(kind, Categorical):
        return kind.categories
    return tuple(each for each in (kind.low, kind.high) if each is not None) or (0.0,)


def check_decision(decision: Decision | None) -> None:
    if decision is not None:
        assert decision.label
        assert decision.score is None or 0 <= decision.score <= 1
