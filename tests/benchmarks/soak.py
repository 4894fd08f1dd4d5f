"""Ten minutes of steady load: does the tail or the memory grow?"""

from collections.abc import Callable
from typing import Any, Final

import uvloop

from tests.benchmarks.contestants import OURS, Contestant, running
from tests.benchmarks.load import Measured, load
from tests.benchmarks.workbench import Workbench

CONNECTIONS: Final = 8
MINUTE: Final = 60.0


def soak(bench: Workbench, *, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """p99 and resident memory of each minute, with two workers. `rss_*` are taken at the end of a minute."""
    with running(OURS, bench, workers=2) as ours:
        _minute(ours, seconds=10.0)  # caches fill, and both workers have answered
        minutes = [_told(ours, number, say) for number in range(max(2, round(seconds / MINUTE)))]
    return {
        "minutes": minutes,
        "p99_first_minute_ms": minutes[0]["p99_ms"],
        "p99_last_minute_ms": minutes[-1]["p99_ms"],
        "rss_first_minute_mb": minutes[0]["rss_mb"],
        "rss_last_minute_mb": minutes[-1]["rss_mb"],
        "failed": sum(each["failed"] for each in minutes),
    }


def _told(ours: Contestant, number: int, say: Callable[[str], None]) -> dict[str, Any]:
    measured = _minute(ours, seconds=MINUTE)
    minute = {
        "per_second": round(measured.per_second, 1),
        "p50_ms": round(measured.quantile_ms(0.5), 3),
        "p99_ms": round(measured.quantile_ms(0.99), 3),
        "rss_mb": round(ours.resident_mb(), 1),
        "failed": measured.failed,
    }
    say(f"soak, minute {number + 1}: {minute}")
    return minute


def _minute(ours: Contestant, *, seconds: float) -> Measured:
    measured: Measured = uvloop.run(load(ours.port, ours.requests, connections=CONNECTIONS, seconds=seconds))
    return measured
