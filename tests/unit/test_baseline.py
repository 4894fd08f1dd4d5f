"""What would have been answered without a model, by what was recorded then."""

from collections.abc import Mapping

import pytest

from monitoring.evaluation.baseline import decision_without_model
from services.core.features import Value
from services.core.spec import Decision
from tests.toy import toy_spec


def by_amount(features: Mapping[str, Value]) -> Decision | None:
    amount = features.get("amount")
    if amount is None:
        return None
    label = "leaver" if amount > 5 else "stayer"  # type: ignore[operator]  # a rule trusts the kinds of its spec
    return Decision(label=label, action="none")


def test_a_value_of_another_kind_than_now_is_none_to_the_rule_and_fails_no_judgement() -> None:
    spec = toy_spec(rule=by_amount)

    assert decision_without_model(spec, {"amount": 10.0, "plan": "monthly"}).label == "leaver"
    assert decision_without_model(spec, {"amount": "many", "plan": "monthly"}) is spec.last_resort


def test_a_rule_that_fails_on_values_of_the_right_kinds_is_told() -> None:
    def broken(_: Mapping[str, Value]) -> Decision | None:
        raise TypeError

    with pytest.raises(TypeError):
        decision_without_model(toy_spec(rule=broken), {"amount": 10.0})
