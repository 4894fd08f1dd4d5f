"""What every long-running process does in the same way: one log, and a clean stop on SIGTERM and Ctrl-C."""

import faulthandler
import logging
import signal
import threading
from collections.abc import Callable
from typing import Final, Literal, TypeVar

from prometheus_client import CollectorRegistry

from services.core.errors import BellwetherError, PortTaken
from services.entrypoints.access import access_of_monitor
from services.entrypoints.log import log_to_stderr
from services.settings import Settings, variable_of

Opened = TypeVar("Opened")

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 5.0
"""A server that is started together with us is there in a second or two; one that is away for long is asked seldom."""

logger = logging.getLogger("bellwether")

__all__ = ["end_unless_called_within", "log_to_stderr", "opened", "serve_metrics", "stop_on_signals"]


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM or SIGINT sets; what is under way is finished first."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def opened(open_it: Callable[[], Opened], *, stop: threading.Event, patient: bool = True) -> Opened | None:
    """What a process works on, asked for again while it is away; None when the process is told to stop meanwhile.

    Raises `BellwetherError` for what no waiting mends, such as wrong settings, and for everything unless `patient`.
    """
    pause = FIRST_PAUSE_SECONDS
    while not stop.is_set():
        try:
            return open_it()
        except BellwetherError as error:
            if not (patient and error.retriable):
                raise
            logger.warning("cannot begin yet: %s; trying again in %.1f s", error, pause)
            stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    return None


def serve_metrics(
    registry: CollectorRegistry, settings: Settings, port: Literal["consumer_port", "forwarder_port", "lifecycle_port"]
) -> None:
    """Show `registry` at the port of that setting from now on, in a thread of its own.

    Raises:
        PortTaken: something else has the port; which setting it is and the remedy are named.
        SettingsError: others than this machine could read it without a token.
    """
    # A command that does one round shows nothing, and needs no server.
    from services.entrypoints.listening import bound_socket, show_metrics  # noqa: PLC0415

    number: int = getattr(settings, port)
    access = access_of_monitor(settings, "metrics_host")
    try:
        bound = bound_socket(settings.metrics_host, number)
    except OSError as error:
        raise PortTaken(
            f"cannot show metrics on {settings.metrics_host}:{number} ({error.strerror}); stop what does, "
            f"or choose another port with --{port.replace('_', '-')} or {variable_of(port)}"
        ) from error
    show_metrics(registry, bound, access)


def end_unless_called_within(seconds: float) -> None:
    """End this process, with the stack of every thread on standard error, unless this is called again in time.

    A library that loops for ever cannot be interrupted from inside; whoever started the process starts it again.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)
