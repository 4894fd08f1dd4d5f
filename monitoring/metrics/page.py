"""docs/metrics.md, from the tables: `python -m monitoring.metrics.page` prints it."""

from collections.abc import Mapping
from typing import Final

from monitoring.metrics.table import LIFECYCLE, MONITOR
from services.metrics.table import CONSUMER, FORWARDER, SERVING, Described

PROCESSES: Final[Mapping[str, tuple[str, Mapping[str, Described]]]] = {
    "Prediction service": ("`bellwether serve`, port 3000; all workers together, whichever is asked", SERVING),
    "Consumer": ("`bellwether consume`, port 3002 of 127.0.0.1", CONSUMER),
    "Forwarder": ("`bellwether forward`, port 3003 of 127.0.0.1; only where Kafka is the event log", FORWARDER),
    "Monitor": ("`bellwether evaluate`, port 3001", MONITOR),
    "Lifecycle": ("`bellwether lifecycle`, port 3004 of 127.0.0.1", LIFECYCLE),
}

HEAD: Final = """\
<!-- Written by `python -m monitoring.metrics.page` from the tables of metrics; edit those, not this page. -->
# Metrics

Each process shows its own on `/metrics`. Labels are closed sets: models, versions, features, statuses, never an id or
a path. A figure that is not known has no line: it is never 0, and never the last one that was. What is counted begins
at 0 where the labels are known beforehand.

Prometheus's rules ([why they are as they are](decisions/alerts.md)) record further series with a colon in their names;
they stand in `deploy/prometheus/rules/`, and how to react to an alert in `monitoring/alerts/runbooks/`.
"""


def page() -> str:
    sections = [_section(title, where, metrics) for title, (where, metrics) in PROCESSES.items()]
    return "\n".join([HEAD, *sections])


def _section(title: str, where: str, metrics: Mapping[str, Described]) -> str:
    head = f"## {title}\n\n{where}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n"
    return head + "".join(_row(name, each) for name, each in metrics.items())


def _row(name: str, described: Described) -> str:
    labels = ", ".join(f"`{label}`" for label in described.labels)
    return f"| `{name}` | {described.kind.value} | {labels or '–'} | {described.meaning} |\n"


if __name__ == "__main__":
    print(page(), end="")
