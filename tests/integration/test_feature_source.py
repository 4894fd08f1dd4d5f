"""The store of online features goes down under load: the rule answers every request, and the model when it is back."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.feature_outage import moved_away, replaced_by_an_empty_file
from tests.integration.serving_process import ServingProcess, toy_serving
from tests.integration.test_serving import load_of, write_features
from tests.waiting import until

Outage = Callable[[Path], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    with toy_serving(tmp_path_factory.mktemp("home"), versions={"v1": 1}) as process:
        yield process


@pytest.fixture
async def http(serving: ServingProcess) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        await write_features(session, serving)
        yield session


@pytest.mark.parametrize("outage", [moved_away, replaced_by_an_empty_file])
async def test_an_outage_fails_no_request_and_ends_within_a_second(
    serving: ServingProcess, http: aiohttp.ClientSession, outage: Outage
) -> None:
    async with load_of(http, serving) as answers:
        await until(lambda: len(answers) >= 50, what="fifty answers")
        with outage(serving.settings.features_path):
            await until(lambda: newest(answers) == ["rule"] * 50, what="answers by the rule")
            seen = len(answers)
            await until(lambda: len(answers) >= seen + 200, what="more answers")
            down = answers[seen:]
        ended = time.monotonic()
        await until(lambda: "model" in newest(answers), what="an answer by the model")
        back_after = time.monotonic() - ended
        await until(lambda: newest(answers) == ["model"] * 50, what="answers by the model")
    assert {answer["served_by"] for answer in down} == {"rule"}
    assert {answer["features"]["visits"]["status"] for answer in down} == {"source_down"}
    assert {answer["features"]["plan"]["status"] for answer in answers} == {"ok"}
    assert back_after < 1.0


def newest(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["served_by"] for answer in answers[-50:]]
