"""What a home keeps, and that commands find it there and make nothing while they look."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitoring.entrypoints.cli import main
from services import bootstrap
from services.adapters.home_lock import use, use_alone
from services.adapters.record_store import RecordStoreSql
from services.core.errors import AlreadyRunning, SettingsError
from services.core.events import prediction_event
from services.core.records import Batch
from services.entrypoints.consumer import run_consumer
from services.home_settings import FILE, OF_A_HOME, beside_others, keep, kept, of_home
from services.models.discovery import discover
from services.settings import KAFKA, Settings
from tests.toy import prediction

MODEL = next(iter(discover()))
READING = ["status", "status --json", f"availability {MODEL}", "dead-letters list", "prune --dry-run", "audit events"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def elsewhere(home: Path, tmp_path: Path) -> str:
    """The URL of a store outside of the home, into which a consumer has carried one answer."""
    url = f"sqlite:///{tmp_path / 'elsewhere.sqlite'}"
    settings = Settings(home=home, store=url)
    log = bootstrap.event_log(settings)
    log.append(prediction_event(prediction(1, model=MODEL))).result(10)
    log.close()
    assert run_consumer(settings, once=True) == 0
    return url


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(main, arguments, env=variables)


def files(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_who_reads_need_not_say_again_where_the_records_are(home: Path, elsewhere: str) -> None:
    told = run("status", "--home", str(home))

    assert told.exit_code == 0
    assert told.stdout.startswith(f"{MODEL}: No version has been promoted yet")
    assert "1 predictions (model 1)" in told.stdout


@pytest.mark.parametrize("command", READING)
def test_who_reads_makes_and_changes_nothing(command: str, home: Path, elsewhere: str, tmp_path: Path) -> None:
    before = files(tmp_path)
    assert run(*command.split(), "--home", str(home)).exit_code == 0
    assert files(tmp_path) == before


@pytest.mark.parametrize("command", READING)
def test_who_reads_makes_nothing_where_nothing_is_recorded(command: str, home: Path) -> None:
    assert run(*command.split(), "--home", str(home)).exit_code == 0
    assert list(home.iterdir()) == []


def test_a_store_that_there_is_not_is_told_and_not_called_empty(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    run("status", "--home", str(home))
    assert "no consumer has stored anything there yet" in caplog.text
    assert "`bellwether consume`" in caplog.text


@pytest.mark.parametrize("said", ["flag", "variable"])
def test_who_says_something_else_is_told_what_the_home_keeps_and_what_to_do(
    said: str, home: Path, elsewhere: str, tmp_path: Path
) -> None:
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    flags, variables = (["--store", other], {}) if said == "flag" else ([], {"BELLWETHER_STORE": other})
    told = run("status", "--home", str(home), *flags, **variables)
    assert told.exit_code == 1
    assert f"keeps store '{elsewhere}' since it was first written into, found '{other}'" in told.stderr
    assert f"`bellwether settings change --home {home}` with --store {other}" in told.stderr
    assert not (tmp_path / "other.sqlite").exists()


def test_what_a_command_does_not_use_may_be_anything(home: Path, elsewhere: str) -> None:
    keep(Settings(home=home, features="redis://here:6379/0"), *OF_A_HOME)
    told = run("status", "--home", str(home), BELLWETHER_FEATURES="redis://there:6379/0")
    assert told.exit_code == 0
    assert "1 predictions" in told.stdout


def test_a_default_that_somebody_says_is_said(home: Path) -> None:
    keep(Settings(home=home, event_log=KAFKA, kafka="broker:9092"), *OF_A_HOME)
    told = run("audit", "events", "--home", str(home), "--event-log", "sqlite")
    assert told.exit_code == 1
    assert "keeps event_log 'kafka'" in told.stderr


def test_the_same_said_again_is_no_other(home: Path, elsewhere: str) -> None:
    assert run("status", "--home", str(home), "--store", elsewhere).exit_code == 0


def test_a_home_that_was_moved_keeps_its_own_store_and_versions(home: Path, tmp_path: Path) -> None:
    keep(Settings(home=home, store=f"sqlite:///{home / 'records.sqlite'}", versions=str(home / "bentoml")), *OF_A_HOME)
    home.rename(tmp_path / "moved")
    moved = of_home(Settings(home=tmp_path / "moved"))
    assert moved.store_url == f"sqlite:///{tmp_path / 'moved' / 'records.sqlite'}"
    assert moved.versions_directory == tmp_path / "moved" / "bentoml"


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_a_relative_path_means_the_same_from_everywhere(
    scheme: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keep(Settings(home=home, store=f"{scheme}:///there.sqlite", versions="shared"), *OF_A_HOME)
    monkeypatch.chdir(home)
    found = of_home(Settings(home=home))
    assert found.store == f"{scheme}:///{tmp_path / 'there.sqlite'}"
    assert found.versions == str(tmp_path / "shared")


def test_each_keeps_what_it_uses_and_leaves_what_was_kept(home: Path) -> None:
    keep(Settings(home=home, features="redis://here:6379/0"), "features", "event_log")
    keep(Settings(home=home, store="sqlite:////srv/records.sqlite"), "store", "event_log")
    assert kept(home) == {
        "features": "redis://here:6379/0",
        "event_log": "sqlite",
        "store": "sqlite:////srv/records.sqlite",
    }


def test_where_kafka_is_belongs_to_a_home_whose_events_go_there(home: Path) -> None:
    keep(Settings(home=home), *OF_A_HOME)
    assert not [name for name in kept(home) if name.startswith("kafka")]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("store", "postgresql+psycopg://me:sesame@db/records"),
        ("store", "postgresql+psycopg://me@db/records?password=sesame"),
        ("features", "redis://:sesame@here:6379/0"),
    ],
)
def test_a_secret_is_neither_kept_nor_told(name: str, url: str, home: Path) -> None:
    told = run("settings", "change", "--home", str(home), f"--{name}", url)
    assert told.exit_code == 1
    assert "sesame" not in told.output


def test_a_consumer_that_never_opened_its_store_keeps_nothing(home: Path) -> None:
    with pytest.raises(SettingsError, match="is none that is known"):
        run_consumer(Settings(home=home, store="postgres:/typo"), once=True)
    assert kept(home) == {}


def test_who_writes_elsewhere_than_the_home_keeps_is_refused_before_it_writes(
    home: Path, elsewhere: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="keeps store"):
        run_consumer(Settings(home=home, store=f"sqlite:///{tmp_path / 'other.sqlite'}"), once=True)
    assert not (tmp_path / "other.sqlite").exists()


def test_a_home_is_moved_by_a_command_while_nobody_uses_it(home: Path, elsewhere: str, tmp_path: Path) -> None:
    change = ("settings", "change", "--home", str(home), "--store", f"sqlite:///{tmp_path / 'other.sqlite'}")
    with use(home, command="bellwether consume"):
        refused = run(*change)
    assert refused.exit_code == 1
    assert "is in use by" in refused.stderr
    assert run(*change).exit_code == 0
    shown = run("settings", "show", "--home", str(home), "--json")
    assert json.loads(shown.stdout)["store"] == f"sqlite:///{tmp_path / 'other.sqlite'}"
    assert of_home(Settings(home=home)).store == f"sqlite:///{tmp_path / 'other.sqlite'}"


def test_a_damaged_file_is_named_with_the_remedy(home: Path) -> None:
    (home / FILE).write_text("{")
    told = run("status", "--home", str(home))
    assert told.exit_code == 1
    assert f"{home / FILE} cannot be read" in told.stderr


def test_rules_are_those_of_the_settings_whatever_home_lies_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".bellwether").mkdir()
    keep(Settings(event_log=KAFKA, kafka="broker:9092"), *OF_A_HOME)
    assert run("rules", "--directory", "p", "--alertmanager-directory", "a").exit_code == 0
    assert "bellwether-forwarder" not in (tmp_path / "p" / "prometheus.yml").read_text()


def test_a_store_is_read_while_somebody_writes_into_it(home: Path, elsewhere: str) -> None:
    writer = RecordStoreSql(elsewhere)
    writer.commit(Batch([prediction(2, model=MODEL)], [], []), consumer="c", position=1)
    told = run("status", "--home", str(home))
    writer.close()
    assert "2 predictions" in told.stdout


def test_a_clock_that_there_is_not_is_not_made(home: Path, tmp_path: Path) -> None:
    told = run("status", "--home", str(home), "--clock-file", str(tmp_path / "clock"))
    assert told.exit_code == 1
    assert "clock file" in told.stderr
    assert not (tmp_path / "clock").exists()


def test_a_store_in_another_home_stays_there_while_a_process_of_this_one_works_with_it(tmp_path: Path) -> None:
    with use(tmp_path / "other", command="consume of the other"):
        pass
    settings = Settings(home=tmp_path / "home", store=f"sqlite:///{tmp_path / 'other' / 'records.sqlite'}")

    with (
        beside_others(settings, command="bellwether consume"),
        pytest.raises(AlreadyRunning, match=r"in use by process .*bellwether consume"),
    ):
        use_alone(tmp_path / "other", command="up")

    use_alone(tmp_path / "other", command="up").close()
