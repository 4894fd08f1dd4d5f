"""`bellwether check MODEL`: whether workers would serve the champion with the spec as it is in the code."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitoring.entrypoints.check_version import check_champion, lines
from monitoring.entrypoints.cli import main
from services import bootstrap
from services.core.records import CHAMPION
from services.core.spec import Categorical, Numeric, Source
from services.models.discovery import discover
from services.settings import Settings
from tests.artifacts import toy_version
from tests.toy import _feature, toy_spec

AMOUNT, PLAN, VISITS, MOOD = toy_spec().features


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a home in which v1 of the toy is the champion, trained with amount, plan, visits and mood."""
    settings = Settings(home=tmp_path)
    bootstrap.model_store(settings).add(*toy_version("v1", categories={"plan": ["monthly", "yearly"]}))
    bootstrap.fleet(settings).publish("toy", {CHAMPION: "v1"})
    return settings


def test_a_spec_as_it_was_serves_the_champion(settings: Settings) -> None:
    assert lines(check_champion(settings, toy_spec())) == ["toy: this spec serves champion v1"]


def test_a_version_that_is_not_the_registered_one_is_refused_as_workers_refuse_it(settings: Settings) -> None:
    bootstrap.fleet(settings).publish("toy", {CHAMPION: "v1"}, manifests={"v1": "0" * 64})
    assert "but 0000" in check_champion(settings, toy_spec()).refused


def test_what_is_new_is_told_and_refuses_nothing(settings: Settings) -> None:
    plan = replace(PLAN, kind=Categorical(("monthly", "yearly", "weekly")))
    spec = toy_spec(features=(AMOUNT, plan, VISITS, MOOD, _feature("extra", Numeric(), Source.REQUEST)))
    first, *notes = lines(check_champion(settings, spec))
    assert first == "toy: this spec serves champion v1"
    assert notes[0].startswith("note: v1 was trained without extra and answers as before")
    assert notes[1].startswith("note: v1 was not trained for plan 'weekly'")


def test_what_is_gone_refuses_it_and_is_named(settings: Settings) -> None:
    spec = toy_spec(features=(AMOUNT, PLAN, MOOD))
    found = check_champion(settings, spec)
    assert lines(found)[0].startswith("toy: this spec refuses champion v1: version v1 of toy was trained with")
    assert "feature visits" in found.refused
    assert "`bellwether retrain toy`" in found.refused


def test_without_a_champion_the_rule_answers(tmp_path: Path) -> None:
    assert lines(check_champion(Settings(home=tmp_path), toy_spec())) == [
        "toy: no version is promoted, so the rule answers"
    ]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_champion_that_would_be_refused_ends_with_exit_code_1(settings: Settings, tmp_path: Path) -> None:
    model = next(iter(discover()))
    bootstrap.fleet(settings).publish(model, {CHAMPION: "v7"})
    told = run("check", model, "--home", str(tmp_path), "--json")
    assert told.exit_code == 1
    assert "has no version 'v7'" in json.loads(told.stdout)["refused"]


def test_a_mapping_without_a_file_is_a_question_about_nothing(tmp_path: Path) -> None:
    told = run("check", next(iter(discover())), "--mapping", "history.toml", "--home", str(tmp_path))
    assert told.exit_code == 2
    assert "--csv FILE" in told.stderr
