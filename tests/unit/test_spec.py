"""What a spec declares has to be what callers can send."""

from datetime import timedelta

import pytest

from services.core.errors import SpecError
from services.core.spec import BinaryClassification, Categorical


@pytest.mark.parametrize("text", ["two\nlines", "a\x00", "x" * 201])
def test_a_category_or_a_class_that_can_come_in_no_request_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"category .* can come in no request"):
        Categorical(("sound", text))
    with pytest.raises(SpecError, match=r"class .* can come in no request"):
        BinaryClassification(positive=text, negative="sound", outcome_delay=timedelta(days=1))
