"""What docker-compose.yml starts, outside of containers: our services by profile, and the engines' configurations."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.compose.reading import COMPOSE, services
from tests.compose.running import Outside, Started, await_healthy, make_secrets, running
from tests.ports import free_port
from tests.servers.kafka import Broker, broker_in
from tests.servers.missing import provided, skip_without
from tests.servers.process import Unavailable
from tests.waiting import eventually

MODEL = "/v1/models/churn"
STOPPED_BY_SIGTERM = {0, -15}


@pytest.fixture
def containers_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker with the properties of the container, at this machine's addresses."""
    port = free_port()
    places = {
        "@kafka:9093": "@127.0.0.1:{controller}",
        "CONTROLLER://:9093": "CONTROLLER://127.0.0.1:{controller}",
        "PLAINTEXT://:9092": f"PLAINTEXT://127.0.0.1:{port}",
        "PLAINTEXT://kafka:9092": f"PLAINTEXT://127.0.0.1:{port}",
        "/var/lib/kafka/data": str(tmp_path / "kafka" / "data" / "data"),
    }
    text = (COMPOSE / "kafka" / "server.properties").read_text()
    for inside, here in places.items():
        assert inside in text
        text = text.replace(inside, here)
    (tmp_path / "server.properties").write_text(text)
    broker = broker_in(tmp_path / "kafka", port=port, properties=tmp_path / "server.properties")
    broker.directory.mkdir()
    try:
        broker.start()
        provided("Kafka")
        yield broker
    except Unavailable as error:
        skip_without("Kafka", str(error))
    finally:
        broker.stop()


@pytest.fixture
def containers_redis(tmp_path: Path) -> Iterator[int]:
    """The port of a Redis with the arguments of the container; the secrets are in `tmp_path`, where the stack's are."""
    if shutil.which("redis-server") is None:
        skip_without("Redis", "found no redis-server; install it, such as the package redis-server")
    outside, port = Outside(tmp_path, elsewhere={"/data": str(tmp_path / "redis")}), free_port()
    make_secrets(outside.secrets)
    (tmp_path / "redis").mkdir()
    command = [outside(each) for each in services("demo")["redis"]["command"]]
    with (tmp_path / "redis.log").open("wb") as log:
        server = subprocess.Popen([*command, "--port", str(port), "--bind", "127.0.0.1"], stdout=log, stderr=log)
    try:
        eventually(lambda: asked_redis(outside, port), what=f"Redis is healthy, see {tmp_path}/redis.log")
        provided("Redis")
        yield port
    finally:
        server.terminate()
        server.wait(30)


def asked_redis(outside: Outside, port: int) -> bool:
    """Run the container's check."""
    form, text = services("demo")["redis"]["healthcheck"]["test"]
    assert form == "CMD-SHELL"
    at_port = outside(text).replace("-h 127.0.0.1", f"-h 127.0.0.1 -p {port}")
    return subprocess.run(["sh", "-c", at_port], capture_output=True, timeout=10, check=False).returncode == 0


def test_redis_is_healthy_for_who_has_the_password_and_closed_to_everybody_else(containers_redis: int) -> None:
    command = ["redis-cli", "-h", "127.0.0.1", "-p", str(containers_redis), "keys", "*"]

    assert "NOAUTH" in subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout


def test_the_embedded_default_answers_records_and_ends_in_time(tmp_path: Path) -> None:
    with running("core", Outside(tmp_path)) as stack:
        for service in stack.values():
            await_healthy(service)

        assert_it_answers_and_records(stack)
        assert_it_ends(stack)


def test_the_demonstration_answers_and_records_through_its_engines(
    tmp_path: Path, containers_broker: Broker, postgresql_url: str, containers_redis: int
) -> None:
    outside = Outside(
        tmp_path,
        elsewhere={
            "kafka:9092": containers_broker.servers,
            "postgresql+psycopg://bellwether@postgresql:5432/bellwether": postgresql_url,
            "redis://redis:6379/0": f"redis://127.0.0.1:{containers_redis}/0",
        },
    )
    with running("demo", outside) as stack:
        for service in stack.values():
            await_healthy(service)

        eventually(lambda: recorded(stack) > 100, what="a hundred simulated predictions are recorded", seconds=90)
        assert_it_ends(stack)


def assert_it_answers_and_records(stack: dict[str, Started]) -> None:
    """A prediction needs no token, a write does, and both end in the store."""
    outside = stack["serving"].outside
    features = {"features": {"monthly_charges": {"value": 29.85, "observed_at": "2026-01-05T00:00:00Z"}}}
    token = {"Authorization": f"Bearer {outside.secret('token')}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{outside.ports['port']}{MODEL}", timeout=30) as client:
        assert client.put("/entities/7590-VHVEG/features", json=features).status_code == 401
        assert client.put("/entities/7590-VHVEG/features", json=features, headers=token).is_success
        asked = {"entity_id": "7590-VHVEG", "features": {"contract": "month-to-month"}}
        answer = client.post("/predict", json=asked)
        assert answer.is_success, answer.text
    eventually(lambda: recorded(stack) == 1, what="the prediction is recorded", seconds=30)


def recorded(stack: dict[str, Started]) -> int:
    """Predictions of the store, by what the monitor says."""
    port = stack["evaluation"].outside.ports["monitor_port"]
    token = {"Authorization": f"Bearer {stack['evaluation'].outside.secret('monitor_token')}"}
    said = httpx.get(f"http://127.0.0.1:{port}/status", headers=token, timeout=30).raise_for_status().json()
    return int(said["models"]["churn"]["records"]["predictions"])


def assert_it_ends(stack: dict[str, Started]) -> None:
    """Each within its grace period, those that others need last."""
    codes = {name: service.stop() for name, service in reversed(stack.items())}

    assert set(codes.values()) <= STOPPED_BY_SIGTERM, codes
