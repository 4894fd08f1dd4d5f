"""docker-compose.yml and the image keep what docs/decisions/containers.md promises."""

import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
import yaml

from services.entrypoints.access import MONITOR_PORTS, access_of, access_of_monitor
from services.settings import Settings, file_variables, variable_of
from tests.compose.reading import (
    COMPOSE,
    DOCKERFILE,
    PROFILES,
    ROOT,
    composed,
    env_file,
    image_environment,
    is_ours,
    services,
    written,
)
from tests.compose.running import make_secrets

OURS = {"serving", "consumer", "evaluation", "lifecycle"}
ENGINES = {"kafka", "postgresql", "redis"}
WATCH = {"prometheus", "alertmanager", "grafana"}
EVERY = sorted(services("demo").items())
SECRET_WORDS = re.compile(r"PASSWORD|TOKEN|SECRET")


@pytest.fixture(scope="module")
def made_secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "secrets"
    make_secrets(directory)
    return directory


def every_service(test: Any) -> Any:
    return pytest.mark.parametrize("service", [each for _, each in EVERY], ids=[name for name, _ in EVERY])(test)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_file_keeps_to_the_compose_specification(profile: str) -> None:
    schema = json.loads((ROOT / "tests" / "compose" / "compose-spec.json").read_text())

    problems = jsonschema_rs.validator_for(schema).iter_errors(composed(profile))

    assert [str(each) for each in problems] == []


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("core", OURS),
        ("full", OURS | {"forwarder"} | ENGINES | WATCH),
        ("demo", OURS | {"forwarder", "simulator"} | ENGINES | WATCH),
    ],
)
def test_a_profile_has_its_services_and_no_other(profile: str, expected: set[str]) -> None:
    assert set(services(profile)) == expected
    assert env_file(profile)["COMPOSE_PROFILES"] == profile


def test_the_demonstration_differs_from_the_full_stack_by_its_clock_alone() -> None:
    added = env_file("demo").items() - env_file("full").items()

    assert {name for name, _ in added} == {"COMPOSE_PROFILES", "BELLWETHER_CLOCK_FILE"}
    assert env_file("full").keys() <= env_file("demo").keys()


def test_every_variable_of_an_env_file_reaches_a_service() -> None:
    named = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))

    assert {name for profile in PROFILES for name in env_file(profile)} - {"COMPOSE_PROFILES"} <= named


def test_what_no_env_file_says_is_the_default_of_the_settings() -> None:
    said = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (ROOT / "docker-compose.yml").read_text()))
    unsaid = said.keys() - {name for profile in PROFILES for name in env_file(profile)}

    assert Settings.from_environment({name: said[name] for name in unsaid}) == Settings()
    assert "BELLWETHER_OUTBOX_FULL" in unsaid


@every_service
def test_an_image_is_pinned_to_a_version(service: dict[str, Any]) -> None:
    name, _, tag = service["image"].partition(":")

    assert re.match(r"v?\d+\.\d+", tag), f"{name} has the tag {tag!r}"


def test_our_image_has_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert {each["image"] for _, each in EVERY if is_ours(each)} == {f"bellwether:{version}"}


@every_service
def test_a_service_has_no_rights_that_it_does_not_need(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), "a number, because a name may be root in another image"
    assert not service.keys() & {"privileged", "cap_add", "devices", "pid", "ipc"}


@every_service
def test_a_service_says_when_it_is_healthy_how_it_ends_and_what_it_may_take(service: dict[str, Any]) -> None:
    assert service["restart"] in {"unless-stopped", "on-failure:3"}
    assert set(service["healthcheck"]) == {"test", "interval", "timeout", "retries", "start_period"}
    assert re.fullmatch(r"[1-9]\d+s", service["stop_grace_period"])
    assert re.fullmatch(r"[1-9]\d*[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0


def test_ports_are_published_to_this_machine_alone() -> None:
    published = {name: each["ports"] for name, each in EVERY if "ports" in each}

    assert published == {
        "serving": ["127.0.0.1:3000:3000"],
        "evaluation": ["127.0.0.1:3001:3001"],
        "grafana": ["127.0.0.1:3010:3000"],
    }


def test_what_is_published_asks_for_a_token_or_a_login() -> None:
    asking = {
        name for name, each in EVERY if {"token", "monitor_token", "grafana_password"} & set(each.get("secrets", ()))
    }

    assert {name for name, each in EVERY if "ports" in each} <= asking


@pytest.mark.parametrize("profile", PROFILES)
def test_each_of_ours_is_called_by_its_own_name_and_those_of_this_machine_alone(
    profile: str, made_secrets: Path
) -> None:
    for name, service in services(profile).items():
        if not is_ours(service) or name == "simulator":
            continue
        settings = settings_of(service, made_secrets)
        ports = [each for each in MONITOR_PORTS if getattr(settings, each) == "0.0.0.0"]  # noqa: S104 - in a container
        every = [access_of_monitor(settings, port) for port in ports]
        for access in every if name != "serving" else [access_of(settings)]:
            assert access.tokens
            assert access.problem("GET", "/metrics", [(b"host", name.encode() + b":3000")]) is None
            assert access.problem("GET", "/metrics", [(b"host", b"127.0.0.1:3000")]) is None
            assert access.problem("GET", "/metrics", [(b"host", b"evil.example:3000")]) is not None


def test_what_publishes_no_port_is_on_the_network_without_a_way_out() -> None:
    networks = {name: set(each["networks"]) for name, each in EVERY if "networks" in each}

    assert written()["networks"]["inside"] == {"internal": True}
    assert {name for name, of in networks.items() if of == {"inside"}} == {
        name for name, each in EVERY if "ports" not in each and name != "simulator"
    }
    assert dict(EVERY)["simulator"]["network_mode"] == "service:serving"


def test_every_variable_of_ours_is_a_setting_or_the_file_of_a_secret() -> None:
    known = {variable_of(each.name) for each in fields(Settings)} | set(file_variables().values())
    ours = {name for _, each in EVERY if is_ours(each) for name in each["environment"]}
    given = ours | image_environment().keys() | {name for profile in PROFILES for name in env_file(profile)}

    assert {name for name in given if name.startswith("BELLWETHER_")} <= known


@pytest.mark.parametrize("profile", PROFILES)
def test_no_secret_stands_in_the_file_and_each_that_is_named_is_mounted(profile: str) -> None:
    for name, service in services(profile).items():
        variables = {each: str(value) for each, value in (service.get("environment") or {}).items()}
        for variable, value in variables.items():
            assert not (urlsplit(value).password if "://" in value else None), f"{name}: {variable} has a password"
            if SECRET_WORDS.search(variable) and value:
                assert variable.endswith("_FILE"), f"{name}: {variable} is no file"
                assert value.removeprefix("/run/secrets/") in service["secrets"], f"{name}: {value} is not mounted"


def test_the_script_makes_every_secret_and_keeps_those_that_are_there(made_secrets: Path) -> None:
    declared = {name: each["file"] for name, each in written()["secrets"].items()}
    before = {path.name: path.read_text() for path in made_secrets.iterdir()}

    make_secrets(made_secrets)

    assert declared == {name: f"./deploy/compose/secrets/{name}" for name in before}
    assert {path.name: path.read_text() for path in made_secrets.iterdir()} == before
    assert len(set(before.values())) == len(before)


def test_secrets_are_closed_to_others_on_the_machine_and_open_in_the_containers(made_secrets: Path) -> None:
    assert stat.S_IMODE(made_secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in made_secrets.iterdir()} == {0o444}
    assert "/deploy/compose/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_a_secret_that_was_removed_is_made_anew_with_what_follows_from_it(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    (tmp_path / "features_password").unlink()

    make_secrets(tmp_path)

    changed = {path.name for path in tmp_path.iterdir() if path.read_text() != before[path.name]}
    assert changed == {"features_password", "features_acl"}


@pytest.mark.parametrize(("profile", "with_password"), [("core", set()), ("full", OURS - {"serving"})])
def test_our_services_get_the_secrets_that_they_need_and_no_other(
    profile: str, with_password: set[str], made_secrets: Path
) -> None:
    settings = {name: settings_of(each, made_secrets) for name, each in services(profile).items() if is_ours(each)}

    assert access_of(settings["serving"]).tokens == ((made_secrets / "token").read_text(),)
    assert {name for name, each in settings.items() if each.alert_token} == {"evaluation"}
    assert {name for name, each in settings.items() if each.monitor_token} == settings.keys() - {"serving"}
    assert {name for name, each in settings.items() if each.store_password} == with_password
    assert {name for name, each in settings.items() if each.features_password} == (
        {"serving"} if with_password else set()
    )


def settings_of(service: dict[str, Any], made_secrets: Path) -> Settings:
    said = {name: value.replace("/run/secrets", str(made_secrets)) for name, value in service["environment"].items()}
    return Settings.from_environment(said)


@every_service
def test_every_mounted_file_and_volume_exists(service: dict[str, Any]) -> None:
    for source, target, *_ in (each.split(":") for each in service.get("volumes", ())):
        assert target.startswith("/")
        assert (ROOT / source).exists() if source.startswith(".") else source in written()["volumes"]


@pytest.mark.parametrize("profile", PROFILES)
def test_what_a_service_waits_for_is_there_or_may_be_missing(profile: str) -> None:
    found = services(profile)
    for service in found.values():
        for name, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy"
            assert name in found or how["required"] is False


def test_prometheus_and_alertmanager_are_told_what_the_rules_command_says_of_the_containers(tmp_path: Path) -> None:
    rewrite = {"OUTPUT": str(tmp_path), "BELLWETHER": str(Path(sys.executable).with_name("bellwether"))}

    subprocess.run([COMPOSE / "configure"], env=os.environ | rewrite, check=True, cwd=ROOT, timeout=60)

    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"prometheus.yml", "alertmanager.yml"}
    assert {name: (COMPOSE / name).read_text() for name in names} == {
        name: (tmp_path / name).read_text() for name in names
    }


def test_prometheus_asks_containers_that_there_are() -> None:
    told = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    groups = [*told["scrape_configs"], *told["alerting"]["alertmanagers"]]
    hosts = {target.split(":")[0] for group in groups for each in group["static_configs"] for target in each["targets"]}

    assert hosts == {"serving", "evaluation", "lifecycle", "consumer", "forwarder", "alertmanager", "127.0.0.1"}
    assert hosts - {"127.0.0.1"} <= services("full").keys()


def test_the_image_is_built_on_a_pinned_base_and_is_nobody_in_particular() -> None:
    text = DOCKERFILE.read_text()

    assert re.findall(r"^ARG BASE=(.*)$", text, re.MULTILINE) == ["python:3.11.16-slim-bookworm"]
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert "--require-hashes" in text


def test_the_image_is_made_of_files_that_its_context_has() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE.read_text(), re.MULTILINE)

    assert {source for line in copied for source in line.split()[:-1]} == allowed
    assert [name for name in allowed if not (ROOT / name).exists()] == []
