"""How numbers are written for people."""


def in_digits(number: float) -> str:
    """The number with every digit that it has and no exponent where people write none: 1234567, 0.25, 1e+300."""
    whole = f"{number + 0.0:.0f}"
    return whole if abs(number) < 1e16 and float(whole) == number else repr(float(number))
