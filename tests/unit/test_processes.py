"""What every long-running process does."""

import socket
import subprocess
import sys
import threading

import pytest
from prometheus_client import CollectorRegistry

from services.core.errors import BellwetherError, PortTaken, SettingsError, StoreUnavailable
from services.entrypoints.processes import opened, serve_metrics
from services.settings import Settings

SLEEPER = """
import time
from services.entrypoints.processes import end_unless_called_within
for _ in range({rounds}):
    end_unless_called_within(0.5)
    time.sleep({seconds})
"""


def run(*, rounds: int, seconds: float) -> subprocess.CompletedProcess[str]:
    program = SLEEPER.format(rounds=rounds, seconds=seconds)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)


def test_a_process_that_makes_no_round_in_time_ends_itself_and_shows_where_it_stood() -> None:
    ended = run(rounds=1, seconds=20)

    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "line 6" in ended.stderr


def test_a_process_that_makes_its_rounds_is_left_alone() -> None:
    assert run(rounds=8, seconds=0.1).returncode == 0


class Away:
    """Something that is away for the first tries."""

    def __init__(self, *failures: BellwetherError) -> None:
        self.failures = list(failures)

    def open(self) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return "open"


class NeverWaits(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def test_a_process_waits_for_what_is_away_when_it_begins() -> None:
    assert opened(Away(StoreUnavailable("no server"), StoreUnavailable("starting")).open, stop=NeverWaits()) == "open"


def test_what_no_waiting_mends_is_an_error_at_once() -> None:
    with pytest.raises(SettingsError, match="a password"):
        opened(Away(SettingsError("the URL has a password in it")).open, stop=NeverWaits())


def test_a_process_that_waits_can_be_stopped() -> None:
    stop = threading.Event()
    stop.set()
    assert opened(Away().open, stop=stop) is None


def test_metrics_whose_port_is_taken_name_the_setting_that_chooses_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"127.0.0.1:{taken} .* --lifecycle-port or BELLWETHER_LIFECYCLE_PORT"):
            serve_metrics(CollectorRegistry(), Settings(lifecycle_port=taken), "lifecycle_port")
