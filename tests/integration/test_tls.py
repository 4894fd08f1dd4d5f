"""PostgreSQL and Redis that speak TLS, and ask for a certificate of ours."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from redis.exceptions import RedisError

from services.adapters.features_redis import FeaturesRedis
from services.adapters.record_store import RecordStoreSql
from services.adapters.wire import OPT_OUT
from services.core.errors import FeatureSourceDown, StoreUnavailable
from services.core.features import Reading
from tests.ports import free_port
from tests.servers.missing import provided, skip_without
from tests.servers.postgresql import NAME, new_database, running_postgresql
from tests.servers.process import ServerProcess, Unavailable
from tests.toy import NOON
from tests.waiting import eventually


@dataclass(frozen=True)
class Identity:
    """A certificate for 127.0.0.1 that is its own authority, and so trusts itself alone."""

    certificate: Path
    key: Path


def identity_in(directory: Path) -> Identity:
    directory.mkdir(exist_ok=True)
    found = Identity(directory / "certificate.pem", directory / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(found.key), "-out", str(found.certificate)]
    subprocess.run(command, check=True, capture_output=True)
    found.key.chmod(0o600)
    return found


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity_in(tmp_path_factory.mktemp("identity"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """A certificate that nobody here has heard of."""
    return identity_in(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def postgresql_with_tls(identity: Identity) -> Iterator[ServerProcess]:
    try:
        with running_postgresql() as server:
            provided("PostgreSQL")
            _turn_tls_on(server, identity)
            yield server
    except Unavailable as error:
        skip_without("PostgreSQL", str(error))


def _turn_tls_on(server: ServerProcess, identity: Identity) -> None:
    """Its files have to be those of the user that it runs as."""
    data = server.directory / "data"
    for source, name in ((identity.certificate, "tls.pem"), (identity.key, "tls.key")):
        shutil.copyfile(source, data / name)
        (data / name).chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(data / name, "postgres", "postgres")
    address = f"host=127.0.0.1 port={server.port} user={NAME} dbname={NAME}"
    with psycopg.connect(address, autocommit=True) as connection:
        for setting, value in {
            "ssl_cert_file": data / "tls.pem",
            "ssl_key_file": data / "tls.key",
            "ssl_ca_file": data / "tls.pem",
            "ssl": "on",
        }.items():
            connection.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
        connection.execute("SELECT pg_reload_conf()")
    eventually(lambda: _speaks_tls(address), what="PostgreSQL speaks TLS")


def _speaks_tls(address: str) -> bool:
    try:
        psycopg.connect(f"{address} sslmode=require").close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_store_is_reached_over_tls_by_a_server_that_is_checked_and_a_certificate_of_ours(
    postgresql_with_tls: ServerProcess, identity: Identity
) -> None:
    url = new_database(postgresql_with_tls)
    checked = f"{url}?sslmode=verify-full&sslrootcert={identity.certificate}"
    store = RecordStoreSql(f"{checked}&sslcert={identity.certificate}&sslkey={identity.key}")
    store.migrate()
    with store._database.transaction() as connection:
        asked = "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert tuple(connection.exec_driver_sql(asked).one()) == (True, "/CN=127.0.0.1")
    store.close()


def test_a_store_that_nobody_vouches_for_is_not_spoken_to(
    postgresql_with_tls: ServerProcess, stranger: Identity
) -> None:
    store = RecordStoreSql(
        f"{new_database(postgresql_with_tls)}?sslmode=verify-full&sslrootcert={stranger.certificate}"
    )
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        store.migrate()
    store.close()


def test_a_store_without_tls_is_named_with_the_setting_that_allows_it(postgresql_url: str) -> None:
    store = RecordStoreSql(f"{postgresql_url}?sslmode=require")
    with pytest.raises(StoreUnavailable, match=f"(?s)SSL was required.*; turn on its TLS, or .*: {OPT_OUT}"):
        store.migrate()
    store.close()


@pytest.fixture(scope="module")
def redis_with_tls(tmp_path_factory: pytest.TempPathFactory, identity: Identity) -> Iterator[int]:
    """The port of a Redis that takes nobody in without a certificate that it trusts."""
    if shutil.which("redis-server") is None:
        skip_without("Redis", "found no redis-server; install it, such as the package redis-server")
    port, directory = free_port(), tmp_path_factory.mktemp("redis")
    command = ["redis-server", "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--dir", str(directory), "--tls-auth-clients", "yes", "--tls-ca-cert-file", str(identity.certificate)]
    command += ["--tls-cert-file", str(identity.certificate), "--tls-key-file", str(identity.key)]
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        eventually(lambda: _pings(port, identity), what=f"Redis answers over TLS, see {directory}/log")
        provided("Redis")
        yield port
    finally:
        server.terminate()
        server.wait(30)


def _pings(port: int, identity: Identity) -> bool:
    try:
        with Redis.from_url(_rediss(port, identity, identity)) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def _rediss(port: int, authority: Identity, ours: Identity | None) -> str:
    own = "" if ours is None else f"&ssl_certfile={ours.certificate}&ssl_keyfile={ours.key}"
    return f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority.certificate}{own}"


async def test_features_are_written_and_read_over_tls_with_a_certificate_of_ours(
    redis_with_tls: int, identity: Identity
) -> None:
    features = FeaturesRedis(_rediss(redis_with_tls, identity, identity))
    reading = Reading(3.0, NOON)
    await features.write("toy", "u", {"visits": reading})
    assert await features.read("toy", "u", ["visits"]) == {"visits": reading}
    await features.close()


async def test_neither_side_speaks_with_a_stranger(redis_with_tls: int, identity: Identity, stranger: Identity) -> None:
    for authority, ours in ((stranger, identity), (identity, stranger), (identity, None)):
        features = FeaturesRedis(_rediss(redis_with_tls, authority, ours))
        with pytest.raises(FeatureSourceDown):
            await features.read("toy", "u", ["visits"])
        await features.close()
