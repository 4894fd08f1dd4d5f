"""The trap of listing_scam: a count of the first hour stands in every row of the past, and in no early decision."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitoring.entrypoints.cli import main
from services.core.features import Reading
from services.core.world import Caller
from services.models.discovery import discover, spec_of, world_of
from tests.history_csv import Observed, as_asked, export
from tests.models.conftest import ORIGIN, SEED

pytestmark = pytest.mark.skipif("listing_scam" not in discover(), reason="listing_scam is not in this checkout")

HOUR = timedelta(hours=1)


def check(directory: Path, observed: Observed, *more: str) -> Result:
    """The command on ten days of the marketplace, exported as `observed` says."""
    world = world_of("listing_scam")(seed=SEED, origin=ORIGIN, events=())
    found = export(spec_of("listing_scam"), world, directory, days=10, calls=60, observed=observed)
    arguments = ("check", "listing_scam", "--csv", str(found.csv), "--mapping", str(found.mapping), *more)
    return CliRunner().invoke(main, arguments)


def counted_after_the_hour(caller: Caller) -> dict[str, Reading]:
    """As a table of past listings has it: with the count of the whole first hour in every row."""
    assert caller.started_at is not None
    return as_asked(caller) | {"interactions_1h": Reading(float(caller.asked_at.second % 9), caller.started_at + HOUR)}


def blank_until_known(caller: Caller) -> dict[str, Reading]:
    """What the model would have been given: nothing of a count that is still growing."""
    assert caller.started_at is not None
    readings = as_asked(caller)
    if caller.asked_at < caller.started_at + HOUR:
        readings.pop("interactions_1h", None)
    return readings


def test_the_trap_of_listing_scam_is_told_in_one_sentence(tmp_path: Path) -> None:
    told = check(tmp_path, counted_after_the_hour)

    assert told.exit_code == 1
    (refusal,) = [line for line in told.stdout.splitlines() if line.startswith("refused: ")]
    assert refusal.startswith(
        "refused: listing_scam: 'interactions_1h' is known 58 min after the decision in 67 % of rows"
    )


def test_the_history_of_listing_scam_passes_with_blanks_where_the_hour_was_not_over(tmp_path: Path) -> None:
    told = check(tmp_path, blank_until_known, "--json")

    assert told.exit_code == 0, told.stdout
    assert json.loads(told.stdout)["features"]["interactions_1h"]["late"]["share"] == 0.0
