"""From settings to what is asked of callers: which tokens there are, and what is refused before anything listens."""

from pathlib import Path

import pytest

from monitoring.entrypoints.up.command import Plan, run_up
from services.core.errors import SettingsError
from services.entrypoints.access import OPEN, access_of, token_to_send, tokens_of
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


def test_a_token_is_in_no_repr() -> None:
    settings = Settings(token=OLD, alert_token=NEW)

    assert not any(token in f"{settings!r} {access_of(settings)!r}" for token in (OLD, NEW))
