"""`bellwether rules`: Prometheus's rules and configuration, written or compared."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from monitoring.alerts import notify
from monitoring.alerts.build import RULES, Stack, files
from monitoring.alerts.notify import Notifying
from monitoring.alerts.pace import Pace
from monitoring.alerts.rule import CONSUMER_JOB, FORWARDER_JOB, LIFECYCLE_JOB, MONITOR_JOB, SERVING_JOB
from services.core.errors import BellwetherError
from services.models.discovery import discover
from services.settings import KAFKA, Settings


class OutOfDate(BellwetherError):
    code = "out_of_date"


def stack_of(
    settings: Settings,
    *,
    monitor_url: str,
    grafana_url: str,
    prometheus: str,
    alertmanager: str,
    targets: Sequence[str] = (),
    speed: float = 1.0,
    scrape_seconds: float = 15.0,
    scrape_token_file: str = "",
) -> Stack:
    """The stack of these settings on one machine; `targets` are job=host:port of what runs elsewhere.

    An empty address of Prometheus or Alertmanager stands for none.
    """
    return Stack(
        specs=list(discover().values()),
        targets=_local(settings, prometheus, alertmanager) | _elsewhere(targets),
        alertmanagers=[alertmanager] if alertmanager else [],
        monitor=monitor_url.rstrip("/"),
        grafana=grafana_url.rstrip("/"),
        batch=settings.consume_batch,
        pace=Pace(speed=speed, scrape=timedelta(seconds=scrape_seconds)),
        scrape_token_file=scrape_token_file,
    )


def write(stack: Stack, directory: Path) -> list[Path]:
    """Write every file, and remove rules that there are no more. Returns what was written."""
    wanted = {directory / name: text for name, text in files(stack).items()}
    (directory / RULES).mkdir(parents=True, exist_ok=True)
    for path in (directory / RULES).glob("*.yml"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.write_text(text)
    return list(wanted)


def require_current(stack: Stack, directory: Path) -> None:
    """Raises `OutOfDate` where a file differs from what would be written, is missing, or would not be there."""
    wanted = {directory / name: text for name, text in files(stack).items()}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    stale += [path for path in (directory / RULES).glob("*.yml") if path not in wanted]
    if stale:
        raise OutOfDate(f"{', '.join(map(str, stale))}: not what the specs say; run `bellwether rules`, and commit it")


def write_notifying(notifying: Notifying, directory: Path) -> Path:
    """Write Alertmanager's configuration."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / notify.NAME
    path.write_text(notify.text(notifying))
    return path


def require_notifying(notifying: Notifying, directory: Path) -> None:
    """Raises `OutOfDate` where Alertmanager's configuration differs from what would be written."""
    path = directory / notify.NAME
    if not path.is_file() or path.read_text() != notify.text(notifying):
        raise OutOfDate(f"{path}: not what would be written; run `bellwether rules`, and commit it")


def _local(settings: Settings, prometheus: str, alertmanager: str) -> dict[str, Sequence[str]]:
    found: dict[str, Sequence[str]] = {
        SERVING_JOB: [f"{settings.host}:{settings.port}"],
        MONITOR_JOB: [f"{settings.monitor_host}:{settings.monitor_port}"],
        CONSUMER_JOB: [f"127.0.0.1:{settings.consumer_port}"],
        LIFECYCLE_JOB: [f"127.0.0.1:{settings.lifecycle_port}"],
    }
    if settings.event_log == KAFKA:
        found[FORWARDER_JOB] = [f"127.0.0.1:{settings.forwarder_port}"]
    watchers = {"prometheus": prometheus, "alertmanager": alertmanager}
    return found | {name: [address] for name, address in watchers.items() if address}


def _elsewhere(targets: Sequence[str]) -> dict[str, Sequence[str]]:
    """Of one job there may be several."""
    found: dict[str, list[str]] = {}
    for target in targets:
        job, equals, address = target.partition("=")
        if not (job and equals and address):
            raise BellwetherError(f"target {target!r} is no JOB=HOST:PORT, such as bellwether-consumer=consumer:3002")
        found.setdefault(job, []).append(address)
    return dict(found)
