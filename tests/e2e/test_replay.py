"""The real file, through the real server."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
