"""A run brings along the servers that it was given no address of, and keeps out of those that it was."""

import socket
from pathlib import Path

import pytest

from monitoring.entrypoints.up.children import ChildFailed
from monitoring.entrypoints.up.servers import OwnServer, with_own_servers
from services.settings import KAFKA, Settings
from tests.ports import free_port


def test_the_embedded_default_brings_no_server(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert with_own_servers(settings) == (settings, [])


def test_kafka_without_an_address_brings_a_broker_with_its_data_in_the_home(tmp_path: Path) -> None:
    settings, (broker,) = with_own_servers(Settings(home=tmp_path, event_log=KAFKA))
    assert settings.kafka == broker.address == f"127.0.0.1:{broker.port}"
    assert broker.directory == tmp_path / "kafka"
    assert Path(broker.command[0]).is_file()


def test_postgresql_in_place_of_an_address_brings_a_server_whose_url_is_the_store_s(tmp_path: Path) -> None:
    settings, (server,) = with_own_servers(Settings(home=tmp_path, store="postgresql"))
    assert settings.store_url == f"postgresql+psycopg://bellwether@{server.address}/bellwether"
    assert Path(server.command[0]).is_file()


def test_redis_in_place_of_an_address_brings_a_server_with_the_features(tmp_path: Path) -> None:
    settings, (server,) = with_own_servers(Settings(home=tmp_path, features="redis"))
    assert settings.features == f"redis://{server.address}/0"
    assert Path(server.command[0]).is_file()


def test_a_run_on_somebody_s_broker_has_topics_and_a_group_of_its_own(tmp_path: Path) -> None:
    shared = Settings(home=tmp_path, event_log=KAFKA, kafka="kafka.example:9092")
    (first, none), (second, _) = with_own_servers(shared), with_own_servers(shared)
    assert none == []
    assert first.kafka == shared.kafka
    assert first.kafka_prefix.startswith("bellwether-run-")
    assert len({shared.kafka_prefix, first.kafka_prefix, second.kafka_prefix}) == 3
    assert first.kafka_group == first.kafka_prefix


def test_a_server_is_awaited_until_its_port_is_open(tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = OwnServer("kafka", tmp_path, listening.getsockname()[1], tmp_path)
        server.await_open(listening.listen)


def test_a_server_that_ends_is_not_awaited_any_longer(tmp_path: Path) -> None:
    def ended() -> None:
        raise ChildFailed("kafka ended 6 times")

    with pytest.raises(ChildFailed, match="ended"):
        OwnServer("kafka", tmp_path, free_port(), tmp_path).await_open(ended)
