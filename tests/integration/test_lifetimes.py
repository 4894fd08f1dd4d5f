"""Processes that are left behind by the one that started them: they end, and free what they held."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from monitoring.entrypoints.up.servers import DEPLOY
from services.adapters.process_ids import runs
from services.settings import Settings
from tests.integration.serving_process import toy_process, toy_serving
from tests.ports import free_port
from tests.servers.missing import skip_without
from tests.servers.process import UNAVAILABLE
from tests.waiting import eventually

GONE_SECONDS = 15.0
STARTS_A_DATABASE = """
import sys, time
from pathlib import Path
from monitoring.entrypoints.up.children import Children
from services.settings import Settings
child = Children(Settings(home=Path(sys.argv[1])), print).start("postgresql", sys.argv[2:])
print(child.pid, flush=True)
child.process.wait()
"""


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[psutil.Process]:
    """A server whose first worker process has just begun."""
    with toy_process(Settings(home=tmp_path, port=free_port(), workers=1), tmp_path / "serving.log") as process:
        server = psutil.Process(process.pid)
        eventually(lambda: bool(workers(server)), what="the server starts a worker", seconds=90)
        yield server


def workers(server: psutil.Process) -> list[psutil.Process]:
    return [each for each in server.children(recursive=True) if "_bentoml_impl.worker.service" in each.cmdline()]


def test_workers_that_are_still_starting_leave_when_their_server_is_killed(starting: psutil.Process) -> None:
    left = workers(starting)
    starting.kill()
    # A worker looks for its server once its imports are done.
    eventually(lambda: not any(runs(each.pid) for each in left), what="the workers have left", seconds=60)


def test_a_server_whose_terminal_is_closed_ends_with_its_workers(tmp_path: Path) -> None:
    with toy_serving(tmp_path, versions={"v1": 1}, workers=1) as serving:
        left = workers(psutil.Process(serving.process.pid))
        serving.process.send_signal(signal.SIGHUP)
        assert serving.process.wait(GONE_SECONDS) == 0
        eventually(lambda: not any(runs(each.pid) for each in left), what="the workers have left")


def test_a_database_ends_with_who_started_it_though_it_runs_as_another_user(tmp_path: Path) -> None:
    # Every directory above has to be open to that user.
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o755)
    words = [str(DEPLOY / "local" / "postgresql"), str(free_port()), str(tmp_path / "data")]
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_A_DATABASE, str(tmp_path), *words], stdout=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        server = int(run.stdout.readline())
        log = tmp_path / "logs" / "postgresql.log"
        ready = "ready to accept connections"
        eventually(lambda: ready in log.read_text() or run.poll() is not None, what="it accepts connections")
        if run.poll() is not None:
            skip_without("PostgreSQL", f"exit code {UNAVAILABLE}: {log.read_text()}")
        family = [server, *(each.pid for each in psutil.Process(server).children(recursive=True))]
        run.kill()
    eventually(lambda: not any(map(runs, family)), what="the server and its processes have ended", seconds=GONE_SECONDS)
