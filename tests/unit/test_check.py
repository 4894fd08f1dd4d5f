"""`bellwether check`, as it is called, and the same question before a replay trains."""

import csv
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from monitoring.entrypoints.cli import main
from services.models.discovery import folder_of, spec_of, world_of
from tests.history_csv import History, export
from tests.models.conftest import ORIGIN, SEED

TELCO = Path(__file__).parents[3] / "shared" / "data" / "telco_customer_churn.csv"
CHURN = spec_of("churn")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Twenty days of the simulated telephone company, everything as it was known at the time."""
    world = world_of("churn")(seed=SEED, origin=ORIGIN, events=())
    return export(CHURN, world, tmp_path_factory.mktemp("history"), days=20, calls=20)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def check(history: History, *more: str) -> Result:
    return run("check", "churn", "--csv", str(history.csv), "--mapping", str(history.mapping), *more)


def rewritten(history: History, directory: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> History:
    """The same history with every row changed."""
    with history.csv.open(newline="") as file:
        rows = [change(row) for row in csv.DictReader(file)]
    path = directory / "history.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return History(path, history.mapping)


def test_a_history_as_it_was_known_passes_and_says_so_of_every_feature(history: History) -> None:
    told = check(history, "--json")

    assert told.exit_code == 0
    report: dict[str, Any] = json.loads(told.stdout)
    assert (report["refusals"], report["unchecked"]) == ([], {})
    assert list(report["features"]) == list(CHURN.feature_names)
    assert {each["late"]["share"] for each in report["features"].values()} == {0.0}


def test_a_value_known_after_the_decision_is_refused_with_exit_code_1(history: History, tmp_path: Path) -> None:
    late = rewritten(history, tmp_path, lambda row: row | {"monthly_charges_at": row["outcome_at"]})
    told = check(late)

    assert told.exit_code == 1
    assert "refused: churn: 'monthly_charges' is known 14 d after the decision in 100 % of rows" in told.stdout
    assert "'monthly_charges' is observed when the outcome is known or later in 100 % of rows" in told.stdout
    assert told.stdout.splitlines()[-1] == "verdict: refused"


def test_a_feature_read_from_the_outcome_s_column_is_refused(history: History, tmp_path: Path) -> None:
    mapping = tmp_path / "label.toml"
    mapping.write_text(
        history.mapping.read_text().replace(
            '[features.partner]\ncolumn = "partner"',
            '[features.partner]\ncolumn = "outcome"\nvalues = { churned = "yes", stayed = "no" }',
        )
    )
    told = check(History(history.csv, mapping))

    assert told.exit_code == 1
    assert "'partner' is the outcome itself" in told.stdout


def test_a_text_where_a_number_belongs_is_invalid_and_a_blank_is_missing(history: History, tmp_path: Path) -> None:
    place = count()
    strange = rewritten(
        history,
        tmp_path,
        lambda row: row | {"monthly_charges": ""} | ({} if next(place) % 4 else {"tenure_months": "long"}),
    )
    features = json.loads(check(strange, "--json").stdout)["features"]

    assert (features["tenure_months"]["invalid_share"], features["tenure_months"]["missing_share"]) == (0.25, 0.0)
    assert (features["monthly_charges"]["invalid_share"], features["monthly_charges"]["missing_share"]) == (0.0, 1.0)


def test_replay_refuses_a_file_that_was_read_the_wrong_way_before_it_does_anything(
    history: History, tmp_path: Path
) -> None:
    strange = rewritten(history, tmp_path, lambda row: row | {"asked_at": "02/03/2026 09:00"})
    told = run("replay", "churn", "--csv", str(strange.csv), "--mapping", str(strange.mapping))

    assert (told.exit_code, told.stdout) == (1, "")
    assert "asked_at: 400 of 400 times not understood, such as '02/03/2026 09:00' (line 2)" in told.stderr
    assert "remedy: time_format" in told.stderr


def test_replay_refuses_to_train_on_what_gives_the_outcome_away(history: History, tmp_path: Path) -> None:
    leaking = rewritten(
        history, tmp_path, lambda row: row | {"total_charges": "0" if row["outcome"] == "churned" else "1"}
    )
    told = run("replay", "churn", "--csv", str(leaking.csv), "--mapping", str(leaking.mapping))

    assert told.exit_code == 1
    assert "bellwether: this history cannot be trained on: churn: 'total_charges' gives the outcome away" in told.stderr
    assert "bellwether check churn" in told.stderr


@pytest.mark.skipif(not TELCO.exists(), reason="the Telco file is not beside this checkout")
def test_the_telco_file_has_no_times_and_nothing_that_gives_its_outcome_away() -> None:
    told = run("check", "churn", "--csv", str(TELCO), "--json")

    assert told.exit_code == 0
    report = json.loads(told.stdout)
    assert report["verdict"] == "not_enough_data"
    assert list(report["unchecked"]) == ["known at the decision: no row says when it was decided (decided_at)"]
    assert report["warnings"] == ["churn: 'total_charges' is missing in 0.2 % of rows"]
    assert max(each["alone"]["auc"] for each in report["features"].values()) < 0.8


def test_a_file_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    mapping = folder_of("churn") / "telco.toml"
    told = check(History(tmp_path / "nothing.csv", mapping))

    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.startswith("bellwether: ")
    assert "nothing.csv cannot be read" in told.stderr
