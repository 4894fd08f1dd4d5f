"""What a spec declares has to be what callers can send."""

import math
from datetime import timedelta

import msgspec
import pytest

from services.core.errors import SpecError
from services.core.predictions import Answer
from services.core.spec import BinaryClassification, Categorical, Decision, Experiment, Feature, Numeric, Source
from services.entrypoints.oip.tensors import FIELDS, OUTPUTS
from tests.toy import toy_spec


@pytest.mark.parametrize("text", ["two\nlines", "a\x00", "x" * 201])
def test_a_category_or_a_class_that_can_come_in_no_request_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"category .* can come in no request"):
        Categorical(("sound", text))
    with pytest.raises(SpecError, match=r"class .* can come in no request"):
        BinaryClassification(positive=text, negative="sound", outcome_delay=timedelta(days=1))


def test_a_category_or_a_class_is_declared_once_and_the_one_that_is_not_is_named() -> None:
    with pytest.raises(SpecError, match="category 'b' is declared twice; declare it once"):
        Categorical(("a", "b", "c", "b"))
    with pytest.raises(SpecError, match="class 'left' is declared twice"):
        BinaryClassification(positive="left", negative="left", outcome_delay=timedelta(days=1))
    with pytest.raises(SpecError, match="has no category"):
        Categorical(())


@pytest.mark.parametrize(
    ("low", "high", "problem"),
    [
        (3, 2, "at least 3 and at most 2"),
        (float("nan"), None, "bounded by nan"),
        (None, float("inf"), "bounded by inf"),
        (True, None, "bounded by True"),
    ],
)
def test_bounds_between_which_no_number_lies_are_refused(low: float | None, high: float | None, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        Numeric(low=low, high=high)


def test_a_number_out_of_bounds_is_shown_beside_its_bound_in_full() -> None:
    kind = Numeric(low=-1_234_567, high=1_234_567.5)

    assert kind.problem(1_234_568.0) == "found 1234568.0, expected at most 1234567.5"
    assert kind.problem(-1_234_568.0) == "found -1234568.0, expected at least -1234567"


@pytest.mark.parametrize(
    "name", sorted({*OUTPUTS, *FIELDS, *Answer.__struct_fields__, "label", "probabilities", "target", "weight"})
)
def test_a_feature_has_no_name_that_stands_beside_features_somewhere(name: str) -> None:
    with pytest.raises(SpecError, match=f"feature name '{name}' is taken"):
        Feature(name, Numeric(), Source.REQUEST, meaning="-", owner="-", refreshed="-")


def test_a_slice_and_a_measure_are_declared_once() -> None:
    with pytest.raises(SpecError, match="model 'toy': slice 'plan' is declared twice"):
        toy_spec(slices=("plan", "plan"))
    with pytest.raises(SpecError, match="model 'toy': measure 'kept' is declared twice"):
        toy_spec(measures=(*toy_spec().measures, toy_spec().measures[0]))


def test_a_number_out_of_range_is_told_with_all_digits_of_the_bound() -> None:
    assert Numeric(high=1234567).problem(1234568.0) == "found 1234568.0, expected at most 1234567"
    assert Numeric(low=0.25).problem(0.0) == "found 0.0, expected at least 0.25"


def test_a_category_of_many_is_found_at_once_and_a_strange_one_is_told_some_of_them() -> None:
    words = tuple(f"shop {number}" for number in range(10_000))
    kind = Categorical(words)
    assert (kind.problem("shop 9999"), "shop 9999" in kind, "shop" in kind) == (None, True, False)
    problem = kind.problem("shop")
    assert problem is not None
    assert problem.endswith("shop 18, shop 19 and 9980 more")
    assert msgspec.to_builtins(kind) == {"categories": words}


@pytest.mark.parametrize("control", [20.0, -0.1, math.nan, math.inf, 1e-9])
def test_a_control_arm_that_is_no_share_or_cannot_be_learnt_from_is_refused(control: float) -> None:
    with pytest.raises(SpecError, match=r"control is .*; it is a share"):
        Experiment(control=control)


@pytest.mark.parametrize("value", [1e39, -1e39, 1e308])
def test_a_number_beyond_single_precision_is_none_that_a_model_can_use(value: float) -> None:
    assert Numeric().problem(3.4e38) is None
    assert Numeric().problem(value) == f"found {value!r}, expected at most 3.4e+38 on either side of 0"


@pytest.mark.parametrize("text", ["x" * 201, "two\nlines", "a\x00"])
@pytest.mark.parametrize("what", ["label", "action"])
def test_a_decision_in_words_that_no_store_takes_is_none(what: str, text: str) -> None:
    with pytest.raises(SpecError, match=r"a decision has the label .* expected"):
        Decision(label=text if what == "label" else "a", action=text if what == "action" else "b")
