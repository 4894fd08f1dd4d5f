"""The prediction service beside its peers: the same pipeline, the same questions, in turns on one machine."""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import uvloop

from services.settings import Settings
from tests.benchmarks.contestants import (
    BENTOML,
    CONSTANT,
    FASTAPI,
    FASTAPI_ONNX,
    MLSERVER,
    OURS,
    TITLES,
    Contestant,
    running,
)
from tests.benchmarks.load import Measured, load
from tests.benchmarks.machine import described
from tests.benchmarks.outage import outage
from tests.benchmarks.soak import soak
from tests.benchmarks.workbench import Workbench, set_up

CONNECTIONS: Final = (1, 8, 64)
WORKERS: Final = (1, 2)
PEERS: Final = (FASTAPI, BENTOML, MLSERVER, CONSTANT, FASTAPI_ONNX)
WARM_UP_SECONDS: Final = 2.0
AT_CAPACITY: Final = 64
"""Connections at which the ratios are stated: one worker always has a request waiting, so this is what it can do. With
8 in a closed loop it idles a fifth of the time, because all callers wait for the same sync to disk."""
AT_EASE: Final = 8
"""Connections at which p50 and p99 are stated: few enough that they are not those of a queue."""

Say = Callable[[str], None]


def run(*, seconds: float, rounds: int, soak_seconds: float, say: Say) -> dict[str, Any]:
    """Every figure of the page. `rows` has one entry per contestant, workers and connections."""
    with tempfile.TemporaryDirectory(prefix="bellwether-bench-") as name:
        directory = Path(name)
        bench = set_up(directory, Settings(home=directory / "home"))
        rows: list[dict[str, Any]] = []
        for workers in WORKERS:
            rows += _compared(bench, workers=workers, seconds=seconds, rounds=rounds, say=say)
        result: dict[str, Any] = {
            "machine": described(),
            "seconds": seconds,
            "rounds": rounds,
            "rows": rows,
            "ratios": {peer: _ratio(rows, peer, AT_CAPACITY) for peer in PEERS},
            "ratios_by_connections": {peer: {str(c): _ratio(rows, peer, c) for c in CONNECTIONS} for peer in PEERS},
            "p50_ms": _row(rows, OURS, 1, AT_EASE)["p50_ms"],
            "p99_ms": _row(rows, OURS, 1, AT_EASE)["p99_ms"],
            "outage": outage(bench, say=say),
        }
        if soak_seconds:
            result["soak"] = soak(bench, seconds=soak_seconds, say=say)
    return result


def table(result: dict[str, Any]) -> str:
    """The comparison as a Markdown table: a line per contestant and number of workers, requests per second."""
    heads = ["server", "workers", *(f"{c} conn." for c in CONNECTIONS), "p50 / p99 at 8, ms", "MB"]
    lines = [heads, ["---"] * len(heads)]
    for workers in WORKERS:
        lines += [_line(result["rows"], name, workers) for name in (OURS, *PEERS)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _line(rows: Sequence[dict[str, Any]], name: str, workers: int) -> list[str]:
    found = [_row(rows, name, workers, connections) for connections in CONNECTIONS]
    at_ease = _row(rows, name, workers, AT_EASE)
    latency = f"{at_ease['p50_ms']:.1f} / {at_ease['p99_ms']:.1f}"
    return [
        TITLES[name],
        str(workers),
        *(f"{each['per_second']:,.0f}" for each in found),
        latency,
        f"{at_ease['rss_mb']:.0f}",
    ]


def _compared(bench: Workbench, *, workers: int, seconds: float, rounds: int, say: Say) -> list[dict[str, Any]]:
    """All contestants are up together and take turns, so that what the machine does meanwhile hits them alike."""
    with ExitStack() as stack:
        contestants = []
        for name in TITLES:
            say(f"{workers} worker(s): starting {name}")
            contestants.append(stack.enter_context(running(name, bench, workers=workers)))
        for contestant in contestants:
            _measure(contestant, connections=AT_EASE, seconds=WARM_UP_SECONDS)
        rows = []
        for connections in CONNECTIONS:
            measured = _in_turns(contestants, connections=connections, seconds=seconds, rounds=rounds)
            for contestant in contestants:
                row = _summarised(contestant, measured[contestant.name], workers=workers, connections=connections)
                say(f"{workers} worker(s), {connections} connection(s): {contestant.name} {row['per_second']:,.0f}/s")
                rows.append(row)
        return rows


def _in_turns(
    contestants: Sequence[Contestant], *, connections: int, seconds: float, rounds: int
) -> dict[str, list[Measured]]:
    measured: dict[str, list[Measured]] = {contestant.name: [] for contestant in contestants}
    for _ in range(rounds):
        for contestant in contestants:
            measured[contestant.name].append(_measure(contestant, connections=connections, seconds=seconds))
    return measured


def _measure(contestant: Contestant, *, connections: int, seconds: float) -> Measured:
    loaded = load(contestant.port, contestant.requests, connections=connections, seconds=seconds)
    measured: Measured = uvloop.run(loaded)
    if measured.failed or not measured.latencies:
        raise RuntimeError(f"{contestant.name}: {measured.failed} failed requests, statuses {dict(measured.statuses)}")
    return measured


def _summarised(
    contestant: Contestant, measured: Sequence[Measured], *, workers: int, connections: int
) -> dict[str, Any]:
    """Medians over the rounds."""
    return {
        "server": contestant.name,
        "workers": workers,
        "connections": connections,
        "per_second": round(statistics.median(each.per_second for each in measured), 1),
        "per_second_by_round": [round(each.per_second, 1) for each in measured],
        "p50_ms": round(statistics.median(each.quantile_ms(0.5) for each in measured), 3),
        "p99_ms": round(statistics.median(each.quantile_ms(0.99) for each in measured), 3),
        "requests": sum(len(each.latencies) for each in measured),
        "rss_mb": round(contestant.resident_mb(), 1),
    }


def _row(rows: Sequence[dict[str, Any]], name: str, workers: int, connections: int) -> dict[str, Any]:
    return next(
        row for row in rows if (row["server"], row["workers"], row["connections"]) == (name, workers, connections)
    )


def _ratio(rows: Sequence[dict[str, Any]], peer: str, connections: int) -> float:
    """Our requests per second over the peer's, with one worker each: the median of the rounds' own ratios.

    Within a round all take their turns in a few seconds, while over the rounds a shared machine changes its speed.
    """
    ours, theirs = (_row(rows, name, 1, connections)["per_second_by_round"] for name in (OURS, peer))
    return round(float(statistics.median(our / their for our, their in zip(ours, theirs, strict=True))), 3)
