from pathlib import Path

import pytest
from click.testing import CliRunner

from monitoring.entrypoints.cli import main
from services import bootstrap
from services.models.discovery import discover
from services.settings import Settings

COMMANDS = {
    "up", "serve", "consume", "forward", "dead-letters", "evaluate", "lifecycle", "simulate", "replay", "check",
    "retrain", "promote", "rollback", "availability", "audit", "prune", "status", "new-model", "dashboards",
    "rules", "settings",
}  # fmt: skip

GROUPS = {"audit", "dead-letters", "settings"}


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, arguments, env={"COLUMNS": "200"}, terminal_width=200)
    return result.exit_code, result.stdout, result.stderr


def test_the_commands_are_those_that_the_design_names() -> None:
    assert set(main.commands) == COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS - GROUPS))
def test_every_flag_shows_its_environment_twin(command: str) -> None:
    code, out, _ = run(command, "--help")

    flags = [line for line in out.splitlines() if line.strip().startswith("--")]
    assert code == 0
    assert out.count("env var:") >= len(flags) - 1, "only --help itself has none"


@pytest.mark.parametrize("loop", ["consume", "forward", "evaluate", "lifecycle"])
def test_every_loop_can_do_one_round_and_end(loop: str) -> None:
    assert "--once" in run(loop, "--help")[1]


def test_a_known_error_is_one_line_that_names_the_remedy(tmp_path: Path) -> None:
    code, _, err = run("rollback", "churn", "--home", str(tmp_path))

    assert code == 1
    assert err.splitlines()[-1].startswith("bellwether: churn has no champion before the present one")


def test_a_forwarder_without_a_broker_to_carry_to_says_which_setting_is_missing(tmp_path: Path) -> None:
    home = str(tmp_path / "home")

    assert "BELLWETHER_EVENT_LOG is 'sqlite'; expected 'kafka'" in run("forward", "--home", home)[2]
    assert "BELLWETHER_KAFKA is empty" in run("forward", "--home", home, "--event-log", "kafka")[2]


def test_an_unknown_model_is_named_with_those_that_there_are() -> None:
    code, _, err = run("retrain", "chrun")

    assert code == 1
    assert f"found model 'chrun', expected one of {', '.join(discover())}" in err


@pytest.mark.parametrize("reason", ["", "  "])
def test_outcomes_are_believed_for_a_reason_alone(tmp_path: Path, reason: str) -> None:
    code, _, err = run("retrain", "churn", "--believe-outcomes", reason, "--home", str(tmp_path))

    assert code == 2
    assert "--believe-outcomes is empty; expected why" in err


def test_up_refuses_a_home_whose_directory_does_not_exist(tmp_path: Path) -> None:
    code, _, err = run("up", "--home", str(tmp_path / "nowhere" / "home"))

    assert code == 1
    assert f"the directory {tmp_path / 'nowhere'} does not exist" in err


def test_up_refuses_a_summary_that_it_could_not_write(tmp_path: Path) -> None:
    code, _, err = run("up", "--summary", str(tmp_path / "nowhere" / "s.json"), "--home", str(tmp_path / "home"))

    assert code == 1
    assert "its directory does not exist" in err


def test_the_account_of_a_home_without_events_is_balanced(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    bootstrap.event_log(settings).close()
    bootstrap.record_store(settings).close()

    code, out, _ = run("audit", "events", "--home", str(tmp_path), "--json")

    assert code == 0
    assert '"appended": 0' in out
    assert '"unaccounted": 0' in out


@pytest.mark.parametrize(
    "command",
    [
        "audit events",
        "status",
        "status --json",
        "availability churn --last 1d",
        "dead-letters list",
        "dead-letters retry",
        "prune",
        "check churn",
        "promote churn v1",
        "rollback churn",
        "retrain churn",
        "settings show",
        "settings change --store sqlite:///x",
    ],
)
def test_a_home_where_nothing_runs_is_refused_and_not_made(command: str, tmp_path: Path) -> None:
    code, _, err = run(*command.split(), "--home", str(tmp_path / "elsewhere"))

    assert code == 1
    assert "elsewhere does not exist" in err
    assert not (tmp_path / "elsewhere").exists()


def test_a_store_elsewhere_needs_no_home_but_the_account_of_events_does(tmp_path: Path) -> None:
    elsewhere = "--home", str(tmp_path / "here"), "--store", f"sqlite:///{tmp_path / 'there.sqlite'}"

    bootstrap.record_store(Settings(home=tmp_path, store=elsewhere[-1])).close()

    assert run("status", *elsewhere)[0] == 0
    assert run("audit", "events", *elsewhere)[0] == 1
    assert not (tmp_path / "here").exists()


def test_the_status_of_a_store_without_records_knows_that_nothing_serves(tmp_path: Path) -> None:
    bootstrap.record_store(Settings(home=tmp_path)).close()

    code, out, _ = run("status", "--home", str(tmp_path), "--json")

    assert code == 0
    assert '"champion": null' in out


@pytest.mark.parametrize("command", sorted(COMMANDS - GROUPS))
def test_no_flag_takes_a_secret(command: str) -> None:
    _, out, _ = run(command, "--help")

    assert "--token " not in out
    assert "--alert-token" not in out
    assert "BELLWETHER_TOKEN]" not in out
