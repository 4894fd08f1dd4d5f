"""`bellwether simulate`: a simulated world's callers for a stack that runs already."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from monitoring.entrypoints.by_hand import first_version_now
from services import bootstrap
from services.core.errors import SettingsError
from services.core.records import CHAMPION
from services.core.world import WorldEvent
from services.entrypoints.access import token_to_send
from services.models.discovery import world_of
from services.settings import Settings, variable_of
from services.traffic.client import PredictionClient
from services.traffic.simulate import DayReport, Simulation


def simulate_now(
    settings: Settings,
    model: str,
    *,
    days: int,
    calls_per_day: int,
    days_per_second: float,
    seed: int,
    events: Sequence[str],
    history: int,
) -> dict[str, Any]:
    """Live through `days` world days, from where the shared clock stands; returns what became of the requests.

    A model that no version serves yet gets one first, trained on `history` past cases; 0 leaves it to its rule.

    Raises:
        SettingsError: no clock file, or an event that is not NAME@DAY or NAME@DAY+DAYS, or a token that cannot be one.
        BellwetherError: the first version did not pass the gate.
    """
    if not settings.clock_file:
        raise SettingsError(
            f"simulated time needs a file that the service reads too: start it and this with --clock-file "
            f"or {variable_of('clock_file')}"
        )
    clock = bootstrap.world_clock(settings)
    # Day 0 begins with the next full day, so that no time is lived through twice.
    origin = clock.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    world = world_of(model)(seed=seed, origin=origin, events=[parsed(each) for each in events])
    if history and not _has_champion(settings, model):
        print(first_version_now(settings, model, world.history(rows=history))["note"], file=sys.stderr, flush=True)
    simulation = Simulation(
        world=world,
        client=PredictionClient(f"http://{settings.host}:{settings.port}", model=model, token=token_to_send(settings)),
        clock=clock,
        origin=origin,
        calls_per_day=calls_per_day,
        days_per_second=days_per_second,
        on_day=_tell,
    )
    return asyncio.run(_lived_through(simulation, days))


def _has_champion(settings: Settings, model: str) -> bool:
    store = bootstrap.record_store(settings)
    try:
        return CHAMPION in store.aliases(model)
    finally:
        store.close()


def parsed(text: str) -> WorldEvent:
    """`price_change@21` begins on day 21 for good; `slow_billing_feed@10+1` lasts one day."""
    name, _, when = text.partition("@")
    start, _, length = when.partition("+")
    try:
        starts = float(start)
        return WorldEvent(name=name, starts=starts, ends=starts + float(length) if length else None)
    except ValueError as error:
        raise SettingsError(f"--event is {text!r}; expected NAME@DAY or NAME@DAY+DAYS") from error


async def _lived_through(simulation: Simulation, days: int) -> dict[str, Any]:
    async with simulation.client:
        await simulation.run(days=days)
    counts = simulation.client.counts
    return {
        "days": days,
        "sent": counts.sent,
        "failed": counts.failed,
        "refused": counts.refused,
        "retried": counts.retried,
        "values_kept_newer": counts.kept_newer,
        "last_problem": counts.last_problem,
    }


def _tell(report: DayReport) -> None:
    answered = ", ".join(f"{who} {count}" for who, count in sorted(report.served_by.items()))
    print(f"day {report.day}: {report.asked} asked, {answered}", file=sys.stderr, flush=True)
