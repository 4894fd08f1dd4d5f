"""One home, one instance: the lock, the ports, and room for a new run."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from services.adapters.home_lock import LOCKS, HomeLock, own
from services.core.errors import PortTaken, SettingsError
from services.settings import KAFKA, Settings, variable_of

EARLIER: Final = "earlier"


@contextmanager
def only_instance(home: Path, *, command: str) -> Iterator[HomeLock]:
    """Hold the home for this process, and for those that get the lock from it.

    Raises:
        SettingsError: the home's parent directory does not exist, or something else stands in the home's place.
        AlreadyRunning: another process holds the home; its process id is named.
    """
    _make(home)
    with own(home, command=command) as lock:
        yield lock


def require_free_ports(settings: Settings) -> None:
    """Raises `PortTaken`, naming the port, the setting and the remedy."""
    for name, host, port in (
        ("port", settings.host, settings.port),
        ("monitor_port", settings.monitor_host, settings.monitor_port),
        ("consumer_port", settings.metrics_host, settings.consumer_port),
        ("lifecycle_port", settings.metrics_host, settings.lifecycle_port),
        *([("forwarder_port", settings.metrics_host, settings.forwarder_port)] if settings.event_log == KAFKA else []),
    ):
        if not _is_free(host, port):
            flag = "--" + name.replace("_", "-")
            raise PortTaken(
                f"port {port} on {host} is taken by another program; "
                f"stop that program, or choose another with {flag} or {variable_of(name)}"
            )


def move_earlier_run_aside(home: Path, *, at: datetime) -> Path | None:
    """Make room for a new run. What an earlier run recorded is kept, under `earlier/`; returns where, or None.

    Nobody else may use the home meanwhile: who has a file open would go on writing into it where it lies then.
    """
    recorded = [entry for entry in home.iterdir() if entry.name not in (*LOCKS, EARLIER)]
    if not recorded:
        return None
    aside = home / EARLIER / at.strftime("%Y%m%dT%H%M%S")
    aside.mkdir(parents=True)
    for entry in recorded:
        entry.rename(aside / entry.name)
    return aside


def _make(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError as error:
        raise SettingsError(
            f"home {home}: the directory {home.parent} does not exist; create it or change --home"
        ) from error
    except FileExistsError as error:
        raise SettingsError(f"home {home} is a file, expected a directory; remove it or change --home") from error


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A port that only waits out the end of old connections is free for a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
