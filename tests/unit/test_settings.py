from dataclasses import fields
from pathlib import Path

import pytest

from services.core.errors import SettingsError
from services.settings import Settings, file_variables, variable_of

SESAME = "a-token-of-many-characters"


def test_every_setting_survives_the_way_through_a_child_processes_environment() -> None:
    settings = Settings(
        home=Path("/somewhere"), port=1234, control_share=0.5, clock_file="clock", predict_needs_token=True
    )

    assert Settings.from_environment(settings.as_environment()) == settings


def test_a_variable_overrides_its_default_and_others_are_left_alone() -> None:
    assert Settings.from_environment({"BELLWETHER_PORT": "4000", "PATH": "x"}) == Settings(port=4000)


def test_a_value_that_does_not_fit_is_named_with_what_was_expected() -> None:
    with pytest.raises(SettingsError, match="BELLWETHER_PORT is 'many'; expected int"):
        Settings.from_environment({"BELLWETHER_PORT": "many"})


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert Settings(port=4000).with_flags(port=None, workers=3) == Settings(port=4000, workers=3)


@pytest.mark.parametrize("name", [each.name for each in fields(Settings)])
def test_every_setting_says_what_it_means(name: str) -> None:
    (declared,) = [each for each in fields(Settings) if each.name == name]

    assert len(declared.metadata["meaning"]) > 10
    assert variable_of(name).startswith("BELLWETHER_")


@pytest.mark.parametrize(
    ("text", "meant"), [("True", True), ("true", True), ("1", True), ("No", False), ("False", False)]
)
def test_a_truth_is_read_as_a_word_and_false_is_not_true(text: str, meant: bool) -> None:
    assert Settings.from_environment({"BELLWETHER_PREDICT_NEEDS_TOKEN": text}).predict_needs_token is meant


def test_a_word_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(SettingsError, match="BELLWETHER_PREDICT_NEEDS_TOKEN is 'perhaps'; expected true or false"):
        Settings.from_environment({"BELLWETHER_PREDICT_NEEDS_TOKEN": "perhaps"})


@pytest.mark.parametrize("variable", ["BELLWETHER_TOKEN", "BELLWETHER_ALERT_TOKEN"])
@pytest.mark.parametrize("text", ["", "  ", "open-sesame", "a token of many words"])
def test_a_secret_that_cannot_be_one_is_refused_without_being_told(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} .*; .* makes one, or leave the variable unset") as caught:
        Settings.from_environment({variable: text})
    assert not text.strip() or text not in str(caught.value)


def test_a_secret_that_there_is_not_gives_a_child_no_variable_and_one_that_there_is_does() -> None:
    variables = Settings(token=SESAME).as_environment()

    assert variables["BELLWETHER_TOKEN"] == SESAME
    assert "BELLWETHER_ALERT_TOKEN" not in variables
    assert Settings.from_environment(variables) == Settings(token=SESAME)


def test_a_line_end_behind_a_secret_is_no_part_of_it() -> None:
    assert Settings.from_environment({"BELLWETHER_TOKEN": f"{SESAME}\n"}).token == SESAME


@pytest.mark.parametrize(("name", "variable"), sorted(file_variables().items()))
def test_every_secret_may_stand_in_a_file_instead(name: str, variable: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SESAME}\n")

    settings = Settings.from_environment({variable: str(tmp_path / "secret")})

    assert getattr(settings, name) == SESAME


def test_the_files_of_secrets_are_those_of_all_secrets_but_the_token_which_has_a_setting_for_its_file() -> None:
    assert set(file_variables()) == {
        "store_password",
        "features_password",
        "kafka_password",
        "kafka_key_password",
        "alert_token",
        "monitor_token",
    }


def test_a_variable_goes_over_its_file_which_a_child_process_inherits() -> None:
    variables = {"BELLWETHER_ALERT_TOKEN": SESAME, "BELLWETHER_ALERT_TOKEN_FILE": "/nowhere"}

    assert Settings.from_environment(variables).alert_token == SESAME


def test_a_file_variable_that_is_empty_names_none() -> None:
    assert Settings.from_environment({"BELLWETHER_STORE_PASSWORD_FILE": ""}) == Settings()


def test_a_file_that_cannot_be_read_is_named_with_what_was_expected(tmp_path: Path) -> None:
    expected = "BELLWETHER_STORE_PASSWORD_FILE .*gone cannot be read: No such file.*; expected a file with the secret"
    with pytest.raises(SettingsError, match=expected):
        Settings.from_environment({"BELLWETHER_STORE_PASSWORD_FILE": str(tmp_path / "gone")})


@pytest.mark.parametrize(("variable", "content"), [("STORE_PASSWORD", b"\n"), ("ALERT_TOKEN", b"open-sesame")])
def test_a_file_whose_secret_cannot_be_one_is_refused_by_the_name_of_its_variable(
    variable: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(SettingsError, match=f"BELLWETHER_{variable}_FILE is (empty|shorter)") as caught:
        Settings.from_environment({f"BELLWETHER_{variable}_FILE": str(tmp_path / "secret")})
    assert "open-sesame" not in str(caught.value)


def test_a_file_that_is_no_text_leaves_nothing_of_itself_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="it is no text") as caught:
        Settings.from_environment({"BELLWETHER_KAFKA_PASSWORD_FILE": str(tmp_path / "secret")})
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("CONTROL_SHARE", "20", "at most 1"),
        ("CONTROL_SHARE", "1e-9", "0, or at least 0.0001"),
        ("CONTROL_SHARE", "inf", "at most 1"),
        ("CONSUME_BATCH", "0", "at least 1"),
        ("FORWARD_BATCH", "-1", "at least 1"),
        ("POLL_SECONDS", "nan", "at least 0 and at most 86,400"),
        ("POLL_SECONDS", "1e12", "at least 0 and at most 86,400"),
        ("LEASE_SECONDS", "0", "at least 0.01 and at most 86,400"),
        ("OUTBOX_KEEP_HOURS", "-1", "at least 0 and at most 876,600"),
        ("OUTBOX_KEEP_HOURS", "1e9", "at least 0 and at most 876,600"),
        ("REPORTS_KEPT", "0", "at least 1"),
        ("PORT", "70000", "at least 0 and at most 65,535"),
    ],
)
def test_a_number_that_would_stop_a_process_or_bury_every_event_is_refused_at_the_start(
    variable: str, text: str, expected: str
) -> None:
    with pytest.raises(SettingsError, match=f"BELLWETHER_{variable} is .*; expected {expected}"):
        Settings.from_environment({f"BELLWETHER_{variable}": text})


@pytest.mark.parametrize("share", ["0", "0.0001", "1", "-1"])
def test_every_share_of_a_control_arm_that_can_be_learnt_from_is_taken(share: str) -> None:
    assert Settings.from_environment({"BELLWETHER_CONTROL_SHARE": share}).control_share == float(share)
