"""When judging or retraining itself has trouble. The toy is judged every 7.2 minutes."""

from typing import Final

from tests.rules.case import Case, Fired


def judged(at: str, *, instance: str = "a") -> dict[str, str]:
    labels = f'model="toy",kind="drift",instance="{instance}"'
    return {f"bellwether_evaluation_last_success_timestamp_seconds{{{labels}}}": at}


def failures(values: str) -> dict[str, str]:
    return {'bellwether_evaluation_failures_total{model="toy",kind="drift"}': values}


def ended(result: str, values: str, *, trigger: str = "drift") -> dict[str, str]:
    labels = f'model="toy",trigger="{trigger}",result="{result}"'
    return {f"bellwether_retraining_runs_total{{{labels}}}": values}


def attended(at: str, *, instance: str = "a") -> dict[str, str]:
    return {f'bellwether_lifecycle_last_round_timestamp_seconds{{model="toy",instance="{instance}"}}': at}


def attending_failed(values: str) -> dict[str, str]:
    return {'bellwether_lifecycle_failures_total{model="toy",instance="a"}': values}


NEVER: Final = 'bellwether_evaluation_last_success_timestamp_seconds{model="toy",kind="availability"}'

CHAMPION: Final = 'bellwether_model_info{{job="bellwether-monitor",model="toy",version="{}",alias="champion"}}'

STANDS_STILL: Final = 'bellwether_pruning_stands_still{model="toy",instance="a"}'

CASES: Final = (
    Case(
        alert="EvaluationTooOld",
        when="the last judgement is half an hour old",
        series=judged("600+0x60"),
        at="40m",
        fired=(Fired("toy: drift was last judged 30m 0s ago", {"kind": "drift"}),),
    ),
    Case(alert="EvaluationTooOld", when="every minute has its judgement", series=judged("0+60x60"), at="40m"),
    Case(
        alert="EvaluationTooOld",
        when="another monitor has taken over",
        series=judged("600+0x60") | judged("0+60x60", instance="b"),
        at="40m",
    ),
    Case(
        alert="NeverEvaluated",
        when="no judgement of the model was ever shown",
        series={'up{job="bellwether-monitor"}': "1+0x30"},
        at="20m",
        fired=(Fired("toy has not been judged since the monitor started", {"kind": "availability"}),),
    ),
    Case(alert="NeverEvaluated", when="there was one, however old", series={NEVER: "60+0x30"}, at="20m"),
    Case(
        alert="EvaluationFailing",
        when="every judgement of an hour raised",
        series=failures("0+0.2x90"),
        at="1h10m",
        fired=(Fired("toy: drift failed 12 times in 1h", {"kind": "drift"}),),
    ),
    Case(alert="EvaluationFailing", when="one of them raised", series=failures("0+0x30 1+0x60"), at="1h10m"),
    Case(
        alert="EvaluationFailing",
        when="the monitor restarts and its counter with it",
        series=failures("9+0x30 0+0x60"),
        at="1h",
    ),
    Case(
        alert="LifecycleSilent",
        when="the process hangs over its jobs for hours",
        series=attended("600+0x200"),
        at="2h30m",
        fired=(Fired("Nobody attends to the retrainings of toy"),),
    ),
    Case(
        alert="LifecycleSilent",
        when="no process shows that it attends to the model",
        series={'up{job="bellwether-lifecycle"}': "0+0x30"},
        at="20m",
        fired=(Fired("Nobody attends to the retrainings of toy"),),
    ),
    Case(alert="LifecycleSilent", when="it looks at its jobs every minute", series=attended("0+60x200"), at="2h30m"),
    Case(
        alert="LifecycleSilent",
        when="a retraining has taken an hour",
        series=attended("600+0x60 4200+60x60"),
        at="1h10m",
    ),
    Case(
        alert="LifecycleSilent",
        when="another process has taken over",
        series=attended("600+0x200") | attended("0+60x200", instance="b"),
        at="2h30m",
    ),
    Case(
        alert="LifecycleFailing",
        when="every look of ten minutes fails",
        series=attending_failed("0+60x30"),
        at="20m",
        fired=(Fired("Attending to toy failed 600 times in 10m"),),
    ),
    Case(alert="LifecycleFailing", when="two looks failed", series=attending_failed("0+0x5 2+0x25"), at="20m"),
    Case(
        alert="LifecycleFailing",
        when="the process restarts and its counter with it",
        series=attending_failed("900+0x9 0+0x21"),
        at="20m",
    ),
    Case(alert="LifecycleFailing", when="nobody tells", series={}, at="20m"),
    Case(
        alert="PruningStandsStill",
        when="the clock is far beyond what was recorded",
        series={STANDS_STILL: "0+0x10 1+0x10"},
        at="15m",
        fired=(Fired("toy: time jumped, so no old records are removed"),),
    ),
    Case(
        alert="PruningStandsStill",
        when="the clock is right again",
        series={STANDS_STILL: "0+0x10 1+0x2 0+0x10"},
        at="20m",
    ),
    Case(alert="PruningStandsStill", when="nobody tells", series={}, at="20m"),
    Case(
        alert="RetrainingFailed",
        when="a retraining has failed",
        series=ended("failed", "0+0x20 1+0x60"),
        at="40m",
        fired=(Fired("toy: 1 retraining failed"),),
    ),
    Case(alert="RetrainingFailed", when="one was promoted", series=ended("promoted", "0+0x20 1+0x60"), at="40m"),
    Case(
        alert="RetrainingFailed",
        when="another monitor shows the failure of last week for the first time",
        series=ended("failed", "_x20 1+0x60"),
        at="40m",
    ),
    Case(
        alert="RetrainingRefused",
        when="the gate refused what drift had asked for",
        series=ended("refused", "2+0x20 3+0x60"),
        at="40m",
        fired=(Fired("toy: 1 retraining was refused"),),
    ),
    Case(
        alert="RetrainingRefused",
        when="somebody asked by hand, who has been told",
        series=ended("refused", "0+0x20 1+0x60", trigger="by hand"),
        at="40m",
    ),
    Case(
        alert="RetrainingRefused",
        when="a version waits for a person",
        series=ended("awaits_approval", "0+0x20 1+0x60"),
        at="40m",
    ),
    Case(
        alert="VersionAwaitsApproval",
        when="a version passed the gate and would change most answers",
        series={'bellwether_versions_awaiting_approval{model="toy"}': "0+0x5 1+0x60"},
        at="40m",
        fired=(Fired("toy: a version waits for a person to promote it"),),
    ),
    Case(
        alert="VersionAwaitsApproval",
        when="a person has promoted it",
        series={'bellwether_versions_awaiting_approval{model="toy"}': "1+0x20 0+0x60"},
        at="40m",
    ),
    Case(alert="VersionAwaitsApproval", when="no monitor shows the model", series={}, at="40m"),
    Case(
        alert="RolledBack",
        when="an earlier champion is the champion again",
        series={'bellwether_rollbacks_total{model="toy"}': "1+0x20 2+0x60"},
        at="40m",
        fired=(Fired("toy went back to an earlier champion 1 time"),),
    ),
    Case(
        alert="RolledBack",
        when="that was two hours ago",
        series={'bellwether_rollbacks_total{model="toy"}': "1+0x20 2+0x200"},
        at="2h30m",
    ),
    Case(alert="RolledBack", when="no monitor shows the model", series={}, at="40m"),
    Case(
        alert="VersionPromoted",
        when="a new version serves",
        series={
            'bellwether_promotions_total{model="toy"}': "1+0x20 2+0x60",
            CHAMPION.format("v1"): "1+0x20 stale",
            CHAMPION.format("v2"): "_x21 1+0x60",
        },
        at="40m",
        fired=(Fired("toy: v2 is the champion now", {"version": "v2"}),),
    ),
    Case(
        alert="VersionPromoted",
        when="that was hours ago",
        series={'bellwether_promotions_total{model="toy"}': "2+0x200", CHAMPION.format("v2"): "1+0x200"},
        at="2h30m",
    ),
)
