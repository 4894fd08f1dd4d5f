"""No password of a server gets into settings, messages or logs by way of an address."""

import pytest

from services import bootstrap
from services.adapters.features_redis import FeaturesRedis
from services.adapters.record_store import RecordStoreSql
from services.core.errors import SettingsError
from services.core.urls import redacted, secret_in
from services.settings import Settings

SECRET = "hunter2-of-the-server"  # noqa: S105 - of no server

WITH_A_SECRET = [
    f"redis://:{SECRET}@cache.example:6379/0",
    f"redis://user:{SECRET}@cache.example",
    f"rediss://cache.example/0?password={SECRET}",
    f"rediss://cache.example/0?ssl_ca_certs=/ca.pem&password={SECRET}",
    f"rediss://cache.example/0?pass%77ord={SECRET}",
    f"rediss://cache.example/0?a=1;password={SECRET}",
    f"rediss://cache.example/0?ssl_password={SECRET}",
    f"redis://user%3A{SECRET}@cache.example",
    f"REDIS://user:{SECRET}@cache.example",
    f"redis://user:{SECRET}[@cache.example",
    f"redis//user:{SECRET}@cache.example",
    f"user:{SECRET}@cache.example:6379",
    f"postgresql+psycopg://user:{SECRET}@db.example/records",
    f"postgresql+psycopg://user:p%40{SECRET}@db.example/records",
    f"postgresql+psycopg://user:p@{SECRET}@db.example/records",
    f"postgresql+psycopg://user:p#{SECRET}@db.example/records",
    f"postgresql+psycopg://user:p/{SECRET}@db.example/records",
    f"postgresql+psycopg://user:p?{SECRET}@db.example/records",
    f"postgresql+psycopg://user@db.example/records?password={SECRET}",
    f"postgresql+psycopg://user@db.example/records?sslmode=require&sslpassword={SECRET}",
    f"postgresql+psycopg:///records?host=db.example&user=u&PASSWORD={SECRET}",
    f"postgresql+psycopg://user@db.example/records#password={SECRET}",
    f"host=db.example dbname=records password={SECRET}",
    f"host=db.example password='of {SECRET}'",
    f"host=db.example password='it\\'s {SECRET}'",
    f"host=db.example password = {SECRET}",
    f"host=db.example password =\n'of {SECRET}'",
    f"host=db.example password=of\\ {SECRET}",
    f"host=db.example password=of&{SECRET}",
    f"host=db.example password=of;{SECRET}",
    f"rediss://cache.example/0?password=of;{SECRET}",
    f"rediss://cache.example/0?password=of#{SECRET}",
    f"db.example/records?user=u&password={SECRET}",
]
WITHOUT = [
    "",
    "postgresql",
    "redis",
    "redis://cache.example:6379/0",
    "rediss://user@cache.example/0?ssl_ca_certs=/etc/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem",
    "redis://[::1]:6379/0",
    "postgresql+psycopg://user@db.example/records?sslmode=verify-full&passfile=/run/secrets/pgpass&require_auth=scram",
    "postgresql+psycopg:///records?host=/var/run/postgresql",
    "sqlite:////var/lib/user:x@home/records.sqlite",
    "kafka-1.example:9093,kafka-2.example:9093",
    "[::1]:9092",
    "host = db.example user = u passfile = /run/secrets/pgpass",
]


@pytest.mark.parametrize("url", WITH_A_SECRET)
def test_a_secret_is_found_wherever_it_stands_and_is_in_nothing_that_is_told(url: str) -> None:
    assert secret_in(url)
    assert SECRET not in redacted(url)
    assert SECRET not in str(secret_in(url))


@pytest.mark.parametrize("url", WITHOUT)
def test_an_address_without_a_secret_is_told_as_it_is(url: str) -> None:
    assert secret_in(url) is None
    assert redacted(url) == url


@pytest.mark.parametrize("url", WITH_A_SECRET)
@pytest.mark.parametrize("name", ["store", "features", "kafka"])
def test_settings_never_hold_one(name: str, url: str) -> None:
    variable = f"BELLWETHER_{name.upper()}"
    with pytest.raises(SettingsError, match=rf"^{variable} has .*; set {variable}_PASSWORD instead") as made:
        Settings(**{name: url})  # type: ignore[arg-type]  # each is a text
    with pytest.raises(SettingsError, match=rf"^{variable} has .*; set {variable}_PASSWORD instead") as read:
        Settings.from_environment({variable: url})
    for caught in (made.value, read.value):
        assert SECRET not in f"{caught!r} {caught.__cause__!r} {caught.__context__!r}"


@pytest.mark.parametrize("url", WITH_A_SECRET)
def test_an_adapter_takes_none_either(url: str) -> None:
    for adapter in (RecordStoreSql, FeaturesRedis):
        with pytest.raises(SettingsError) as caught:
            adapter(url, allow_plaintext=True)
        assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


@pytest.mark.parametrize("url", ["nonsense", "mysql://db.example/records", "postgresql://db.example:port/x", "sqlite"])
def test_a_store_that_nobody_knows_is_named_with_what_was_expected(url: str) -> None:
    with pytest.raises(SettingsError, match=r"is none that is known; expected sqlite:///FILE or postgresql\+psycopg"):
        RecordStoreSql(url)


def test_the_passwords_of_the_settings_are_in_no_representation() -> None:
    settings = Settings(
        store_password=SECRET,
        features_password=SECRET,
        kafka_password=SECRET,
        kafka_key_password=SECRET,
        monitor_token=SECRET,
        event_log="kafka",
        kafka="127.0.0.1:9092",
    )
    assert SECRET not in repr(settings)
    assert SECRET not in repr(bootstrap._kafka(settings))
