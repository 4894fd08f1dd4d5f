"""Many cases at once, those of one entity one after the other."""

import asyncio

from services.traffic.in_turn import in_turn


async def test_the_answers_are_in_the_order_of_the_cases() -> None:
    async def ask(place: int, case: str) -> str:
        for _ in range(5 - place):
            await asyncio.sleep(0)
        return f"{place} {case}"

    assert await in_turn(["a", "b", "a", "c"], entity=str, ask=ask) == ["0 a", "1 b", "2 a", "3 c"]


async def test_cases_of_one_entity_never_overlap_and_those_of_others_do() -> None:
    asked: dict[str, int] = {}
    most, together = 0, 0

    async def ask(_: int, case: str) -> None:
        nonlocal most, together
        asked[case] = asked.get(case, 0) + 1
        most, together = max(most, asked[case]), max(together, sum(asked.values()))
        await asyncio.sleep(0)
        asked[case] -= 1

    await in_turn(["a", "a", "b", "a", "b"], entity=str, ask=ask)

    assert (most, together) == (1, 2)
