"""A broker that asks for TLS and a password."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from services import bootstrap
from services.adapters.event_log_kafka import KafkaCluster, KafkaSink
from services.core.errors import EventLogUnavailable, SettingsError
from services.core.events import prediction_event
from services.core.transport import Portion
from services.settings import Settings
from tests.ports import free_port
from tests.servers.kafka import Broker, running_broker
from tests.toy import NOON, prediction

PASSWORD = "sesame, open!"  # noqa: S105 - of a broker that lives as long as these tests

PATIENCE = timedelta(seconds=2)

PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},MUTUAL://127.0.0.1:{mutual},CONTROLLER://127.0.0.1:{{controller}}
advertised.listeners=SECURE://127.0.0.1:{secure},MUTUAL://127.0.0.1:{mutual},PLAINTEXT://127.0.0.1:{plain}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT
listener.name.mutual.ssl.keystore.type=PEM
listener.name.mutual.ssl.keystore.location={keystore}
listener.name.mutual.ssl.truststore.type=PEM
listener.name.mutual.ssl.truststore.location={certificate}
listener.name.mutual.ssl.client.auth=required
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={keystore}
listener.name.secure.sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
    username="broker" password="broker" user_bellwether="{password}";
"""


@dataclass
class SecureBroker:
    port: int
    mutual: int
    """Where a client needs a certificate."""
    authority: Path
    broker: Broker


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[SecureBroker]:
    """Beside the session's broker, which shows that this machine can provide one."""
    directory = tmp_path_factory.mktemp("secure")
    certificate, port, mutual = certificate_in(directory), free_port(), free_port()
    with running_broker(lambda plain: written(directory, plain=plain, secure=port, mutual=mutual)) as running:
        yield SecureBroker(port, mutual, certificate, running)


def certificate_in(directory: Path) -> Path:
    """A certificate for 127.0.0.1 that is its own authority; its key stands before it in keystore.pem."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    (directory / "keystore.pem").write_text(key.read_text() + certificate.read_text())
    return certificate


def written(directory: Path, *, plain: int, secure: int, mutual: int) -> Path:
    path = directory / "broker.properties"
    keystore = directory / "keystore.pem"
    path.write_text(
        PROPERTIES.format(
            plain=plain,
            secure=secure,
            mutual=mutual,
            keystore=keystore,
            certificate=directory / "certificate.pem",
            password=PASSWORD,
        )
    )
    return path


@pytest.fixture
def settings(secure: SecureBroker, tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path,
        event_log="kafka",
        kafka=f"127.0.0.1:{secure.port}",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="PLAIN",
        kafka_user="bellwether",
        kafka_password=PASSWORD,
        kafka_ca_file=str(secure.authority),
    )


def fitting(secure: SecureBroker) -> KafkaCluster:
    return KafkaCluster(
        servers=f"127.0.0.1:{secure.port}",
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        user="bellwether",
        password=PASSWORD,
        ca_file=str(secure.authority),
        patience=timedelta(seconds=2),
    )


def test_events_come_through_with_the_password_and_the_authority_of_the_settings(settings: Settings) -> None:
    sink, store = bootstrap.event_sink(settings), bootstrap.record_store(settings)
    source = bootstrap.event_source(settings, store)
    event = prediction_event(prediction(1))
    sink.deliver([event])

    portions: list[Portion] = []
    while not portions:
        portions = source.read(limit=10)

    assert [each.event for each in portions[0].events] == [event]
    source.close()
    sink.close()
    store.close()


def test_a_broker_that_asks_for_a_certificate_gets_that_of_the_settings(
    secure: SecureBroker, settings: Settings
) -> None:
    keys = secure.authority.with_name("key.pem")
    known = replace(
        settings,
        kafka=f"127.0.0.1:{secure.mutual}",
        kafka_security_protocol="SSL",
        kafka_cert_file=str(secure.authority),
        kafka_key_file=str(keys),
    )
    assert len(bootstrap._kafka(known).topics()) == 3
    with pytest.raises(EventLogUnavailable):
        replace(bootstrap._kafka(replace(known, kafka_cert_file="", kafka_key_file="")), patience=PATIENCE).topics()


@pytest.mark.parametrize(
    "changes",
    [{"password": "guessed"}, {"ca_file": ""}, {"security_protocol": "PLAINTEXT"}],
    ids=["wrong password", "unknown authority", "no TLS"],
)
def test_what_does_not_fit_is_an_error_in_time_that_tells_no_password(
    changes: dict[str, str], secure: SecureBroker
) -> None:
    sink = KafkaSink(replace(fitting(secure), **changes), now=lambda: NOON)  # type: ignore[arg-type]  # a test's own choice

    with pytest.raises((EventLogUnavailable, SettingsError)) as caught:
        sink.destination()

    assert PASSWORD not in str(caught.value)
    assert "guessed" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"security_protocol": "PLAINTEXT"},
            "does not answer as Kafka does; .*PROTOCOL is PLAINTEXT, expected SSL or SASL",
        ),
        ({"security_protocol": "SASL_PLAINTEXT"}, "PROTOCOL is SASL_PLAINTEXT, expected SSL or SASL_SSL"),
        ({"security_protocol": "SSL"}, "listens for SASL_SSL; .*PROTOCOL is SSL, expected SASL_SSL"),
        ({"ca_file": ""}, "a certificate that is not trusted: .*; look at BELLWETHER_KAFKA_CA_FILE"),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "offers the logins PLAIN; .*MECHANISM is 'SCRAM-SHA-256'"),
        ({"password": "guessed"}, "refuses the login .*look at BELLWETHER_KAFKA_USER and BELLWETHER_KAFKA_PASSWORD"),
    ],
)
def test_what_does_not_fit_a_listener_with_tls_and_a_login_is_named_in_seconds(
    changes: dict[str, str], reason: str, secure: SecureBroker
) -> None:
    cluster = replace(fitting(secure), patience=timedelta(seconds=15), **changes)  # type: ignore[arg-type]  # a test's own choice

    began = time.monotonic()
    with pytest.raises(EventLogUnavailable, match=reason):
        cluster.topics()

    assert time.monotonic() - began < 10


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SSL", "SASL_SSL"])
def test_a_listener_without_tls_and_login_is_named_in_seconds(protocol: str, broker: Broker) -> None:
    cluster = KafkaCluster(
        servers=broker.servers, security_protocol=protocol, sasl_mechanism="PLAIN", user="someone", password=PASSWORD
    )

    began = time.monotonic()
    with pytest.raises(EventLogUnavailable, match=f"listens for PLAINTEXT; .* is {protocol}, expected PLAINTEXT"):
        cluster.topics()

    assert time.monotonic() - began < 10


def test_a_server_that_is_not_there_is_named(secure: SecureBroker) -> None:
    server = f"127.0.0.1:{free_port()}"
    cluster = replace(fitting(secure), servers=server)

    with pytest.raises(EventLogUnavailable, match=f"no answer from {server}: .*refused"):
        cluster.topics()


def test_the_password_is_in_no_representation(settings: Settings) -> None:
    assert PASSWORD not in repr(settings)
    assert PASSWORD not in repr(bootstrap._kafka(settings))
