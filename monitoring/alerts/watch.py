"""Whether those who watch are there themselves: silence is the worst failure of a monitor."""

from datetime import timedelta

from monitoring.alerts.pace import Pace
from monitoring.alerts.rule import MONITOR_JOB, SERVING_JOB, Alert, Dashboard, Group, Severity
from monitoring.lifecycle.alerts import Result
from monitoring.metrics import table


def watch_rules(pace: Pace) -> Group:
    return Group((_serving_down(), _monitor_silent(), _target_down(), _refused(pace), _watchdog()))


def _serving_down() -> Alert:
    return _down(
        "ServingDown",
        SERVING_JOB,
        "No prediction service answers",
        "Callers get no answers at all, or Prometheus cannot reach who gives them.",
        Dashboard.SERVING,
    )


def _monitor_silent() -> Alert:
    return _down(
        "MonitorSilent",
        MONITOR_JOB,
        "No monitor answers",
        "Nobody sees what predictions do. Start `bellwether evaluate`; the runbook is in monitoring/alerts/runbooks/.",
        Dashboard.OVERVIEW,
    )


def _target_down() -> Alert:
    return Alert(
        name="TargetDown",
        expr="up == 0",
        lasts=timedelta(minutes=5),
        severity=Severity.TICKET,
        summary="{{ $labels.job }} at {{ $labels.instance }} does not answer",
        description="One process of several may be down, or unreachable; its alerts cannot fire meanwhile.",
        dashboard=Dashboard.OVERVIEW,
        of_process=True,
    )


def _watchdog() -> Alert:
    return Alert(
        name="Watchdog",
        expr="vector(1)",
        lasts=timedelta(0),
        severity=Severity.NONE,
        summary="Alerts are computed and delivered",
        description="Always fires. Whoever gets no repetition of it has lost Prometheus or Alertmanager.",
        dashboard=Dashboard.OVERVIEW,
    )


def _refused(pace: Pace) -> Alert:
    window = pace.window(timedelta(hours=1))
    refused = f'{table.ALERTS_RECEIVED}{{result="{Result.REFUSED}"}}[{window}]'
    return Alert(
        name="AlertsRefused",
        expr=f"round(sum by (reason) (increase({refused}))) > 0",
        lasts=timedelta(0),
        severity=Severity.TICKET,
        summary=f"The monitor refused {{{{ $value }}}} alerts in {window}: {{{{ $labels.reason }}}}",
        description="An alert that Alertmanager could not hand over starts no retraining, and nobody is told again.",
        dashboard=Dashboard.PIPELINE,
    )


def _down(name: str, job: str, summary: str, description: str, dashboard: Dashboard) -> Alert:
    """Of all instances, and of a job that is not watched at all."""
    return Alert(
        name=name,
        expr=f'absent(up{{job="{job}"}} == 1)',
        lasts=timedelta(minutes=2),
        severity=Severity.PAGE,
        summary=summary,
        description=description,
        dashboard=dashboard,
        labels={"job": job},
        of_process=True,
    )
