"""A worker of a real server that is stopped: it is noticed, by the metrics and by `bellwether status` alike."""

import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from services.core.artifacts import SILENT_AFTER
from tests.integration.serving_process import ServingProcess, toy_serving
from tests.waiting import eventually

NOTICED_SECONDS = SILENT_AFTER.total_seconds() + 30


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    with toy_serving(tmp_path_factory.mktemp("stopped"), versions={"v1": 1}) as process:
        yield process


def shown(serving: ServingProcess, name: str) -> float | None:
    """None while nothing answers: the stopped worker may have got the connection."""
    try:
        text = httpx.get(f"{serving.url}/metrics", timeout=2).text
    except httpx.TransportError:
        return None
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} ")), None)


def test_a_stopped_worker_counts_as_none_until_it_goes_on(serving: ServingProcess) -> None:
    stopped, other = serving.fleet.workers("toy")
    assert shown(serving, "bellwether_workers") == 2

    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        eventually(lambda: shown(serving, "bellwether_workers") == 1, what="one worker counts", seconds=NOTICED_SECONDS)
        heartbeat = shown(serving, "bellwether_worker_heartbeat_timestamp_seconds")
        silent = [report.pid for report in serving.fleet.silent("toy")]
        working = [report.pid for report in serving.fleet.workers("toy")]
        text = httpx.get(f"{serving.url}/metrics", timeout=10).text
    finally:
        os.kill(stopped.pid, signal.SIGCONT)

    assert (silent, working) == ([stopped.pid], [other.pid])
    assert heartbeat is not None
    assert 'bellwether_model_info{alias="champion",model="toy",version="v1"} 1.0' in text
    eventually(lambda: shown(serving, "bellwether_workers") == 2, what="both count again")
    eventually(lambda: serving.fleet.silent("toy") == [], what="both have reported again")
    later = shown(serving, "bellwether_worker_heartbeat_timestamp_seconds")
    assert later is not None
    assert later > heartbeat + SILENT_AFTER.total_seconds()
