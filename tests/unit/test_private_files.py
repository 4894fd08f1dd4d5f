"""A home is its owner's alone."""

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitoring.entrypoints.cli import main
from services import bootstrap
from services.adapters.home_lock import own, use
from services.adapters.private_files import keep_private
from services.settings import Settings


@pytest.fixture(autouse=True)
def open_umask() -> object:
    """As a shell has it that nobody has thought of; whoever makes files here has to close them."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_home_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    with use(tmp_path / "used", command="test"):
        assert mode(tmp_path / "used") == 0o700
    bootstrap.event_log(Settings(home=tmp_path / "made")).close()
    assert mode(tmp_path / "made") == 0o700


def test_what_a_command_of_ours_makes_is_its_owners(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for command in (["consume", "--once"], ["evaluate", "--once"], ["lifecycle", "--once"]):
        assert CliRunner().invoke(main, [*command, "--home", str(home)]).exit_code == 0
    made = [home, *home.rglob("*")]
    assert home / "records.sqlite" in made
    assert {(path, mode(path)) for path in made} == {(path, 0o700 if path.is_dir() else 0o600) for path in made}


@pytest.mark.parametrize("take", [lambda home: own(home, command="t"), lambda home: use(home, command="t")])
def test_what_an_earlier_version_left_open_is_closed(take: object, tmp_path: Path) -> None:
    home = tmp_path / "home"
    open_files = [
        *(home / name for name in ("records.sqlite", "events.sqlite-wal", "clock", "settings.json")),
        *(home / name / "toy.json" for name in ("aliases", "calibrations")),
    ]
    for path in open_files:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        path.touch(0o644)
    outside = tmp_path / "outside"
    outside.touch(0o644)
    (home / "log-read-last").symlink_to(outside)

    with take(home):  # type: ignore[operator]  # either
        assert (mode(home), mode(home / "aliases")) == (0o700, 0o700)
        assert {mode(path) for path in open_files} == {0o600}
        assert mode(outside) == 0o644


def test_what_is_none_of_ours_is_left_alone(tmp_path: Path) -> None:
    """Somebody calls a directory a home that has more in it, such as a checkout."""
    (tmp_path / "src").mkdir(mode=0o755)
    (tmp_path / "src" / "program.py").touch(0o644)
    (tmp_path / "events.sqlite").touch(0o644)
    tmp_path.chmod(0o755)
    keep_private(tmp_path)

    assert (mode(tmp_path), mode(tmp_path / "events.sqlite")) == (0o700, 0o600)
    assert mode(tmp_path / "src" / "program.py") == 0o644


def test_a_way_through_to_another_users_server_stays(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    keep_private(tmp_path)
    assert mode(tmp_path) == 0o711


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_what_belongs_to_another_user_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lock").touch(0o644)
    os.chown(tmp_path / "lock", 65534, 65534)
    tmp_path.chmod(0o755)
    keep_private(tmp_path)
    assert mode(tmp_path / "lock") == 0o644
