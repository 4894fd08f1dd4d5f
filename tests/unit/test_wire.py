"""What goes to another machine is encrypted, or somebody said by name that it need not be."""

from typing import Any

import pytest

from services import bootstrap
from services.adapters.features_redis import FeaturesRedis
from services.adapters.record_store.database import Database
from services.core.errors import SettingsError, StoreUnavailable
from services.settings import Settings

OPT_OUT = "BELLWETHER_ALLOW_PLAINTEXT=true"
POSTGRESQL = "postgresql+psycopg://user@"

WITHOUT_TLS = [
    {"store": f"{POSTGRESQL}db.example/records?sslmode=disable"},
    {"store": f"{POSTGRESQL}db.example/records?sslmode=allow"},
    {"store": f"{POSTGRESQL}db.example/records?sslmode=prefer"},
    {"store": f"{POSTGRESQL}10.0.0.7:5432/records?sslmode=prefer"},
    {"store": f"{POSTGRESQL}127.0.0.1/records?hostaddr=10.0.0.7&sslmode=prefer"},
    {"store": f"{POSTGRESQL}/records?host=127.0.0.1&host=db.example&sslmode=prefer"},
    {"store": f"{POSTGRESQL}127.0.0.1,db.example/records?sslmode=prefer"},
    {"store": f"{POSTGRESQL}127.0.0.1/records?service=elsewhere&sslmode=prefer"},
    {"store": f"{POSTGRESQL}localhost.evil.example/records?sslmode=disable"},
    {"features": "redis://cache.example:6379/0"},
    {"features": "redis://10.0.0.7/0"},
    {"features": "redis://[fd00::1]:6379/0"},
    {"features": "redis://127.0.0.1.example/0"},
    {"features": "rediss://cache.example/0?ssl_cert_reqs=none"},
    {"features": "rediss://cache.example/0?ssl_check_hostname=false"},
    {"kafka": "kafka.example:9092"},
    {"kafka": "127.0.0.1:9092,kafka.example:9092"},
    {"kafka": "kafka.example:9092", "kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "PLAIN"},
    {"kafka": "[fd00::1]:9092"},
]
ENCRYPTED = [
    {"store": f"{POSTGRESQL}db.example/records?sslmode=require"},
    {"store": f"{POSTGRESQL}db.example/records?sslmode=verify-ca&sslrootcert=/ca.pem"},
    {"store": f"{POSTGRESQL}db.example/records?sslmode=verify-full&sslcert=/c.pem&sslkey=/k.pem"},
    {"features": "rediss://cache.example:6379/0"},
    {"kafka": "kafka.example:9093", "kafka_security_protocol": "SSL"},
    {"kafka": "kafka.example:9093", "kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "PLAIN"},
]
HERE = [
    {"store": f"{POSTGRESQL}127.0.0.1:5432/records"},
    {"store": f"{POSTGRESQL}localhost/records?sslmode=disable"},
    {"store": f"{POSTGRESQL}[::1]/records"},
    {"store": f"{POSTGRESQL}/records?host=/var/run/postgresql"},
    {"features": "redis://127.0.0.1:6379/0"},
    {"features": "redis://localhost"},
    {"features": "rediss://localhost/0?ssl_cert_reqs=none"},
    {"features": "redis://[::1]:6379"},
    {"kafka": "127.0.0.1:9092,localhost:9093,[::1]:9094"},
    {"kafka": " 127.0.0.1:9092, localhost:9093,"},
]


def opened(settings: Settings) -> None:
    """Everything that would be connected with, without a connection."""
    if settings.store:
        Database(settings.store, allow_plaintext=settings.allow_plaintext).close()
    if settings.features:
        FeaturesRedis(settings.features, allow_plaintext=settings.allow_plaintext)
    if settings.kafka:
        bootstrap._kafka(settings)


def settings_with(chosen: dict[str, Any]) -> Settings:
    return Settings(event_log="kafka", **chosen)


@pytest.mark.parametrize("chosen", WITHOUT_TLS, ids=str)
def test_a_server_elsewhere_without_tls_is_refused_with_the_setting_that_allows_it(chosen: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=rf" on .*: found .*, expected TLS, .*; .*{OPT_OUT}"):
        opened(settings_with(chosen))
    opened(settings_with(chosen | {"allow_plaintext": True}))


@pytest.mark.parametrize("chosen", ENCRYPTED + HERE, ids=str)
def test_tls_and_this_machine_need_no_permission(chosen: dict[str, Any]) -> None:
    opened(settings_with(chosen))


@pytest.mark.parametrize("query", ["ssl_cert_reqs=maybe", "ssl_ca_cert=/ca.pem", "socket_timeout=soon"])
def test_a_redis_whose_url_says_what_nobody_knows_is_refused_before_it_is_asked(query: str) -> None:
    with pytest.raises(SettingsError, match=r"which cannot be used: .*; its query may have ssl_ca_certs"):
        FeaturesRedis(f"rediss://cache.example/0?{query}")


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        (f"{POSTGRESQL}db.example/records", "require"),
        ("postgresql+psycopg:///records", "require"),  # wherever PGHOST leads to; a socket has none and needs none
        (f"{POSTGRESQL}db.example/records?sslmode=verify-full", "verify-full"),
        (f"{POSTGRESQL}127.0.0.1/records", None),
    ],
)
def test_where_the_url_says_nothing_of_tls_the_driver_is_told_to_require_it(url: str, mode: str | None) -> None:
    database = Database(url)
    _, named = database._engine.dialect.create_connect_args(database._engine.url)

    assert {**named, **database.encryption}.get("sslmode") == mode


def test_the_environment_leads_no_address_of_this_machine_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.9")
    database = Database(f"{POSTGRESQL}127.0.0.1:1/records")
    with pytest.raises(StoreUnavailable, match=r'server at "127\.0\.0\.1"'), database.transaction():
        pass
