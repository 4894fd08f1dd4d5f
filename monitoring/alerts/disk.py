"""Whether the home's disk has room for what is still to be recorded."""

from datetime import timedelta
from typing import Final

from monitoring.alerts.pace import Pace
from monitoring.alerts.rule import Alert, Dashboard, Group, Severity
from services.metrics import table

ALMOST_NOTHING: Final = 0.05
LITTLE: Final = 0.15
HALF: Final = 0.5
"""Above it a few hours' rise says nothing of tomorrow."""
SEEN: Final = timedelta(hours=6)
AHEAD: Final = timedelta(days=1)


def disk_rules(pace: Pace) -> Group:
    share = f"{table.HOME_FREE} / {table.HOME_SIZE}"
    ahead = f"predict_linear({table.HOME_FREE}[{pace.window(SEEN)}], {pace.age(AHEAD)}) < 0"
    return Group(
        (
            Alert(
                name="DiskNearlyFull",
                expr=f"{share} < {ALMOST_NOTHING:g}",
                lasts=timedelta(minutes=2),
                severity=Severity.PAGE,
                summary="The disk of {{ $labels.instance }}'s home has {{ $value | humanizePercentage }} left",
                description="Once it is full no answer can be recorded, and so none is given.",
                dashboard=Dashboard.SERVING,
            ),
            Alert(
                name="DiskFilling",
                expr=f"{share} < {LITTLE:g}\nor {share} < {HALF:g} and {ahead}",
                lasts=timedelta(minutes=30),
                severity=Severity.TICKET,
                summary="The disk of {{ $labels.instance }}'s home fills: {{ $value | humanizePercentage }} left",
                description="There is little left, or it will be full within a day if it goes on like this.",
                dashboard=Dashboard.SERVING,
            ),
        ),
    )
