import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitoring.entrypoints.up.command import Plan, run_up
from monitoring.entrypoints.up.home import move_earlier_run_aside, only_instance, require_free_ports
from services.adapters.home_lock import use
from services.core.errors import AlreadyRunning, PortTaken, SettingsError
from services.settings import Settings
from tests.ports import stack_ports

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def test_a_second_instance_is_refused_and_told_who_holds_the_home(tmp_path: Path) -> None:
    with (
        only_instance(tmp_path, command="up"),
        pytest.raises(AlreadyRunning, match=rf"in use by process {os.getpid()} \(up\)"),
    ):
        only_instance(tmp_path, command="up").__enter__()


def test_a_home_is_free_again_once_its_instance_has_ended(tmp_path: Path) -> None:
    with only_instance(tmp_path, command="up"):
        pass
    with only_instance(tmp_path, command="up"):
        assert f"process {os.getpid()} " in (tmp_path / "lock").read_text()


def test_a_home_in_a_directory_that_is_missing_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist; create it or change --home"):
        only_instance(tmp_path / "missing" / "home", command="up").__enter__()


def test_a_file_in_the_homes_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").touch()

    with pytest.raises(SettingsError, match="is a file, expected a directory"):
        only_instance(tmp_path / "home", command="up").__enter__()


def test_a_taken_port_is_named_with_its_flag_and_variable() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        settings = Settings().with_flags(**stack_ports() | {"monitor_port": taken})

        with pytest.raises(PortTaken, match=f"port {taken} .* --monitor-port or BELLWETHER_MONITOR_PORT"):
            require_free_ports(settings)


def test_a_run_does_not_move_away_what_somebody_else_is_writing_into(tmp_path: Path) -> None:
    (tmp_path / "records.sqlite").write_text("rows")
    plan = Plan(
        model="churn", until=None, summary=None, days=1, calls_per_day=10, days_per_second=1.0, seed=7, watchers=()
    )

    with (
        use(tmp_path, command="bellwether consume"),
        pytest.raises(AlreadyRunning, match=rf"process {os.getpid()} \(bellwether consume\); stop what uses it"),
    ):
        run_up(Settings(home=tmp_path).with_flags(**stack_ports()), plan)

    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in-use", "lock", "records.sqlite"]


def test_an_earlier_run_is_kept_aside_and_the_locks_stay(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "in-use").touch()
    (tmp_path / "records.sqlite").write_text("rows")

    aside = move_earlier_run_aside(tmp_path, at=AT)

    assert aside == tmp_path / "earlier" / "20260301T123000"
    assert (aside / "records.sqlite").read_text() == "rows"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["earlier", "in-use", "lock"]


def test_without_an_earlier_run_nothing_is_moved(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()

    assert move_earlier_run_aside(tmp_path, at=AT) is None
