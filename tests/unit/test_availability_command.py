"""`bellwether availability` on a record store in a home of its own."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from monitoring.entrypoints.availability import availability_now, lines
from monitoring.entrypoints.cli import main
from services import bootstrap
from services.core.features import FeatureVerdict, Status
from services.core.predictions import PredictionMade, ServedBy
from services.core.records import Batch
from services.models.discovery import discover
from services.settings import Settings
from tests.toy import NOON, prediction

SPEC = next(iter(discover().values()))
"""Whichever model comes first; the command knows the discovered ones alone."""
FIRST, SECOND = SPEC.feature_names[:2]
HOUR = timedelta(hours=1)


def made(number: int, at: datetime, **changes: Any) -> PredictionMade:
    features = dict.fromkeys(SPEC.feature_names, FeatureVerdict(Status.OK, 1.0, 7200.0))
    return prediction(number, **({"model": SPEC.name, "features": features, "made_at": at} | changes))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Four days of an answer an hour; on the last one the first feature is missing in every second answer."""
    settings = Settings(home=tmp_path / "home")
    answers = [made(hour, NOON + hour * HOUR) for hour in range(96)]
    for hour in range(72, 96, 2):
        lacking = answers[hour].features | {FIRST: FeatureVerdict(Status.MISSING)}
        answers[hour] = made(hour, NOON + hour * HOUR, features=lacking, served_by=ServedBy.RULE)
    store = bootstrap.record_store(settings)
    store.commit(Batch([*answers, prediction(1000, made_at=NOON + 500 * HOUR)], [], []), consumer="c", position=1)
    store.close()
    return settings.home


def run(home: Path, *arguments: str) -> tuple[int, str, str]:
    told = CliRunner().invoke(main, ["availability", SPEC.name, "--home", str(home), *arguments])
    return told.exit_code, told.stdout, told.stderr


def told(home: Path, *arguments: str) -> dict[str, Any]:
    code, out, err = run(home, *arguments, "--json")
    assert (code, err) == (0, "")
    report: dict[str, Any] = json.loads(out)
    return report


def test_without_a_range_it_is_the_last_day_of_what_was_recorded_of_this_model(home: Path) -> None:
    report = told(home)

    assert (report["model"], report["answers"], report["sampled"]) == (SPEC.name, 24, 24)
    assert report["from"] == (NOON + 71 * HOUR + timedelta(seconds=1)).isoformat()
    assert report["until"] == (NOON + 95 * HOUR + timedelta(seconds=1)).isoformat()
    assert report["served_by"] == {"model": 0.5, "rule": 0.5, "last_resort": 0.0}
    assert list(report["features"]) == list(SPEC.feature_names)
    assert report["features"][FIRST]["status"]["missing"] == 0.5
    assert report["features"][FIRST]["age_seconds"]["p99"] == 7200.0


@pytest.mark.parametrize(
    ("flags", "answers"),
    [
        (("--last", "48h"), 48),
        (("--last", "90min"), 2),
        (("--since", "2026-03-02T12:00:00Z"), 72),
        (("--until", "2026-03-02T12:00:00+00:00"), 24),
        (("--since", "2026-03-02T12:00:00Z", "--until", "2026-03-02T15:00:00Z"), 3),
        (("--until", "2026-03-02T12:00:00Z", "--last", "2h"), 2),
    ],
)
def test_a_range_can_be_given_by_either_end_and_by_its_length(home: Path, flags: tuple[str, ...], answers: int) -> None:
    assert told(home, *flags)["answers"] == answers


def test_an_empty_range_says_so_and_when_the_newest_answer_was_given(home: Path) -> None:
    code, out, _ = run(home, "--since", "2026-04-01T00:00:00Z", "--until", "2026-04-02T00:00:00Z")

    newest = (NOON + 95 * HOUR).isoformat()
    between = "between 2026-04-01T00:00:00+00:00 and 2026-04-02T00:00:00+00:00"
    assert (code, out) == (0, f"no predictions of {SPEC.name} {between}; the newest is of {newest}\n")
    empty = told(home, "--since", "2026-04-01T00:00:00Z")
    assert (empty["answers"], empty["status"], "features" in empty) == (0, "not_enough_data", False)


def test_a_home_without_records_says_so(tmp_path: Path) -> None:
    bootstrap.record_store(Settings(home=tmp_path)).close()

    assert run(tmp_path)[:2] == (0, f"no predictions of {SPEC.name} are recorded\n")


def test_one_version_can_be_looked_at_alone(home: Path) -> None:
    assert told(home, "--version", "v1")["answers"] == 24
    assert run(home, "--version", "v9")[1] == f"no predictions of {SPEC.name} v9 are recorded\n"


def test_of_more_answers_than_are_read_an_even_sample_is_and_it_says_so(home: Path) -> None:
    report = availability_now(Settings(home=home), SPEC.name, last="96h", limit=10)

    assert (report["answers"], report["sampled"], report["features"][SECOND]["n"]) == (96, 10, 10)
    assert lines(report)[0].endswith(": 96 answers, of which 10, evenly spread, are counted here")


def test_the_table_has_a_row_per_feature_with_its_columns_aligned(home: Path) -> None:
    _, out, _ = run(home)
    shown = out.splitlines()
    table = shown[3 : 4 + len(SPEC.features)]

    assert shown[1] == "answered by model 50 %, rule 50 %, last resort 0 %"
    assert [line.split()[0] for line in table] == ["feature", *SPEC.feature_names]
    assert len({len(line) for line in table}) == 1
    assert table[0].split()[:4] == ["feature", "n", "ok", "missing"], "no column for what did not happen"
    assert "2 h" in table[2]


def test_the_text_says_why_the_model_did_not_answer(home: Path) -> None:
    out = run(home)[1]

    if told(home)["features"][FIRST]["kept_from_model"]["alone"]:
        assert f"  {FIRST} missing" in out
    assert "why the model did not answer" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--since", "yesterday"), "--since is 'yesterday'; expected a time with its offset"),
        (("--since", "2026-03-01"), "--since is '2026-03-01'; expected a time with its offset"),
        (("--until", "0001-01-01T00:00:00+05:00"), "--until is '0001-01-01T00:00:00+05:00'; expected"),
        (("--until", "0001-01-01T00:00:00Z"), "begins before the calendar does"),
        (("--last", "2 weeks"), "--last is '2 weeks'; expected a length such as 90min, 36h or 7d"),
        (("--last", "0h"), "--last is '0h'; expected"),
        (("--last", "2h", "--since", "2026-03-01T00:00Z"), "give one of them"),
        (("--since", "2026-03-02T00:00Z", "--until", "2026-03-01T00:00Z"), "is not before"),
    ],
)
def test_a_range_that_is_none_is_refused_in_one_line(home: Path, flags: tuple[str, ...], message: str) -> None:
    code, out, err = run(home, *flags)

    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1
