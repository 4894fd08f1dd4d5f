"""When the home's disk fills. Sizes in percent of it."""

from typing import Final

from tests.rules.case import Case, Fired

HERE: Final = '{instance="here:3000"}'


def left(percent: str) -> dict[str, str]:
    return {f"bellwether_home_free_bytes{HERE}": percent, f"bellwether_home_size_bytes{HERE}": "100+0x2000"}


def told(text: str) -> tuple[Fired, ...]:
    return (Fired(f"The disk of here:3000's home {text}", {"instance": "here:3000"}),)


CASES: Final = (
    Case(
        alert="DiskNearlyFull",
        when="three percent are left",
        series=left("3+0x60"),
        at="30m",
        fired=told("has 3% left"),
    ),
    Case(alert="DiskNearlyFull", when="a tenth is left", series=left("10+0x60"), at="30m"),
    Case(
        alert="DiskFilling",
        when="a tenth is left",
        series=left("10+0x60"),
        at="50m",
        fired=told("fills: 10% left"),
    ),
    Case(
        alert="DiskFilling",
        when="it will be full tonight",
        series=left("50-0.05x800"),
        at="8h",
        fired=told("fills: 26% left"),
    ),
    Case(alert="DiskFilling", when="half is used, and stays", series=left("48+0x800"), at="8h"),
    Case(alert="DiskFilling", when="it fills within weeks", series=left("45-0.001x800"), at="8h"),
)
