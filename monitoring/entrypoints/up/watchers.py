"""Prometheus and Alertmanager of a run: they watch it as they would watch a deployment, by the same rules.

They are started once everything answers, for what is being started looks like what has died.
"""

import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from monitoring.alerts.notify import NAME, Notifying
from monitoring.entrypoints.rules import stack_of, write, write_notifying
from monitoring.entrypoints.up.servers import DEPLOY, OwnServer, free_port
from services.core.errors import SettingsError
from services.entrypoints.access import token_to_send
from services.settings import ALERTMANAGER, Settings

PROMETHEUS: Final = "prometheus"
WATCHERS: Final = (PROMETHEUS, ALERTMANAGER)
PROGRAMS: Final = {PROMETHEUS: ("prometheus",), ALERTMANAGER: ("alertmanager", "prometheus-alertmanager")}
"""Their makers' names, and Debian's."""

SCRAPE_SECONDS: Final = 0.5
"""A world day lasts a third of a second: what is looked at less often is over before it is seen."""
GRAFANA: Final = "http://127.0.0.1:3010"
TOKEN_FILE: Final = "alert_token"  # noqa: S105 - a file's name
MONITOR_TOKEN_FILE: Final = "monitor_token"  # noqa: S105 - as above


@dataclass(frozen=True, slots=True)
class Watchers:
    """`servers` are started in their order; `missing` are not on this machine."""

    servers: Sequence[OwnServer] = ()
    missing: Sequence[str] = ()


def with_watchers(
    settings: Settings, *, asked_for: Sequence[str], speed: float, which: Callable[[str], str | None] = shutil.which
) -> tuple[Settings, Watchers]:
    """Those that are on the machine, with their configuration written into the home, and the settings with them.

    Alertmanager, where there is one, hands drift over in the monitor's place.

    Args:
        asked_for: those without which the run must not begin.
        speed: simulated seconds per real second.
        which: where a program lies on this machine, None for nowhere.

    Raises:
        SettingsError: one that was asked for is not on this machine, or is none that is known.
    """
    if unknown := sorted(set(asked_for) - set(WATCHERS)):
        raise SettingsError(f"--with {', '.join(unknown)}: expected some of {', '.join(WATCHERS)}")
    missing = [name for name in WATCHERS if not any(map(which, PROGRAMS[name]))]
    if lacking := [name for name in asked_for if name in missing]:
        raise SettingsError(
            f"--with {', '.join(lacking)}: not on this machine; install the packages prometheus and "
            "prometheus-alertmanager (deploy/local/install does), or leave the flag out"
        )
    if PROMETHEUS in missing:
        # Nobody would tell an Alertmanager of anything.
        return settings, Watchers(missing=missing)
    alertmanager = None if ALERTMANAGER in missing else _server(settings, ALERTMANAGER, NAME)
    if alertmanager is not None:
        token = settings.alert_token or secrets.token_urlsafe(32)
        settings = replace(settings, drift_alerts=ALERTMANAGER, alert_token=token)
    prometheus = _server(settings, PROMETHEUS, "prometheus.yml")
    _configure(settings, prometheus, alertmanager, speed=speed)
    return settings, Watchers([each for each in (alertmanager, prometheus) if each is not None], missing)


def _configure(settings: Settings, prometheus: OwnServer, alertmanager: OwnServer | None, *, speed: float) -> None:
    monitor = f"http://{settings.monitor_host}:{settings.monitor_port}"
    scraped_with = settings.monitor_token or token_to_send(settings)
    stack = stack_of(
        settings,
        monitor_url=monitor,
        grafana_url=GRAFANA,
        prometheus=prometheus.address,
        alertmanager=alertmanager.address if alertmanager else "",
        speed=speed,
        scrape_seconds=SCRAPE_SECONDS,
        scrape_token_file=MONITOR_TOKEN_FILE if scraped_with else "",
    )
    write(stack, _configuration(settings, PROMETHEUS))
    if scraped_with:
        _keep_secret(_configuration(settings, PROMETHEUS) / MONITOR_TOKEN_FILE, scraped_with)
    if alertmanager is not None:
        directory = _configuration(settings, ALERTMANAGER)
        write_notifying(Notifying(monitor=monitor, token_file=TOKEN_FILE, pace=stack.pace), directory)
        _keep_secret(directory / TOKEN_FILE, settings.alert_token)


def _keep_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _server(settings: Settings, name: str, config: str) -> OwnServer:
    file = _configuration(settings, name) / config
    return OwnServer(name, DEPLOY / "local" / name, free_port(), settings.home / name, (str(file),))


def _configuration(settings: Settings, name: str) -> Path:
    return settings.home / name / "configuration"
