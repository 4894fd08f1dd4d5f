"""When what always comes no longer comes. The toy's outcomes take two days, so six hours of them are compared."""

from typing import Final

from tests.rules.case import Case, Fired

REQUESTS, OUTCOMES = "TrafficVanished", "OutcomesVanished"
WRITES, FAILING = "FeatureWritesVanished", "FeatureWritesFailing"
EVERY: Final = "10m"
DAY: Final = 144
"""Samples of a day."""


def days(*counts: int) -> str:
    """A counter that rises each day by so much in every ten minutes."""
    total, parts = 0, []
    for count in counts:
        parts.append(f"{total}+{count}x{DAY - 1}")
        total += DAY * count
    return " ".join(parts)


def nights(*, first: int, length: int, by_day: int) -> str:
    """A counter of `length` days that rises in the hours from 6 to 22 alone; `first` is where it begins."""
    total, parts = first, []
    for _ in range(length):
        parts += [f"{total}+0x35", f"{total}+{by_day}x95", f"{total + 96 * by_day}+0x11"]
        total += 96 * by_day
    return " ".join(parts)


def requests(answered: str, *, lost: str = "0+0x2000") -> dict[str, str]:
    return {
        'bellwether_predictions_total{model="toy",version="v1",served_by="model",arm="control"}': answered,
        'bellwether_predictions_lost_total{model="toy"}': lost,
    }


def outcomes(accepted: str) -> dict[str, str]:
    return {'bellwether_outcomes_total{model="toy",result="accepted"}': accepted}


def writes(**values: str) -> dict[str, str]:
    return {
        f'bellwether_feature_writes_total{{model="toy",result="{result}"}}': each for result, each in values.items()
    }


def usual(what: str, share: str = "0%") -> tuple[Fired, ...]:
    return (Fired(f"toy: {share} of the {what} that are usual at this hour"),)


CASES: Final = (
    Case(
        alert=REQUESTS,
        when="nobody has asked for an hour, and yesterday many did",
        series=requests(days(100, 0)),
        at="1d1h",
        every=EVERY,
        fired=usual("requests"),
    ),
    Case(
        alert=REQUESTS,
        when="a service that was started again has counted nothing yet",
        series=requests(f"{days(100)} _x{DAY}"),
        at="1d1h",
        every=EVERY,
        fired=usual("requests"),
    ),
    Case(
        alert=REQUESTS,
        when="it is night, as it was last night",
        series=requests(nights(first=0, length=3, by_day=100)),
        at="2d3h",
        every=EVERY,
    ),
    Case(
        alert=REQUESTS,
        when="it is Sunday, as it was a week ago",
        series=requests(days(100, 1, 100, 100, 100, 100, 100, 100, 1)),
        at="8d12h",
        every=EVERY,
    ),
    Case(
        alert=REQUESTS,
        when="half of the usual callers ask",
        series=requests(days(100, 50)),
        at="1d12h",
        every=EVERY,
    ),
    Case(alert=REQUESTS, when="this is the first day", series=requests("0+100x20 2000+0x50"), at="10h", every=EVERY),
    Case(alert=REQUESTS, when="few ask on any day", series=requests(days(5, 0)), at="1d12h", every=EVERY),
    Case(
        alert=REQUESTS,
        when="all ask and none gets an answer, which the budget of answers tells",
        series=requests(days(100, 0), lost=days(0, 100)),
        at="1d12h",
        every=EVERY,
    ),
    Case(
        alert=OUTCOMES,
        when="none has come for eight hours, and yesterday many did",
        series=outcomes(days(100, 0)),
        at="1d8h",
        every=EVERY,
        fired=usual("outcomes"),
    ),
    Case(
        alert=OUTCOMES,
        when="they come once a day, and have come today",
        series=outcomes(" ".join(f"{600 * day}+0x60 {600 * (day + 1)}+0x82" for day in range(4))),
        at="3d13h",
        every=EVERY,
    ),
    Case(alert=OUTCOMES, when="none has ever come", series={}, at="1d8h", every=EVERY),
    Case(
        alert=WRITES,
        when="the feed has been silent for two hours",
        series=writes(written=days(100, 0), refused="0+0x2000"),
        at="1d2h",
        every=EVERY,
        fired=usual("feature writes"),
    ),
    Case(
        alert=WRITES,
        when="the feed writes as ever",
        series=writes(written=days(100, 90)),
        at="1d2h",
        every=EVERY,
    ),
    Case(
        alert=FAILING,
        when="the feed sends what the spec does not allow",
        series=writes(written="0+5x20 100+0x40", refused="0+0x20 0+5x40", failed="0+0x60"),
        at="50m",
        fired=(Fired("toy: 100% of the feature writes are not written"),),
    ),
    Case(
        alert=FAILING,
        when="one write in twenty is refused",
        series=writes(written="0+19x60", refused="0+1x60", failed="0+0x60"),
        at="50m",
    ),
)
