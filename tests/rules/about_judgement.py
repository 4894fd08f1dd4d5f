"""When the monitor has found something about the toy."""

from typing import Final

from tests.rules.case import Case, Fired

AMOUNT: Final = 'model="toy",feature="amount",method="wasserstein",instance="a"'
SCORE: Final = 'model="toy",feature="score",method="wasserstein",instance="a"'
CHAMPION: Final = 'bellwether_model_info{job="bellwether-monitor",model="toy",version="v1",alias="champion"}'


def drift(detected: str, *, score: str = "0.4+0x20") -> dict[str, str]:
    return {
        'bellwether_drift_detected{model="toy",instance="a"}': detected,
        f"bellwether_drift_score{{{AMOUNT}}}": score,
        f"bellwether_drift_threshold{{{AMOUNT}}}": "0.25+0x20",
        f"bellwether_drift_score{{{SCORE}}}": "0.9+0x20",
        f"bellwether_drift_threshold{{{SCORE}}}": "0.25+0x20",
    }


def performance(*, high: str, rule: str, version: str = "v1") -> dict[str, str]:
    of = f'model="toy",version="{version}"'
    return {
        f'bellwether_performance{{{of},metric="auc_high"}}': high,
        f'bellwether_performance{{{of},metric="rule_auc"}}': rule,
        CHAMPION: "1+0x90",
    }


def effect(measure: str, high: str, *, of: str = "effect") -> dict[str, str]:
    return {f'bellwether_business_{of}{{model="toy",measure="{measure}",bound="high"}}': high}


def doubted(inverted: str, *, one_class: str = "0+0x90") -> dict[str, str]:
    gauge = 'bellwether_outcomes_doubted{model="toy",instance="a",reason="%s"}'
    return {gauge % "inverted": inverted, gauge % "one_class": one_class}


CASES: Final = (
    Case(
        alert="OutcomesDoubted",
        when="they contradict champion and rule at once",
        series=doubted("0+0x5 1+0x60"),
        at="10m",
        fired=(Fired("toy: its outcomes cannot be true (inverted)", {"reason": "inverted"}),),
    ),
    Case(alert="OutcomesDoubted", when="they can be believed", series=doubted("0+0x60"), at="10m"),
    Case(alert="OutcomesDoubted", when="the right ones were sent again", series=doubted("1+0x30 0+0x30"), at="40m"),
    Case(alert="OutcomesDoubted", when="too few are known to say", series={}, at="10m"),
    Case(
        alert="ModelInputDrift",
        when="drift is confirmed, and says which feature by how much",
        series=drift("0+0x5 1+0x20"),
        at="10m",
        fired=(Fired("The inputs of toy differ from its training: amount by 0.40"),),
    ),
    Case(
        alert="ModelInputDrift",
        when="a window is above its threshold and nothing is confirmed",
        series=drift("0+0x20"),
        at="10m",
    ),
    Case(alert="ModelInputDrift", when="it is unknown whether there is drift", series={}, at="10m"),
    Case(
        alert="ModelInputDrift",
        when="drift was confirmed and is over",
        series=drift("1+0x5 0+0x20"),
        at="10m",
    ),
    Case(
        alert="PerformanceBelowRule",
        when="even the upper end of the champion's AUC is below the rule's",
        series=performance(high="0.61+0x90", rule="0.7+0x90"),
        at="1h",
        fired=(Fired("toy v1: its AUC is at most 0.610, below its rule's", {"version": "v1"}),),
    ),
    Case(
        alert="PerformanceBelowRule",
        when="the interval reaches above the rule",
        series=performance(high="0.72+0x90", rule="0.7+0x90"),
        at="1h",
    ),
    Case(
        alert="PerformanceBelowRule",
        when="it is an earlier version that was worse",
        series=performance(high="0.61+0x90", rule="0.7+0x90", version="v0"),
        at="1h",
    ),
    Case(alert="PerformanceBelowRule", when="too few outcomes are known", series={CHAMPION: "1+0x90"}, at="1h"),
    Case(
        alert="OutcomeCoverageLow",
        when="half of the outcomes do not come",
        series={'bellwether_outcome_coverage_ratio{model="toy",instance="a"}': "0.5+0x90"},
        at="1h30m",
        fired=(Fired("toy: 50% of the matured answers have an outcome, expected 80%"),),
    ),
    Case(
        alert="OutcomeCoverageLow",
        when="nine in ten come",
        series={'bellwether_outcome_coverage_ratio{model="toy",instance="a"}': "0.9+0x90"},
        at="1h30m",
    ),
    Case(alert="OutcomeCoverageLow", when="no answer has matured yet", series={}, at="1h30m"),
    Case(
        alert="BusinessEffectNegative",
        when="acting loses money beyond chance",
        series=effect("kept", "-1.5+0x90"),
        at="1h30m",
        fired=(Fired("toy: acting on its answers changes kept by at most -1.50 EUR per user"),),
    ),
    Case(
        alert="BusinessEffectNegative",
        when="the interval includes nothing lost",
        series=effect("kept", "0.2+0x90"),
        at="1h30m",
    ),
    Case(
        alert="BusinessEffectNegative",
        when="a measure that should fall has fallen",
        series=effect("wasted", "-3+0x90"),
        at="1h30m",
    ),
    Case(alert="BusinessEffectNegative", when="an arm has too few entities", series={}, at="1h30m"),
    Case(
        alert="BusinessBelowRule",
        when="acting where the rule would not loses money beyond chance",
        series=effect("kept", "-1.5+0x90", of="beyond_rule") | effect("kept", "2+0x90"),
        at="1h30m",
        fired=(Fired("toy: acting where its rule would not changes kept by at most -1.50 EUR per user"),),
    ),
    Case(
        alert="BusinessBelowRule",
        when="the interval includes nothing lost",
        series=effect("kept", "0.2+0x90", of="beyond_rule"),
        at="1h30m",
    ),
    Case(
        alert="BusinessBelowRule",
        when="model and rule ask for the same, so that nothing tells them apart",
        series=effect("kept", "-1.5+0x90"),
        at="1h30m",
    ),
)
