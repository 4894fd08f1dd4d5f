"""When features do not arrive. The toy calls a source broken when a fifth of the answers could not use it."""

from typing import Final

from tests.rules.case import Case, Fired

STALE, UNUSABLE, DOWN = "FeatureFeedStale", "FeatureUnusable", "FeatureSourceDown"


def statuses(feature: str = "visits", **values: str) -> dict[str, str]:
    """Of the feature, by status."""
    return {
        f'bellwether_feature_status_total{{model="toy",feature="{feature}",status="{status}"}}': each
        for status, each in values.items()
    }


def away(share: str) -> tuple[Fired, ...]:
    return (Fired(f"toy: online features could not be looked up in {share} of the answers, limit 20%"),)


def told(text: str) -> tuple[Fired, ...]:
    return (Fired(f"toy: visits {text} of the answers, limit 20%", {"feature": "visits"}),)


CASES: Final = (
    Case(
        alert=STALE,
        when="half of the answers found the value too old",
        series=statuses(ok="0+5x60", stale="0+5x60"),
        at="45m",
        fired=told("was too old in 50%"),
    ),
    Case(
        alert=STALE,
        when="a tenth of the answers found it too old",
        series=statuses(ok="0+9x60", stale="0+1x60"),
        at="45m",
    ),
    Case(
        alert=STALE,
        when="six answers of half an hour found it too old, and there were no others",
        series=statuses(stale="0+0.2x60"),
        at="45m",
    ),
    Case(
        alert=STALE,
        when="it was too old before a restart and never since",
        series=statuses(ok="0+5x60", stale="400+0x20 0+0x40"),
        at="45m",
    ),
    Case(
        alert=UNUSABLE,
        when="a third is missing or invalid",
        series=statuses(ok="0+6x60", missing="0+2x60", invalid="0+1x60"),
        at="45m",
        fired=told("was missing or invalid in 33.33%"),
    ),
    Case(
        alert=UNUSABLE,
        when="nine in ten asked before it can be known, and the others got it",
        series=statuses(ok="0+6x60", too_early="0+54x60"),
        at="45m",
    ),
    Case(alert=UNUSABLE, when="nobody has asked yet", series={}, at="45m"),
    Case(
        alert=DOWN,
        when="the source fails in every look-up",
        series=statuses(ok="0+5x10 50+0x30", source_down="0+0x10 0+5x30"),
        at="40m",
        fired=away("100%"),
    ),
    Case(
        alert=DOWN,
        when="the source fails for every feature, with one alert for all",
        series=statuses(source_down="0+5x60") | statuses("mood", source_down="0+5x60"),
        at="40m",
        fired=away("100%"),
    ),
    Case(
        alert=DOWN,
        when="it was repaired five minutes ago",
        series=statuses(ok="0+5x10 50+0x20 50+5x30", source_down="0+0x10 0+5x20 100+0x30"),
        at="36m",
    ),
    Case(
        alert=STALE,
        when="the feed came back five minutes ago",
        series=statuses(ok="0+0x30 0+5x30", stale="0+5x30 150+0x30"),
        at="36m",
    ),
    Case(
        alert=STALE,
        when="nobody has asked since, so that nobody knows whether it is over",
        series=statuses(stale="0+5x30 150+0x30"),
        at="41m",
        fired=told("was too old in 100%"),
    ),
    Case(
        alert=DOWN,
        when="a single look-up in fifty took too long",
        series=statuses(ok="0+49x60", source_down="0+1x60"),
        at="45m",
    ),
)
