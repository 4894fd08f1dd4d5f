import pytest

from services.core.wording import in_digits


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1234567, "1234567"),
        (1234568.0, "1234568"),
        (1234567.25, "1234567.25"),
        (0.0, "0"),
        (-0.0, "0"),
        (-40, "-40"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
    ],
)
def test_a_number_is_written_with_all_its_digits(number: float, words: str) -> None:
    assert in_digits(number) == words
