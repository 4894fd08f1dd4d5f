"""Every fault in a short form: nothing is lost, nothing is stored twice, and nobody who asked noticed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.faults import FAULTS, Fault
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.stage import Scene, Stage, running_stage
from tests.faults.under_load import try_fault
from tests.servers.kafka import Broker
from tests.servers.process import Unavailable

SECONDS = 2.0


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    server = request.getfixturevalue("postgresql") if request.param is Scene.POSTGRESQL else None
    try:
        with running_stage(request.param, tmp_path_factory.mktemp("faults"), broker, server) as stage:
            yield stage
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("stage", "fault"),
    [pytest.param(fault.scene, fault, id=fault.name) for fault in FAULTS],
    indirect=["stage"],
)
async def test_a_fault_loses_nothing_doubles_nothing_and_fails_nobody(stage: Stage, fault: Fault) -> None:
    trial = await try_fault(fault, stage, seconds=SECONDS)
    assert trial.sent > 100
    assert trial.problems == []
    assert trial.retried_requests == 0 or fault.noticed


# Some start and end a whole stack several times.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", [pytest.param(scenario, id=scenario.name) for scenario in SCENARIOS])
def test_a_scenario_loses_nothing_doubles_nothing_and_fails_nobody(scenario: Scenario, tmp_path: Path) -> None:
    try:
        trial = scenario.play(tmp_path, SECONDS)
    except Unavailable as error:
        pytest.skip(str(error))
    assert trial.sent > 0
    assert trial.problems == []
