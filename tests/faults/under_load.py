"""One fault under load: who asked, who was answered, and where the answers are afterwards."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final

from monitoring.entrypoints.reports import event_account
from services.core.errors import StoreUnavailable
from services.core.ports import RecordStore
from services.traffic.client import PredictionClient, Refused, Unanswered
from tests.faults.faults import Fault
from tests.faults.footprint import watched
from tests.faults.stage import Stage
from tests.faults.trial import Trial

CALLERS: Final = 4
PAUSE_SECONDS: Final = 0.01
"""Between an answer and the caller's next question: some two hundred questions a second in all."""
BEFORE_SECONDS: Final = 1.0
"""Of load before the fault, and behind it."""
PATIENCE_SECONDS: Final = 30.0
"""Beyond the fault itself: how long a caller asks again before it counts as failed."""
CATCH_UP_SECONDS: Final = 240.0
"""A stage's whole log, where all of it has to be sent again, takes one to two minutes on a machine with other work."""
LOOK_SECONDS: Final = 0.1


async def try_fault(fault: Fault, stage: Stage, *, seconds: float) -> Trial:
    """Do it to the stage while it is under load, for so long, and wait until everything is stored."""
    answered: set[str] = set()
    client = PredictionClient(
        stage.serving.url, model="toy", concurrency=CALLERS, patience_seconds=seconds + PATIENCE_SECONDS
    )
    async with client, AsyncExitStack() as looking:
        async with load(client, answered):
            await asyncio.sleep(BEFORE_SECONDS)
            footprint = await looking.enter_async_context(watched(stage))
            async with _done_to(stage, fault):
                await asyncio.sleep(seconds)
            healed = time.monotonic()
            await asyncio.sleep(BEFORE_SECONDS)
        with stage.store() as store:
            await await_stored(store, answered)
            caught_up = time.monotonic() - healed
            return Trial(
                fault=fault.name,
                seconds=seconds,
                store=fault.scene.value,
                seconds_to_catch_up=round(caught_up, 2),
                failed_requests=client.counts.failed + client.counts.refused,
                retried_requests=client.counts.retried,
                **_accounted(stage, store, answered),
                memory_mb=footprint.memory_mb,
                outbox_mb=footprint.outbox_mb,
                wrong=list(fault.wrong_afterwards(stage)),
            )


@asynccontextmanager
async def _done_to(stage: Stage, fault: Fault) -> AsyncIterator[None]:
    """In threads: servers take seconds to start, and the load has to go on."""
    hurting = fault.hurt(stage)
    await asyncio.to_thread(hurting.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(hurting.__exit__, None, None, None)


@asynccontextmanager
async def load(client: PredictionClient, answered: set[str]) -> AsyncIterator[None]:
    """Ask all the time while it is entered; `answered` gets the ids of the answers."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as callers:
        for number in range(CALLERS):
            callers.create_task(_ask(client, f"{time.time_ns()}-{number}", answered, stop))
        try:
            yield
        finally:
            stop.set()


async def _ask(client: PredictionClient, caller: str, answered: set[str], stop: asyncio.Event) -> None:
    asked = 0
    while not stop.is_set():
        asked += 1
        try:
            answer = await client.predict(caller, {"plan": "monthly", "amount": 9.0}, request_id=f"{caller}-{asked}")
        except (Refused, Unanswered):
            continue  # the client has counted it
        answered.add(answer.prediction_id)
        await asyncio.sleep(PAUSE_SECONDS)


async def await_stored(store: RecordStore, answered: set[str]) -> None:
    """Nobody helps; after a bounded time what is missing counts as lost."""
    deadline = time.monotonic() + CATCH_UP_SECONDS
    missing = set(answered)
    while missing and time.monotonic() < deadline:
        with suppress(StoreUnavailable):
            missing -= await asyncio.to_thread(store.stored_event_ids, list(missing))
        await asyncio.sleep(LOOK_SECONDS)


def _accounted(stage: Stage, store: RecordStore, answered: set[str]) -> dict[str, Any]:
    ids = list(answered)
    stored, dead = store.stored_event_ids(ids), store.dead_event_ids(ids)
    account = event_account(stage.serving.settings)
    return {
        "sent": len(answered),
        "stored": len(stored),
        "dead_lettered": len(dead - stored),
        "lost": len(answered - stored - dead),
        "duplicated": account["duplicates_stored"],
        "unaccounted": account["unaccounted"],
    }
