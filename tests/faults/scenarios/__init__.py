"""Faults that need a stage of their own, a module each. Those that are done to the common stage are in faults.py."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.scenarios import (
    clock_jumps_ahead,
    days_400,
    log_lost,
    many_members,
    outcomes_flipped,
    second_signal,
    shared_versions,
    two_owners,
)
from tests.faults.trial import Trial


@dataclass(frozen=True)
class Scenario:
    """`play` sets the stage in an empty directory, does it, heals it and says what it did.

    It may take some `seconds` of load or of fault where those matter; it starts and ends its own processes, by id.
    Raises `Unavailable` where a server that it needs is not on this machine.
    """

    name: str
    play: Callable[[Path, float], Trial]


SCENARIOS: Final = tuple(
    Scenario(module.NAME, module.play)
    for module in (
        log_lost,
        many_members,
        outcomes_flipped,
        clock_jumps_ahead,
        days_400,
        second_signal,
        two_owners,
        shared_versions,
    )
)
