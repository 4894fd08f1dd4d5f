"""How numbers and lists are written for people."""

from collections.abc import Sequence


def in_digits(number: float) -> str:
    """The number with every digit that it has and no exponent where people write none: 1234567, 0.25, 1e+300."""
    whole = f"{number + 0.0:.0f}"
    return whole if abs(number) < 1e16 and float(whole) == number else repr(float(number))


def listed(names: Sequence[str], *, at_most: int) -> str:
    """The first of the names, and how many more there are."""
    more = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {more} more" if more > 0 else "")
