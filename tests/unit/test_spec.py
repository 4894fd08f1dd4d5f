"""What a spec declares has to be what callers can send."""

from datetime import timedelta

import pytest

from services.core.errors import SpecError
from services.core.spec import BinaryClassification, Categorical, Numeric


@pytest.mark.parametrize("text", ["two\nlines", "a\x00", "x" * 201])
def test_a_category_or_a_class_that_can_come_in_no_request_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"category .* can come in no request"):
        Categorical(("sound", text))
    with pytest.raises(SpecError, match=r"class .* can come in no request"):
        BinaryClassification(positive=text, negative="sound", outcome_delay=timedelta(days=1))


def test_a_number_out_of_range_is_told_with_all_digits_of_the_bound() -> None:
    assert Numeric(high=1234567).problem(1234568.0) == "found 1234568.0, expected at most 1234567"
    assert Numeric(low=0.25).problem(0.0) == "found 0.0, expected at least 0.25"
