"""`bellwether serve`: becomes BentoML's server, in an environment in which it keeps to itself."""

import ipaddress
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from services import home_settings
from services.adapters.home_lock import own, use_homes_of
from services.core.errors import BellwetherError, PortTaken, SettingsError
from services.entrypoints.access import access_of
from services.settings import Settings

SERVICE: Final = "services.entrypoints.bento:service"
NAME: Final = "bellwether serve"
SHARE_VERSIONS: Final = "give each service a home of its own, and let them share versions alone, with --versions"
HOLDING: Final = "--holding"
"""Of `python -m services.entrypoints.serve`: the descriptor of the home's lock, which the parent passes on."""
STOP_SECONDS: Final = 10
"""How long requests that are under way may take after a stop was asked for. BentoML's own default is a day."""
PORT_PATIENCE_SECONDS: Final = 3.0
"""Workers of a server that was killed notice within half a second and finish what they do before they free the port."""


def run_serving(settings: Settings, *, holding: int | None = None) -> NoReturn:
    """Serve until stopped. This process becomes BentoML's supervisor of the workers, so its id stays the same.

    `holding` is the descriptor of the home's lock, where whoever started this process owns the home.

    Raises:
        PortTaken: somebody else listens there.
        AlreadyRunning: somebody else serves from this home, or keeps its server's files in the same place.
        SettingsError: the host is no address, callers from elsewhere would need no token, or the home keeps its
            features, versions or events somewhere else.
    """
    settings = home_settings.of_home(settings, *home_settings.OF_SERVING)
    access_of(settings)
    _require_port(settings.host, settings.port)
    _make(settings.serving_directory)
    # The server and its workers hold both: a home is in use until the last of them has left.
    home = own(settings.home, command=NAME, handed_on=holding)
    server = own(settings.serving_directory, command=NAME, remedy=SHARE_VERSIONS)
    settings = home_settings.keep(settings, *home_settings.OF_SERVING)
    locks = [home, server, *use_homes_of(settings.shareable_files, home=settings.home, command=NAME)]
    for lock in locks:
        lock.pass_on()
    os.execve(sys.executable, command(settings), environment(settings, os.environ))  # noqa: S606 - our own interpreter


def command(settings: Settings, *, service: str = SERVICE) -> list[str]:
    """BentoML's server for `service`, a module and its attribute."""
    return [
        sys.executable,
        *("-m", "services.entrypoints.supervisor", "serve", service),
        *("--host", settings.host),
        *("--port", str(settings.port)),
        *("--timeout-graceful-shutdown", str(STOP_SECONDS)),
    ]


def environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The settings, and what BentoML reads from nowhere else."""
    return {
        **inherited,
        **settings.as_environment(),
        # Of this service alone: BentoML empties the directory of its workers' metrics in it when it starts.
        "BENTOML_HOME": str(settings.serving_directory),
        # The word matters: "1" would not stop it.
        "BENTOML_DO_NOT_TRACK": "True",
        # Nobody reads the traces, and every request would pay for them.
        "OTEL_SDK_DISABLED": "true",
    }


def main(arguments: Sequence[str] = ()) -> int:
    try:
        run_serving(Settings.from_environment(), holding=_holding(arguments))
    except BellwetherError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _holding(arguments: Sequence[str]) -> int | None:
    return int(arguments[1]) if len(arguments) == 2 and arguments[0] == HOLDING else None


def _make(directory: Path) -> None:
    """Raises `SettingsError`."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{directory} cannot be made ({error.strerror}); choose another home with --home"
        ) from error


def _require_port(host: str, port: int) -> None:
    family = _family(host)
    deadline = time.monotonic() + PORT_PATIENCE_SECONDS
    while not _is_free(family, host, port):
        if time.monotonic() > deadline:
            raise PortTaken(f"{host}:{port} is taken by another program; stop it or choose another port")
        time.sleep(0.1)


def _family(host: str) -> socket.AddressFamily:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError as error:
        raise SettingsError(f"host is {host!r}; expected an IP address such as 127.0.0.1 or ::1") from error
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _is_free(family: socket.AddressFamily, host: str, port: int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # A port that only waits out the end of old connections is free for a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
