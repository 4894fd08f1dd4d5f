from dataclasses import fields
from pathlib import Path

import pytest

from services.core.errors import SettingsError
from services.settings import Settings, variable_of

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
