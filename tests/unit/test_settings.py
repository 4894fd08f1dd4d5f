from dataclasses import fields
from pathlib import Path

import pytest

from services.core.errors import SettingsError
from services.settings import Settings, variable_of


def test_every_setting_survives_the_way_through_a_child_processes_environment() -> None:
    settings = Settings(home=Path("/somewhere"), port=1234, control_share=0.5, clock_file="clock")

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
