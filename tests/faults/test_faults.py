"""Every fault in a short form: nothing is lost, nothing is stored twice, and nobody who asked noticed."""

from collections.abc import Iterator

import pytest

from tests.faults.faults import FAULTS
from tests.faults.stage import Stage, running_stage
from tests.faults.trial import try_fault
from tests.servers.kafka import Broker

SECONDS = 2.0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[Stage]:
    with running_stage(tmp_path_factory.mktemp("faults"), broker) as stage:
        yield stage


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_loses_nothing_doubles_nothing_and_fails_nobody(name: str, stage: Stage) -> None:
    trial = await try_fault(name, FAULTS[name], stage, seconds=SECONDS)
    assert trial.sent > 100
    assert (trial.stored, trial.lost, trial.duplicated, trial.dead_lettered) == (trial.sent, 0, 0, 0)
    assert trial.failed_requests == 0
    assert trial.retried_requests == 0 or name == "serving worker killed"
