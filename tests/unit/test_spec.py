"""What a spec declares has to be what callers can send."""

from datetime import timedelta
from functools import partial
from timeit import timeit

import msgspec
import pytest

from services.core.errors import SpecError
from services.core.spec import BinaryClassification, Categorical


@pytest.mark.parametrize("text", ["two\nlines", "a\x00", "x" * 201])
def test_a_category_or_a_class_that_can_come_in_no_request_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"category .* can come in no request"):
        Categorical(("sound", text))
    with pytest.raises(SpecError, match=r"class .* can come in no request"):
        BinaryClassification(positive=text, negative="sound", outcome_delay=timedelta(days=1))


def test_a_category_of_many_is_found_at_once_and_a_strange_one_is_told_some_of_them() -> None:
    words = tuple(f"shop {number}" for number in range(10_000))
    kind = Categorical(words)
    assert (kind.problem("shop 9999"), "shop 9999" in kind, "shop" in kind) == (None, True, False)
    problem = kind.problem("shop")
    assert problem is not None
    assert problem.endswith("shop 18, shop 19 and 9980 more")
    assert msgspec.to_builtins(kind) == {"categories": words}


def test_looking_a_category_up_takes_as_long_among_ten_thousand_as_among_ten() -> None:
    few, many = (Categorical(tuple(map(str, range(number)))) for number in (10, 10_000))
    assert all("9" in kind for kind in (few, many))
    looks = [timeit(partial(kind.problem, kind.categories[-1]), number=2000) for kind in (few, many)]
    # A scan of ten thousand takes a thousand times as long as one of ten.
    assert looks[1] < 20 * looks[0]
