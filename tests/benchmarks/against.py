"""This checkout beside another, such as the last release: the same questions and events, in turns on one machine."""

import json
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop

from services.core.errors import BellwetherError
from tests.benchmarks.contestants import START_SECONDS, Contestant, answers, stop
from tests.benchmarks.load import http_request, load
from tests.benchmarks.machine import described
from tests.benchmarks.workbench import MODEL
from tests.ports import free_port
from tests.waiting import eventually

HERE: Final = Path(__file__).parents[2]
CONNECTIONS: Final = (1, 8, 64)
WARM_UP_SECONDS: Final = 3.0

SET_UP: Final = """
import json, sys
from pathlib import Path
from services.settings import Settings
from tests.benchmarks.workbench import set_up
directory = Path(sys.argv[1])
bench = set_up(directory, Settings(home=directory / "home"))
(directory / "questions.json").write_text(json.dumps([each.decode() for each in bench.checked_questions()]))
"""
"""Run by each checkout's own interpreter, so that each has its own formats."""

Say = Callable[[str], None]
Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Checkout:
    """A directory with the project and its virtual environment."""

    name: str
    path: Path

    def run(self, *arguments: str) -> None:
        subprocess.run([self.program("python"), *arguments], cwd=self.path, check=True)

    def program(self, name: str) -> str:
        return str(self.path / ".venv" / "bin" / name)


def run(*, other: Path, seconds: float, rounds: int, events: int, say: Say) -> dict[str, Any]:
    """`rows` has one entry per measurement with both medians, and the median of the rounds' own ratios.

    Raises:
        BellwetherError: the other checkout is not set up.
    """
    if not (other / ".venv" / "bin" / "bellwether").exists():
        raise BellwetherError(f"{other} has no virtual environment; run `make .venv/ready` there")
    checkouts = Checkout("this", HERE), Checkout("other", other.absolute())
    rows = [*_serving(checkouts, seconds, rounds, say), *_pipeline(checkouts, events, rounds, say)]
    return {"machine": described(), "rounds": rounds, "rows": rows}


def table(result: dict[str, Any]) -> str:
    lines = ["| per second | other | this | this / other |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {row['what']} | {row['other']:,.0f} | {row['this']:,.0f} | {row['ratio']:.3f} |" for row in result["rows"]
    ]
    return "\n".join(lines)


def _serving(checkouts: Sequence[Checkout], seconds: float, rounds: int, say: Say) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        servers = {checkout.name: stack.enter_context(_served(checkout, say)) for checkout in checkouts}
        for server in servers.values():
            _asked(server, connections=8, seconds=WARM_UP_SECONDS)
        for connections in CONNECTIONS:
            what = f"predictions, {connections} connection(s)"
            measured = {name: [0.0] * rounds for name in servers}
            for place in range(rounds):
                for name in _turns(list(servers), place):
                    measured[name][place] = _asked(servers[name], connections=connections, seconds=seconds)
            yield _row(what, measured, say)


def _pipeline(checkouts: Sequence[Checkout], events: int, rounds: int, say: Say) -> Iterator[dict[str, Any]]:
    measured: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="bellwether-against-") as directory:
        figures = Path(directory) / "figures.json"
        for place in range(rounds):
            for checkout in _turns(checkouts, place):
                checkout.run("-m", "tests.benchmarks", "pipeline", "--events", str(events), "--json", str(figures))
                for row in json.loads(figures.read_bytes())["rows"]:
                    measured.setdefault(row["stage"], {}).setdefault(checkout.name, []).append(row["per_second"])
    for stage, by_checkout in measured.items():
        yield _row(stage, by_checkout, say)


def _turns(contestants: Sequence[Entry], place: int) -> list[Entry]:
    """Who begins changes from round to round: what comes second finds caches warm, or the machine tired."""
    return [*contestants] if place % 2 == 0 else [*reversed(contestants)]


@contextmanager
def _served(checkout: Checkout, say: Say) -> Iterator[Contestant]:
    say(f"starting {checkout.name}: {checkout.path}")
    with tempfile.TemporaryDirectory(prefix="bellwether-against-") as name:
        directory, port = Path(name), free_port()
        checkout.run("-c", SET_UP, name)
        questions = json.loads((directory / "questions.json").read_text("utf-8"))
        requests = [http_request(f"/v1/models/{MODEL}/predict", question.encode()) for question in questions]
        flags = "--home", str(directory / "home"), "--port", str(port), "--workers", "1"
        with (directory / "serving.log").open("wb") as log:
            process = subprocess.Popen(
                [checkout.program("bellwether"), "serve", *flags],
                cwd=checkout.path,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            server = Contestant(checkout.name, port, requests, process)
            eventually(lambda: answers(server), what=f"{checkout.name} answers", seconds=START_SECONDS)
            yield server
        finally:
            stop(process)


def _asked(server: Contestant, *, connections: int, seconds: float) -> float:
    """Answers per second."""
    measured = uvloop.run(load(server.port, server.requests, connections=connections, seconds=seconds))
    if measured.failed or not measured.latencies:
        raise BellwetherError(f"{server.name}: {measured.failed} failed requests, {dict(measured.statuses)}")
    return measured.per_second


def _row(what: str, measured: dict[str, list[float]], say: Say) -> dict[str, Any]:
    """Within a round both take their turns in seconds, while over the rounds a shared machine changes its speed."""
    ratios = [this / other for this, other in zip(measured["this"], measured["other"], strict=True)]
    row = {"what": what, "ratio": round(statistics.median(ratios), 4), "ratios": [round(each, 3) for each in ratios]}
    row |= {name: round(statistics.median(each), 1) for name, each in measured.items()}
    say(f"{what}: {row['this']:,.0f}/s, the other {row['other']:,.0f}/s, ratio {row['ratio']:.3f}")
    return row
