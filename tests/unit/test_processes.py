"""What every long-running process does."""

import subprocess
import sys

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
