"""Every fault in a short form: nothing is lost, nothing is stored twice, and nobody who asked noticed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.faults import DISK_FULL, FAULTS, NOTICED
from tests.faults.stage import Stage, running_stage, small_disk
from tests.faults.trial import try_fault
from tests.servers.kafka import Broker

SECONDS = 2.0


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, bool]]:
    directory = tmp_path_factory.mktemp("faults")
    with small_disk(directory) as is_small:
        yield directory, is_small


@pytest.fixture(scope="module")
def stage(disk: tuple[Path, bool], broker: Broker) -> Iterator[Stage]:
    with running_stage(disk[0], broker) as stage:
        yield stage


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_loses_nothing_doubles_nothing_and_fails_nobody(
    name: str, stage: Stage, disk: tuple[Path, bool]
) -> None:
    if name == DISK_FULL and not disk[1]:
        pytest.skip("nobody may mount a disk here that could be filled")
    trial = await try_fault(name, FAULTS[name], stage, seconds=SECONDS)
    assert trial.sent > 100
    assert (trial.stored, trial.lost, trial.duplicated, trial.dead_lettered) == (trial.sent, 0, 0, 0)
    assert trial.failed_requests == 0
    assert trial.retried_requests == 0 or name in NOTICED
