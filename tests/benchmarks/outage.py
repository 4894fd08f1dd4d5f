"""The online store is taken away under load and put back: what callers see."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import uvloop

from tests.benchmarks.contestants import OURS, Contestant, running
from tests.benchmarks.load import Measured, load
from tests.benchmarks.workbench import Workbench
from tests.integration.feature_outage import moved_away

CONNECTIONS: Final = 8
BEFORE_SECONDS: Final = 2.0
DOWN_SECONDS: Final = 5.0
NOTICED_SECONDS: Final = 0.5
"""After this, every worker has noticed; answers that were under way until then are shown apart."""
BACK_SECONDS: Final = 3.0
BY_MODEL: Final = b'"served_by":"model"'
BY_RULE: Final = b'"served_by":"rule"'


def outage(bench: Workbench, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Failed requests over all of it, who answered and the tail while the store was away, and when it was back."""
    with running(OURS, bench, workers=2) as ours:
        uvloop.run(_load(ours, BEFORE_SECONDS))
        found: dict[str, Any] = uvloop.run(_away_and_back(bench, ours))
    say(f"feature source taken away: {found}")
    return found


async def _away_and_back(bench: Workbench, ours: Contestant) -> dict[str, Any]:
    before = await _load(ours, BEFORE_SECONDS)
    with moved_away(bench.settings.features_path):
        noticing = await _load(ours, NOTICED_SECONDS)
        down = await _load(ours, DOWN_SECONDS)
    back_after, back = await _seconds_until_all_by_model(ours)
    return {
        "failed": sum(each.failed for each in (before, noticing, down, back)),
        "requests_while_down": len(down.latencies),
        "by_rule_while_down": down.bodies[BY_RULE],
        "p99_ms_while_down": round(down.quantile_ms(0.99), 3),
        "p99_ms_before": round(before.quantile_ms(0.99), 3),
        "p99_ms_while_noticing": round(noticing.quantile_ms(0.99), 3),
        "budget_ms": bench.settings.feature_budget_ms,
        "by_model_again_after_seconds": round(back_after, 3),
    }


async def _seconds_until_all_by_model(ours: Contestant) -> tuple[float, Measured]:
    """In steps of a twentieth of a second; the first step in which the model gave every answer ends it."""
    began = time.monotonic()
    whole = Measured()
    while time.monotonic() - began < BACK_SECONDS:
        step = await _load(ours, 0.05)
        whole.latencies += step.latencies
        whole.statuses += step.statuses
        whole.broken += step.broken
        if step.bodies[BY_MODEL] == len(step.latencies):
            break
        await asyncio.sleep(0)
    return time.monotonic() - began, whole


async def _load(ours: Contestant, seconds: float) -> Measured:
    return await load(ours.port, ours.requests, connections=CONNECTIONS, seconds=seconds, marks=(BY_MODEL, BY_RULE))
