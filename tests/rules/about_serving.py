"""When callers do not get what the toy's spec promises: 99 % within 50 ms, 99.9 % answered, 95 % by the model."""

from typing import Final

from tests.rules.case import Case, Fired


def latencies(*, all_: str, in_time: str) -> dict[str, str]:
    return {
        'bellwether_prediction_seconds_count{model="toy",served_by="model"}': all_,
        'bellwether_prediction_seconds_bucket{model="toy",served_by="model",le="0.05"}': in_time,
    }


def answers(*, lost: str, answered: str | None = None) -> dict[str, str]:
    found = {'bellwether_predictions_lost_total{model="toy"}': lost}
    if answered is not None:
        found['bellwether_predictions_total{model="toy",version="v1",served_by="model",arm="control"}'] = answered
    return found


def served_by(*, model: str, rule: str) -> dict[str, str]:
    return {
        'bellwether_predictions_total{model="toy",version="v1",served_by="model",arm="control"}': model,
        'bellwether_predictions_total{model="toy",version="v1",served_by="rule",arm="control"}': rule,
    }


def slow(share: str) -> Fired:
    return Fired(f"toy: {share} of the answers took longer than 50 ms, at most 1% is promised")


def lost(share: str) -> Fired:
    return Fired(f"toy: {share} of the sound requests got no answer, at most 0.100% is promised")


FAST, SLOWLY = "LatencyBudgetBurnsFast", "LatencyBudgetBurnsSlowly"
FAILS, DRIPS = "AnswerBudgetBurnsFast", "AnswerBudgetBurnsSlowly"
BY_RULE, LOAD, NOT_SERVED, GONE = "AnsweredByRuleTooOften", "ModelLoadFailing", "ChampionNotServed", "WorkersGone"

LATENCY: Final = (
    Case(
        alert=FAST,
        when="a fifth of an hour's answers is slow",
        series=latencies(all_="0+60x70", in_time="0+48x70"),
        at="1h10m",
        fired=(slow("20%"),),
    ),
    Case(
        alert=FAST,
        when="a tenth of six hours' answers is slow",
        series=latencies(all_="0+60x370", in_time="0+54x370"),
        at="6h",
        fired=(slow("10%"),),
    ),
    Case(
        alert=FAST,
        when="the last slow answer is an hour old",
        series=latencies(all_="0+60x130", in_time="0+48x60 2940+60x69"),
        at="2h5m",
    ),
    Case(
        alert=FAST,
        when="every answer is slow and there are six in an hour",
        series=latencies(all_="0+0.1x70", in_time="0+0x70"),
        at="1h",
    ),
    Case(
        alert=FAST,
        when="the workers restart and their counters begin anew",
        series=latencies(all_="0+60x30 0+60x40", in_time="0+60x30 0+60x40"),
        at="1h",
    ),
    Case(alert=FAST, when="nobody has ever asked", series={}, at="1h"),
    Case(
        alert=SLOWLY,
        when="one answer in fifty is slow for three days",
        series=latencies(all_="0+600x440", in_time="0+588x440"),
        at="3d1h",
        every="10m",
        fired=(slow("2%"),),
    ),
    Case(
        alert=SLOWLY,
        when="one answer in two hundred is slow, as promised",
        series=latencies(all_="0+600x440", in_time="0+597x440"),
        at="3d1h",
        every="10m",
    ),
    Case(
        alert=SLOWLY,
        when="eight answers of three days were slow, of few",
        series=latencies(all_="0+1x440", in_time="0+1x424 424+0x16"),
        at="3d",
        every="10m",
    ),
)

ANSWERS: Final = (
    Case(
        alert=FAILS,
        when="one request in twenty gets no answer",
        series=answers(lost="0+1x70", answered="0+19x70"),
        at="1h10m",
        fired=(lost("5%"),),
    ),
    Case(
        alert=FAILS,
        when="nothing was ever answered",
        series=answers(lost="0+5x70"),
        at="1h10m",
        fired=(lost("100%"),),
    ),
    Case(
        alert=FAILS,
        when="one request in two thousand gets no answer, as promised",
        series=answers(lost="0+1x70", answered="0+1999x70"),
        at="1h10m",
    ),
    Case(
        alert=FAILS,
        when="six requests failed in an hour, of few",
        series=answers(lost="0+0.1x70", answered="0+0.1x70"),
        at="1h",
    ),
    Case(
        alert=FAILS,
        when="a restart sets the counters back",
        series=answers(lost="5+0x30 0+0x40", answered="0+60x30 0+60x40"),
        at="1h",
    ),
    Case(
        alert=DRIPS,
        when="one request in five hundred gets no answer for three days",
        series=answers(lost="0+1x440", answered="0+499x440"),
        at="3d1h",
        every="10m",
        fired=(lost("0.2%"),),
    ),
    Case(
        alert=DRIPS,
        when="it failed three days ago and never since",
        series=answers(lost="0+10x6 60+0x440", answered="0+490x450"),
        at="3d3h",
        every="10m",
    ),
)

BY_RULE_CASES: Final = (
    Case(
        alert=BY_RULE,
        when="the rule gives every second answer",
        series=served_by(model="0+10x60", rule="0+10x60"),
        at="1h",
        fired=(Fired("toy: 50% of the answers were not the model's, at most 0.05 is promised"),),
    ),
    Case(
        alert=BY_RULE,
        when="the model has given every answer for the last six minutes",
        series=served_by(model="0+0x54 0+10x20", rule="0+10x54 540+0x20"),
        at="1h",
    ),
    Case(
        alert=BY_RULE,
        when="the rule gives one answer in fifty",
        series=served_by(model="0+98x60", rule="0+2x60"),
        at="1h",
    ),
    Case(
        alert=BY_RULE,
        when="the rule gave all of six answers",
        series=served_by(model="0+0x60", rule="0+0.2x60"),
        at="1h",
    ),
    Case(
        alert=BY_RULE,
        when="the rule's counter begins anew",
        series=served_by(model="0+60x60", rule="90+0x30 0+0x30"),
        at="50m",
    ),
)

LOADED: Final = (
    Case(
        alert=LOAD,
        when="a version is refused again and again",
        series={'bellwether_model_load_failures_total{model="toy"}': "0+0x10 1+1x30"},
        at="30m",
        fired=(Fired("toy: workers refused a version 15 times in 15m"),),
    ),
    Case(
        alert=LOAD,
        when="a version was refused once, half an hour ago",
        series={'bellwether_model_load_failures_total{model="toy"}': "0+0x5 1+0x40"},
        at="35m",
    ),
    Case(
        alert=LOAD,
        when="the counter falls to zero with a restart",
        series={'bellwether_model_load_failures_total{model="toy"}': "7+0x20 0+0x20"},
        at="30m",
    ),
    Case(
        alert=NOT_SERVED,
        when="the workers still answer with the version before",
        series={
            'bellwether_model_info{job="bellwether-monitor",model="toy",version="v2",alias="champion"}': "1+0x30",
            'bellwether_model_info{job="bellwether-serving",model="toy",version="v1",alias="champion"}': "1+0x30",
            'bellwether_model_info{job="bellwether-serving",model="toy",version="v2",alias="champion"}': "0+0x30",
            'up{job="bellwether-serving"}': "1+0x30",
        },
        at="20m",
        fired=(Fired("toy: no worker answers with the champion v2", {"version": "v2"}),),
    ),
    Case(
        alert=NOT_SERVED,
        when="a worker answers with it",
        series={
            'bellwether_model_info{job="bellwether-monitor",model="toy",version="v2",alias="champion"}': "1+0x30",
            'bellwether_model_info{job="bellwether-serving",model="toy",version="v2",alias="champion"}': "1+0x30",
            'up{job="bellwether-serving"}': "1+0x30",
        },
        at="20m",
    ),
    Case(
        alert=NOT_SERVED,
        when="the service cannot be asked, which ServingDown tells",
        series={
            'bellwether_model_info{job="bellwether-monitor",model="toy",version="v2",alias="champion"}': "1+0x30",
            'up{job="bellwether-serving"}': "0+0x30",
        },
        at="20m",
    ),
    Case(
        alert=GONE,
        when="one of two workers stays away",
        series={
            'bellwether_workers{instance="here:3000"}': "2+0x5 1+0x20",
            'bellwether_workers_wanted{instance="here:3000"}': "2+0x30",
        },
        at="15m",
        fired=(Fired("Only 1 serving workers work at here:3000", {"instance": "here:3000"}),),
    ),
    Case(
        alert="WorkerNotResponding",
        when="a worker was stopped ten minutes ago",
        series={'bellwether_worker_heartbeat_timestamp_seconds{instance="here:3000"}': "0+60x5 300+0x20"},
        at="15m",
        fired=(
            Fired("A serving worker at here:3000 has not shown for 10m 0s that it works", {"instance": "here:3000"}),
        ),
    ),
    Case(
        alert="WorkerNotResponding",
        when="every worker works",
        series={'bellwether_worker_heartbeat_timestamp_seconds{instance="here:3000"}': "0+60x20"},
        at="15m",
    ),
    Case(
        alert=GONE,
        when="a worker is started again within a minute",
        series={
            'bellwether_workers{instance="here:3000"}': "2+0x5 1 2+0x20",
            'bellwether_workers_wanted{instance="here:3000"}': "2+0x30",
        },
        at="8m",
    ),
)


def scoring(*, row: str, asked: str, form: str = "scikit-learn", workers: int = 2) -> dict[str, str]:
    return {
        f'bellwether_model_row_seconds{{model="toy",version="v1",form="{form}"}}': row,
        'bellwether_predictions_total{model="toy",version="v1",served_by="model",arm="control"}': asked,
        "bellwether_workers": f"{workers}+0x60",
    }


def too_slow(expected: str) -> Fired:
    return Fired(
        f"toy: scikit-learn scores version v1 too slowly: a p99 of {expected} is to be expected, objective 50 ms",
        {"version": "v1", "form": "scikit-learn"},
    )


TOO_SLOW: Final = "ScoringTooSlow"

SCORING: Final = (
    Case(
        alert=TOO_SLOW,
        when="a row takes longer than the objective, and hardly anybody asks",
        series=scoring(row="0.08+0x60", asked="0+0x60"),
        at="40m",
        fired=(too_slow("80ms"),),
    ),
    Case(
        alert=TOO_SLOW,
        when="a row takes 8 ms and two workers get 200 a second",
        series=scoring(row="0.008+0x60", asked="0+12000x60"),
        at="40m",
        fired=(too_slow("81.7ms"),),
    ),
    Case(
        alert=TOO_SLOW,
        when="a row takes 8 ms and two workers get 20 a second",
        series=scoring(row="0.008+0x60", asked="0+1200x60"),
        at="40m",
    ),
    Case(
        alert=TOO_SLOW,
        when="a row takes 8 ms and two services of two workers each get 100 a second",
        series={
            'bellwether_model_row_seconds{model="toy",version="v1",form="onnx",instance="one:3000"}': "0.008+0x60",
            'bellwether_model_row_seconds{model="toy",version="v1",form="onnx",instance="two:3000"}': "0.008+0x60",
            'bellwether_predictions_total{model="toy",served_by="model",instance="one:3000"}': "0+6000x60",
            'bellwether_predictions_total{model="toy",served_by="model",instance="two:3000"}': "0+6000x60",
            'bellwether_workers{instance="one:3000"}': "2+0x60",
            'bellwether_workers{instance="two:3000"}': "2+0x60",
        },
        at="40m",
    ),
    Case(
        alert=TOO_SLOW,
        when="ONNX scores and two workers get 2,000 a second",
        series=scoring(row="0.00002+0x60", asked="0+120000x60", form="onnx"),
        at="40m",
    ),
    Case(
        alert=TOO_SLOW,
        when="the slow version was swapped for another half an hour ago",
        series=scoring(row="0.08+0x30 0+0x30", asked="0+1200x60"),
        at="58m",
    ),
)

CASES: Final = (*LATENCY, *ANSWERS, *BY_RULE_CASES, *LOADED, *SCORING)
