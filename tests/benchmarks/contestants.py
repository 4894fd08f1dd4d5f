"""The servers that are compared, each in its own process with its own port, all with the same pipeline."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from services.entrypoints.serve import command, environment
from services.settings import Settings
from tests.benchmarks.load import HOST, http_request
from tests.benchmarks.workbench import MODEL, Workbench
from tests.ports import free_port
from tests.waiting import eventually

ROOT: Final = Path(__file__).parents[2]
PEERS: Final = Path(__file__).parent / "peers"
START_SECONDS: Final = 90.0
STOP_SECONDS: Final = 20.0

OURS: Final = "bellwether"
CONSTANT: Final = "constant"
FASTAPI: Final = "fastapi"
FASTAPI_ONNX: Final = "fastapi_onnx"
BENTOML: Final = "bentoml"
MLSERVER: Final = "mlserver"

TITLES: Final = {
    OURS: "Bellwether: every feature checked, every answer recorded",
    CONSTANT: "the same server answering a constant",
    FASTAPI: "FastAPI + scikit-learn",
    FASTAPI_ONNX: "FastAPI + ONNX Runtime, tuned by hand",
    BENTOML: "BentoML's documented service",
    MLSERVER: "MLServer's scikit-learn runtime",
}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A running server. `requests` are the bytes to send it, round and round."""

    name: str
    port: int
    requests: Sequence[bytes]
    process: subprocess.Popen[bytes]

    def resident_mb(self) -> float:
        """Resident memory of its processes together, pages that they share counted in each (RSS)."""
        root = psutil.Process(self.process.pid)
        return sum(each.memory_info().rss for each in (root, *root.children(recursive=True))) / 1e6


@contextmanager
def running(name: str, bench: Workbench, *, workers: int) -> Iterator[Contestant]:
    """Start it, wait until it answers a prediction, and stop its process group in the end."""
    port = free_port()
    argv, variables, requests = _BUILDERS[name](bench, port, workers)
    with (bench.directory / f"{name}-{workers}.log").open("wb") as log:
        process = subprocess.Popen(
            argv, cwd=ROOT, env=os.environ | variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        contestant = Contestant(name, port, requests, process)
        eventually(lambda: answers(contestant), what=f"{name} answers, see {log.name}", seconds=START_SECONDS)
        yield contestant
    finally:
        stop(process)


_Built = tuple[list[str], dict[str, str], list[bytes]]


def _ours(bench: Workbench, port: int, workers: int) -> _Built:
    settings = bench.settings.with_flags(port=port, workers=workers)
    requests = [http_request(f"/v1/models/{MODEL}/predict", body) for body in bench.checked_questions()]
    return command(settings), environment(settings, {}), requests


def _constant(bench: Workbench, port: int, workers: int) -> _Built:
    """In a home of its own: BentoML empties a directory in it when it starts."""
    settings = Settings(home=bench.directory / "constant", port=port, workers=workers)
    settings.bentoml_home.mkdir(parents=True, exist_ok=True)
    requests = [http_request(f"/v1/models/{MODEL}/predict", body) for body in bench.checked_questions()]
    return command(settings, service="tests.benchmarks.constant_service:service"), environment(settings, {}), requests


def _uvicorn(module: str) -> Callable[[Workbench, int, int], _Built]:
    def build(bench: Workbench, port: int, workers: int) -> _Built:
        argv = [
            *(_peers_python(), "-m", "uvicorn", f"{module}:app", "--app-dir", str(PEERS)),
            *("--host", HOST, "--port", str(port), "--workers", str(workers), "--no-access-log"),
        ]
        return argv, _files(bench), [http_request("/predict", body) for body in bench.whole_questions()]

    return build


def _bentoml(bench: Workbench, port: int, workers: int) -> _Built:
    configuration = bench.directory / "bentoml-peer.yaml"
    configuration.write_text(f"services:\n  Churn:\n    workers: {workers}\n", "utf-8")
    argv = [
        *(_peers_python(), "-m", "bentoml", "serve", "bentoml_documented:Churn", "--working-dir", str(PEERS)),
        *("--host", HOST, "--port", str(port)),
    ]
    variables = _files(bench) | {
        "BENTOML_CONFIG": str(configuration),
        "BENTOML_HOME": str(bench.directory / "bentoml-peer"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    return argv, variables, [http_request("/predict", body) for body in bench.whole_questions()]


def _mlserver(bench: Workbench, port: int, workers: int) -> _Built:
    """`parallel_workers` 0 keeps inference in the server's process, which is its quickest with one worker."""
    directory = bench.directory / f"mlserver-{workers}"
    directory.mkdir(exist_ok=True)
    settings = {
        "host": HOST,
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0 if workers == 1 else workers,
        "debug": False,
        "access_log": False,
        "metrics_dir": str(directory / "metrics"),
    }
    model = {
        "name": MODEL,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(bench.pipeline), "content_type": "pd"},
    }
    (directory / "settings.json").write_text(json.dumps(settings), "utf-8")
    (directory / "model-settings.json").write_text(json.dumps(model), "utf-8")
    argv = [str(Path(_peers_python()).with_name("mlserver")), "start", str(directory)]
    variables = {"MLSERVER_PARALLEL_WORKERS_TIMEOUT": "30", "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    requests = [http_request(f"/v2/models/{MODEL}/infer", body) for body in _tensors(bench)]
    return argv, variables, requests


def _tensors(bench: Workbench) -> list[bytes]:
    return [json.dumps(_infer_request(dict(case.features))).encode() for case in bench.cases]


def _infer_request(features: dict[str, float | str]) -> dict[str, object]:
    inputs = [
        {"name": name, "shape": [1, 1], "datatype": "BYTES", "data": [value], "parameters": {"content_type": "str"}}
        if isinstance(value, str)
        else {"name": name, "shape": [1, 1], "datatype": "FP64", "data": [value]}
        for name, value in features.items()
    ]
    return {"inputs": inputs, "outputs": [{"name": "predict_proba"}]}


_BUILDERS: Final[dict[str, Callable[[Workbench, int, int], _Built]]] = {
    OURS: _ours,
    CONSTANT: _constant,
    FASTAPI: _uvicorn("fastapi_sklearn"),
    FASTAPI_ONNX: _uvicorn("fastapi_onnx"),
    BENTOML: _bentoml,
    MLSERVER: _mlserver,
}


def _files(bench: Workbench) -> dict[str, str]:
    return {"BENCH_PIPELINE": str(bench.pipeline), "BENCH_ONNX": str(bench.onnx)}


def _peers_python() -> str:
    """The interpreter in which the peers are installed, apart from ours: they pin other versions of shared parts."""
    return str(Path(sys.executable).parents[2] / ".venv-peers" / "bin" / "python")


def answers(contestant: Contestant) -> bool:
    assert contestant.process.poll() is None, f"{contestant.name} ended"
    head, _, body = contestant.requests[0].partition(b"\r\n\r\n")
    path = head.split(b" ")[1].decode()
    request = urllib.request.Request(
        f"http://{HOST}:{contestant.port}{path}", data=body, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - this machine
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask its process group to end, and make it when it does not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(STOP_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
