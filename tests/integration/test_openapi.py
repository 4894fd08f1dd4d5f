"""The service does what its OpenAPI document says, asked with thousands of made-up requests, valid and not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import schemathesis

from services.entrypoints.openapi import document
from services.models.discovery import discover
from tests.integration.serving_process import ROOT, ServingProcess, toy_serving
from tests.toy import toy_spec


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    with toy_serving(tmp_path_factory.mktemp("home"), versions={"v1": 1}, workers=1) as process:
        yield process


def test_schemathesis_finds_no_request_that_is_answered_otherwise_than_documented(
    serving: ServingProcess, tmp_path: Path
) -> None:
    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{serving.url}/openapi.json"),
            *("--mode", "all", "--checks", "all", "--max-examples", "100", "--seed", "1"),
            *("--phases", "examples,coverage,fuzzing", "--generation-database", "none", "--no-color"),
            *("--continue-on-failure", "--no-shrink"),
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.integration.schemathesis_preconditions",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert found.returncode == 0, found.stdout[-10_000:] + found.stderr[-2_000:]


async def test_the_served_document_is_the_one_of_the_hosted_models(serving: ServingProcess) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{serving.url}/openapi.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert await response.json() == document([toy_spec()])


def test_the_document_of_every_model_is_valid_openapi() -> None:
    schemathesis.openapi.from_dict(document(discover().values())).validate()


async def test_every_example_of_a_request_is_accepted(serving: ServingProcess) -> None:
    async with aiohttp.ClientSession() as session:
        for path, verb, body in examples(document([toy_spec()])):
            url = serving.url + path.replace("{entity_id}", "user-1").replace("{version}", "v1")
            async with session.request(verb, url, json=body) as response:
                assert response.status == 200, (path, await response.text())


def examples(openapi: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for path, item in openapi["paths"].items():
        for verb, operation in item.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                yield from ((path, verb, each["value"]) for each in content["examples"].values())
