"""When those who watch are gone."""

from typing import Final

from tests.rules.case import Case, Fired

CASES: Final = (
    Case(
        alert="ServingDown",
        when="the only service does not answer",
        series={'up{job="bellwether-serving",instance="a"}': "1+0x5 0+0x20"},
        at="10m",
        fired=(Fired("No prediction service answers"),),
    ),
    Case(
        alert="ServingDown",
        when="it is not watched at all",
        series={},
        at="10m",
        fired=(Fired("No prediction service answers"),),
    ),
    Case(
        alert="ServingDown",
        when="one of two answers",
        series={
            'up{job="bellwether-serving",instance="a"}': "0+0x20",
            'up{job="bellwether-serving",instance="b"}': "1+0x20",
        },
        at="10m",
    ),
    Case(
        alert="MonitorSilent",
        when="the monitor does not answer",
        series={'up{job="bellwether-monitor",instance="a"}': "0+0x20"},
        at="10m",
        fired=(Fired("No monitor answers"),),
    ),
    Case(
        alert="MonitorSilent",
        when="it restarts within a minute",
        series={'up{job="bellwether-monitor",instance="a"}': "1+0x5 0 1+0x20"},
        at="7m",
    ),
    Case(
        alert="TargetDown",
        when="a consumer does not answer",
        series={'up{job="bellwether-consumer",instance="a"}': "0+0x20"},
        at="10m",
        fired=(Fired("bellwether-consumer at a does not answer", {"job": "bellwether-consumer", "instance": "a"}),),
    ),
    Case(
        alert="TargetDown",
        when="everything answers",
        series={'up{job="bellwether-consumer",instance="a"}': "1+0x20"},
        at="10m",
    ),
    Case(
        alert="AlertsRefused",
        when="Alertmanager comes with another token",
        series={'bellwether_alerts_received_total{result="refused",reason="unauthorized"}': "0+0x20 3+0x60"},
        at="40m",
        fired=(Fired("The monitor refused 3 alerts in 1h: unauthorized", {"reason": "unauthorized"}),),
    ),
    Case(
        alert="AlertsRefused",
        when="alerts are ignored because they were answered, or refused hours ago",
        series={
            'bellwether_alerts_received_total{result="ignored",reason="answered"}': "0+1x200",
            'bellwether_alerts_received_total{result="refused",reason="unauthorized"}': "0+0x20 3+0x200",
        },
        at="2h30m",
    ),
    Case(
        alert="Watchdog",
        when="nothing is wrong, and nothing is known",
        series={},
        at="1m",
        fired=(Fired("Alerts are computed and delivered"),),
    ),
)
