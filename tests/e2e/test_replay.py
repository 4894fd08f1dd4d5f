"""Files of history, through the real server."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from monitoring.lifecycle.scoring import scores_of_version
from services import bootstrap
from services.models.discovery import spec_of, world_of
from services.settings import Settings
from services.traffic.history import CsvRow, read_history
from services.traffic.mapping import load_mapping
from tests.history_csv import History, export
from tests.models.conftest import ORIGIN, SEED

CHURN = spec_of("churn")
ROWS, TRAINED = 1400, 980
TELCO = Path(__file__).parents[2] / ".." / "shared" / "data" / "telco_customer_churn.csv"


def replay(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monitoring.entrypoints.cli", "replay", "churn", *arguments],
        capture_output=True,
        text=True,
        check=check,
        timeout=240,
        env=os.environ,
    )


@pytest.mark.skipif(not TELCO.exists(), reason="the Telco file is not beside this checkout")
def test_real_history_becomes_traffic_and_the_answers_are_as_good_as_a_logistic_regression() -> None:
    told: dict[str, Any] = json.loads(replay("--csv", str(TELCO), "--train-share", "0.8", "--json").stdout)

    assert told["rows_sent"] == told["predictions"]["total"] == told["outcomes"] == 1409
    assert told["auc"] > 0.82
    assert told["predictions"]["rule"] == told["unavailable"]["total_charges"]["missing"]
    assert set(told["unavailable"]) == {"total_charges"}
    assert not any(feature["drifted"] for feature in told["drift"].values())
    assert (told["failed_requests"], told["unaccounted_events"]) == (0, 0)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Of the simulated telephone company, with four rows in a row for each customer."""
    world = world_of("churn")(seed=SEED, origin=ORIGIN, events=())
    found = export(CHURN, world, tmp_path_factory.mktemp("history"), days=70, calls=20)
    rewrite(found.csv, found.csv, [{"entity": f"customer-{place // 4}"} for place in range(ROWS)])
    return found


def rewrite(path: Path, target: Path, changes: list[dict[str, str]]) -> None:
    """The file with each row changed."""
    with path.open(newline="") as file:
        rows = [row | change for row, change in zip(csv.DictReader(file), changes, strict=True)]
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_snapshots_of_one_customer_in_a_row_give_the_auc_of_the_model_itself(history: History, tmp_path: Path) -> None:
    home = tmp_path / "home"
    told: dict[str, Any] = json.loads(
        replay("--csv", str(history.csv), "--mapping", str(history.mapping), "--home", str(home), "--json").stdout
    )

    rows = read_history(history.csv, load_mapping(history.mapping, CHURN), CHURN).rows[TRAINED:]
    assert told["rows_sent"] == told["predictions"]["total"] == len(rows)
    assert told["auc"] == pytest.approx(auc_of_the_model_itself(home, rows), abs=1e-4)
    assert told["failed_requests"] == told["unanswered"] == told["unaccounted_events"] == 0

    again = replay("--csv", str(history.csv), "--mapping", str(history.mapping), "--home", str(home), check=False)
    assert again.returncode == 1
    assert "has a champion of churn already" in again.stderr


def auc_of_the_model_itself(home: Path, rows: Sequence[CsvRow]) -> float:
    """What the version that served says of the rows as they stand in the file."""
    settings = Settings(home=home)
    (version,) = bootstrap.record_store(settings).versions("churn")
    complete = [
        row for row in rows if None not in row.feed.values() and len({**row.request, **row.feed}) == len(CHURN.features)
    ]
    frame = pd.DataFrame([{**row.request, **row.feed} for row in complete])[list(CHURN.feature_names)]
    scores = scores_of_version(CHURN, bootstrap.model_store(settings).directory("churn", version.version), frame)
    assert scores is not None
    return float(roc_auc_score(np.array([row.outcome == "churned" for row in complete]), scores))


def test_a_file_whose_newest_outcomes_are_not_known_yet_gives_a_report_without_an_auc(
    history: History, tmp_path: Path
) -> None:
    young = tmp_path / "young.csv"
    blank = [{"outcome": "", "outcome_at": ""} if place >= TRAINED else {} for place in range(ROWS)]
    rewrite(history.csv, young, blank)

    told: dict[str, Any] = json.loads(replay("--csv", str(young), "--mapping", str(history.mapping), "--json").stdout)

    assert told["rows_sent"] == told["predictions"]["total"] == ROWS - TRAINED
    assert told["outcomes"] == 0
    assert (told["auc"]["status"], told["auc"]["n"], told["auc"]["needed"]) == ("not_enough_data", 0, 10)
    assert told["auc_interval"] is None
    assert set(told["drift"]) >= set(CHURN.feature_names)


def test_a_file_without_a_mapped_column_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("customerID,gender\n1,Female\n")

    refused = replay("--csv", str(path), "--json", check=False)

    assert refused.returncode == 1
    assert "tenure" in refused.stderr
    assert str(path) in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_file_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    refused = replay("--csv", str(tmp_path / "nothing.csv"), check=False)

    assert refused.returncode == 1
    assert "nothing.csv" in refused.stderr
    assert "Traceback" not in refused.stderr
