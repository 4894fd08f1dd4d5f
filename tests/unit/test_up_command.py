"""What a run says at its end."""

import shlex
from pathlib import Path

import pytest

from monitoring.entrypoints.cli import main
from monitoring.entrypoints.up.command import told_why
from monitoring.entrypoints.up.servers import with_own_servers
from services.settings import KAFKA, Settings

HOME = Path("/srv/a run")


def hurried(settings: Settings) -> str:
    own, servers = with_own_servers(settings)
    return told_why(own, servers, hurried=True)


def test_a_run_in_its_home_alone_names_its_home() -> None:
    assert hurried(Settings(home=HOME)) == (
        "Told to stop again: everything ends at once; `bellwether audit events --home '/srv/a run'` "
        "tells what became of the events"
    )


def test_a_run_whose_events_are_elsewhere_says_where() -> None:
    store = "postgresql+psycopg://bellwether@db.example/records"
    said = hurried(Settings(home=HOME, store=store, event_log=KAFKA, kafka="kafka.example:9092"))

    assert f"--store {store} --event-log kafka --kafka kafka.example:9092 --kafka-prefix bellwether-run-" in said
    assert "ended too" not in said


def test_a_run_with_servers_of_its_own_says_that_they_ended_and_how_to_start_them() -> None:
    settings = Settings(home=HOME, store="postgresql", event_log=KAFKA, features="redis")

    own, servers = with_own_servers(settings)
    said = told_why(own, servers, hurried=True)

    for server in servers:
        assert (f"{server.name} ended too, start it first: {shlex.join(server.command)}" in said) == (
            server.name != "redis"
        )


@pytest.mark.parametrize(
    "settings",
    [
        Settings(home=HOME),
        Settings(home=HOME, event_log=KAFKA, kafka="k:1", kafka_user="u", kafka_sasl_mechanism="PLAIN"),
        Settings(home=HOME, kafka_security_protocol="SSL", kafka_ca_file="/etc/ca.pem"),
    ],
)
def test_the_command_that_a_run_names_takes_the_flags_that_are_said(settings: Settings) -> None:
    audit = main.commands["audit"].commands["events"]  # type: ignore[attr-defined]
    command = hurried(settings).partition("; ")[2].partition(" tells what")[0].strip("`")

    words = shlex.split(command)[3:]

    assert audit.make_context("events", words).params["home"] == HOME
