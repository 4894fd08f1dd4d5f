"""From settings to what is asked of callers: which tokens there are, and what is refused before anything listens."""

from pathlib import Path

import pytest

from monitoring.entrypoints.evaluator import run_evaluator
from monitoring.entrypoints.lifecycle import run_lifecycle
from monitoring.entrypoints.up.command import Plan, run_up
from services.core.errors import SettingsError
from services.entrypoints.access import (
    MONITOR_PORTS,
    OPEN,
    PROBES,
    MonitorPort,
    Names,
    UnknownHost,
    access_of,
    access_of_monitor,
    token_to_send,
    tokens_of,
)
from services.entrypoints.consumer import run_consumer
from services.entrypoints.forwarder import run_forwarder
from services.entrypoints.serve import run_serving
from services.settings import Settings

OLD, NEW = "the-old-token-0123456789", "the-new-token-0123456789"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - it is refused, so nothing listens there


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_token_file_has_one_token_per_line_among_comments_and_blank_lines(tmp_path: Path) -> None:
    file = written(tmp_path / "tokens", f"# in use until March\n{OLD}\n\n  {NEW}  \r\n")

    assert tokens_of(Settings(token_file=file)) == (OLD, NEW)


def test_the_tokens_of_the_environment_and_of_the_file_are_all_taken(tmp_path: Path) -> None:
    settings = Settings(token=NEW, token_file=written(tmp_path / "tokens", OLD))

    assert access_of(settings).tokens == (NEW, OLD)
    assert token_to_send(settings) == NEW


def test_without_a_token_this_machine_may_do_everything_and_clients_send_none() -> None:
    assert access_of(Settings()) == OPEN
    assert (OPEN.to_write, OPEN.to_predict) == ([], [])
    assert token_to_send(Settings()) == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no token"),
        ("# nothing but this\n\n", "has no token"),
        (f"{OLD}\nsecret\n", "line 2 is shorter than 16 characters"),
        (f"# two words\n{OLD} {NEW}\n", "line 2 has a character that no bearer token may have"),
    ],
)
def test_a_file_whose_tokens_are_none_is_named_with_the_remedy_and_without_a_token(
    tmp_path: Path, text: str, problem: str
) -> None:
    file = written(tmp_path / "tokens", text)
    with pytest.raises(SettingsError) as caught:
        tokens_of(Settings(token_file=file))
    message = str(caught.value)
    assert message.startswith(f"BELLWETHER_TOKEN_FILE {file}")
    assert problem in message
    assert "token_urlsafe" in message
    assert not any(each in message for each in (OLD, NEW, "secret\n"))


def test_a_file_that_is_not_there_or_no_text_is_named_and_nothing_of_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere cannot be read: No such file or directory"):
        tokens_of(Settings(token_file=str(tmp_path / "nowhere")))
    (tmp_path / "binary").write_bytes(OLD.encode() + b"\xff")
    with pytest.raises(SettingsError, match="binary cannot be read: it is no text") as caught:
        tokens_of(Settings(token_file=str(tmp_path / "binary")))
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_to_listen_beyond_this_machine_takes_a_token(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", host=EVERYWHERE)
    remedy = "set BELLWETHER_TOKEN or BELLWETHER_TOKEN_FILE; .* Or listen on 127.0.0.1"
    with pytest.raises(SettingsError, match=remedy):
        run_serving(settings)
    assert not settings.home.exists()
    assert access_of(Settings(host=EVERYWHERE, token=NEW)).tokens == (NEW,)


def test_predictions_cannot_need_a_token_that_there_is_not() -> None:
    with pytest.raises(SettingsError, match="BELLWETHER_PREDICT_NEEDS_TOKEN is true, but there is no token; set"):
        access_of(Settings(predict_needs_token=True))


def test_up_refuses_what_its_service_would_refuse_before_it_touches_its_home(tmp_path: Path) -> None:
    plan = Plan(model="churn", until=None, summary=None, days=1, calls_per_day=1, days_per_second=1.0, seed=1)
    with pytest.raises(SettingsError, match="could write features and outcomes without a token"):
        run_up(Settings(home=tmp_path / "home", host=EVERYWHERE), plan)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("port", MONITOR_PORTS)
@pytest.mark.parametrize("host", [EVERYWHERE, "::", "10.0.0.7", "192.168.1.5", ""])
def test_no_port_is_open_to_others_without_a_token(port: MonitorPort, host: str) -> None:
    with pytest.raises(SettingsError, match=f"BELLWETHER_{port.upper()} is .*; set BELLWETHER_MONITOR_TOKEN; python"):
        access_of_monitor(Settings(**{port: host}), port)  # type: ignore[arg-type]  # both are texts
    for known in (Settings(**{port: host}, monitor_token=NEW), Settings(**{port: host}, token=OLD)):  # type: ignore[arg-type]
        access = access_of_monitor(known, port)
        assert access.read_needs_token
        assert access.tokens in {(NEW,), (OLD,)}


def test_on_this_machine_reading_is_open_unless_the_monitor_has_a_token_of_its_own() -> None:
    assert not access_of_monitor(Settings(), "monitor_host").read_needs_token
    assert not access_of_monitor(Settings(token=OLD), "monitor_host").read_needs_token
    assert access_of_monitor(Settings(monitor_token=OLD), "metrics_host").read_needs_token


def test_processes_end_before_they_open_anything_where_others_could_read_their_metrics(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", metrics_host=EVERYWHERE)
    for run in (run_consumer, run_forwarder, run_lifecycle):
        with pytest.raises(SettingsError, match="BELLWETHER_METRICS_HOST"):
            run(settings)
    with pytest.raises(SettingsError, match="BELLWETHER_MONITOR_HOST"):
        run_evaluator(Settings(home=tmp_path / "home", monitor_host=EVERYWHERE))
    assert list(tmp_path.iterdir()) == []


OF_THIS_MACHINE = [
    "localhost",
    "LOCALHOST:3000",
    "localhost.:3000",
    "127.0.0.1",
    "127.0.0.1:3000",
    "127.255.255.254:1",
    "[::1]",
    "[::1]:3000",
    "[::ffff:127.0.0.1]:3000",
]
OF_NOBODY_HERE = [
    "evil.example",
    "evil.example:3000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "evil.example#localhost",
    "10.0.0.7:3000",
    "0.0.0.0:3000",
    "[::2]:3000",
    "::1",
    "127.1",
    "2130706433",
    "localhost:3000:4000",
    "localhost:port",
    "localhost localhost",
    "",
    " ",
    "\xff",
]


@pytest.mark.parametrize("host", OF_THIS_MACHINE)
def test_a_port_of_this_machine_is_called_by_its_names(host: str) -> None:
    access = access_of(Settings())
    for _ in range(2):
        assert access.problem("GET", "/v1/models", [(b"host", host.encode("latin-1"))]) is None


@pytest.mark.parametrize("host", OF_NOBODY_HERE)
def test_any_other_name_is_refused_with_those_that_are_known_and_the_setting(host: str) -> None:
    for settings in (Settings(), Settings(token=NEW), Settings(allowed_hosts="api.example.com")):
        problem = access_of(settings).problem("POST", "/v1/models/x/predict", [(b"host", host.encode("latin-1"))])
        assert isinstance(problem, UnknownHost)
        assert "127.0.0.1" in str(problem)
        assert "BELLWETHER_ALLOWED_HOSTS" in str(problem)


def test_of_two_names_neither_may_be_wrong() -> None:
    headers = [(b"host", b"localhost"), (b"accept", b"*/*"), (b"host", b"evil.example")]
    assert isinstance(access_of(Settings()).problem("GET", "/", headers), UnknownHost)


def test_who_names_no_host_was_led_here_by_none() -> None:
    assert access_of(Settings()).problem("GET", "/v1/models", [(b"accept", b"*/*")]) is None


def test_further_names_are_a_setting_with_or_without_a_port() -> None:
    access = access_of(Settings(allowed_hosts="Api.example.com, 10.0.0.7:3000,[fd00::1]"))
    for host in (b"api.example.com:443", b"API.example.com", b"10.0.0.7:8000", b"[fd00::1]:3000", b"localhost"):
        assert access.problem("GET", "/", [(b"host", host)]) is None
    assert access.problem("GET", "/", [(b"host", b"example.com")]) is not None


def test_beyond_this_machine_every_name_will_do_until_some_are_chosen() -> None:
    anybody = [(b"host", b"predictions.example.com")]
    assert access_of(Settings(host=EVERYWHERE, token=NEW)).problem("GET", "/", anybody) is None
    chosen = access_of(Settings(host=EVERYWHERE, token=NEW, allowed_hosts="api.example.com"))
    assert isinstance(chosen.problem("GET", "/", anybody), UnknownHost)


@pytest.mark.parametrize("names", ["https://api.example.com", "*", "*.example.com", "api.example.com/path", "a b"])
def test_what_is_no_name_is_refused_at_the_start(names: str) -> None:
    with pytest.raises(SettingsError, match=r"BELLWETHER_ALLOWED_HOSTS is .* expected names or addresses"):
        access_of(Settings(allowed_hosts=names))


def test_names_that_no_host_can_have_are_not_kept() -> None:
    names = Names(any_name=True)
    for number in range(10):
        assert names.problem(b"x" * 30_000 + b"%d" % number) is None
    assert names.good == set()


@pytest.mark.parametrize("path", sorted(PROBES))
def test_a_probe_may_call_a_container_by_its_address(path: str) -> None:
    access = access_of(Settings(host=EVERYWHERE, token=NEW, allowed_hosts="api.example.com"))
    assert access.problem("GET", path, [(b"host", b"10.42.0.17:3000")]) is None


def test_a_token_is_in_no_repr() -> None:
    settings = Settings(token=OLD, alert_token=NEW)

    assert not any(token in f"{settings!r} {access_of(settings)!r}" for token in (OLD, NEW))
