"""Asks about many cases at once, and about those of one entity one after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Case = TypeVar("Case")
Answered = TypeVar("Answered")


async def in_turn(
    cases: Sequence[Case], *, entity: Callable[[Case], str], ask: Callable[[int, Case], Awaitable[Answered]]
) -> list[Answered]:
    """What `ask` says of each case and its place, in the order of the cases.

    To ask is to write an entity's values and then to read them back: between the two, no other case of the entity may
    write its own.
    """
    places: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        places.setdefault(entity(case), []).append(place)

    async def follow(line: Sequence[int]) -> list[tuple[int, Answered]]:
        return [(place, await ask(place, cases[place])) for place in line]

    lines = await asyncio.gather(*map(follow, places.values()))
    answered = dict(pair for line in lines for pair in line)
    return [answered[place] for place in range(len(cases))]
