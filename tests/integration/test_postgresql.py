"""What a database server does to the store: it goes away, stands still, and has passwords."""

import signal
import threading
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from services.adapters.record_store import RecordStoreSql
from services.adapters.record_store.database import Database
from services.core.errors import ContentRefused, SettingsError, StoreFailed, StoreUnavailable
from services.core.records import Batch
from tests.servers.missing import skip_without
from tests.servers.postgresql import new_database, running_postgresql
from tests.servers.process import ServerProcess, Unavailable
from tests.toy import NOON, prediction

SECRET = "correct-horse-battery"  # noqa: S105 - of nobody


@pytest.fixture
def own_server() -> Iterator[ServerProcess]:
    """One that a test may hurt."""
    try:
        with running_postgresql() as server:
            yield server
    except Unavailable as error:
        skip_without("PostgreSQL", str(error))


def test_a_store_outlives_its_server(own_server: ServerProcess) -> None:
    store = RecordStoreSql(new_database(own_server))
    store.migrate()
    commit(store, 1)
    own_server.stop(signal.SIGQUIT)
    with pytest.raises(StoreUnavailable):
        commit(store, 2)
    own_server.start()
    commit(store, 2)
    assert (store.position("c"), store.counts().predictions) == (2, 2)
    store.close()


def test_processes_that_start_together_migrate_one_after_the_other(postgresql_url: str) -> None:
    stores = [RecordStoreSql(postgresql_url) for _ in range(4)]
    threads = [threading.Thread(target=store.migrate) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    commit(stores[0], 1)
    assert all(store.position("c") == 1 for store in stores)
    for store in stores:
        store.close()


def test_a_password_in_the_url_is_refused_and_not_repeated(postgresql_url: str) -> None:
    with pytest.raises(SettingsError, match="BELLWETHER_STORE_PASSWORD") as refused:
        RecordStoreSql(postgresql_url.replace("bellwether@", f"bellwether:{SECRET}@"))
    assert SECRET not in str(refused.value)


def test_an_error_names_the_store_and_not_its_password(own_server: ServerProcess) -> None:
    store = RecordStoreSql(new_database(own_server), password=SECRET)
    own_server.stop(signal.SIGQUIT)
    with pytest.raises(StoreUnavailable, match="postgresql") as down:
        store.position("c")
    assert SECRET not in f"{down.value} {down.value.__cause__} {store}"
    store.close()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_letter_is_refused_in_one_sentence(
    postgresql: ServerProcess, encoding: str
) -> None:
    url = new_database(postgresql, options=f"ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    store = RecordStoreSql(url)
    with pytest.raises(SettingsError, match=f"encoding is {encoding}, expected UTF8; make one with `createdb "):
        store.migrate()
    store.close()


def test_texts_are_utf_8_whatever_the_database_says_about_its_clients(postgresql_url: str) -> None:
    execute(postgresql_url, "ALTER DATABASE \"{name}\" SET client_encoding = 'LATIN1'")
    store = RecordStoreSql(postgresql_url)
    store.migrate()
    store.commit(Batch([prediction(1, entity_id="用户")], [], []), consumer="c", position=1)
    (row,) = store.judged("toy", made_from=NOON, made_until=NOON + timedelta(hours=1))
    assert row.prediction.entity_id == "用户"
    store.close()


@pytest.mark.parametrize(
    "setting",
    [
        "DateStyle = 'German, DMY'",
        "DateStyle = 'SQL, MDY'",
        "standard_conforming_strings = off",
        "bytea_output = escape",
    ],
)
def test_times_and_bytes_are_read_as_they_were_written_whatever_the_database_has_set(
    postgresql_url: str, setting: str
) -> None:
    execute(postgresql_url, f'ALTER DATABASE "{{name}}" SET {setting}')
    store = RecordStoreSql(postgresql_url)
    store.migrate()
    commit(store, 1)

    (judged,) = store.judged("toy", made_from=NOON, made_until=NOON + timedelta(days=1))
    lease = store.acquire("work/toy", holder="one", lasts=timedelta(seconds=10))

    assert judged.prediction == prediction(1)
    assert lease is not None
    store.close()


def test_a_session_that_began_while_the_database_was_read_only_is_renewed_once_it_is_not(postgresql_url: str) -> None:
    store = RecordStoreSql(postgresql_url)
    store.migrate()
    execute(postgresql_url, 'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    store.close()  # its sessions: the next ones begin read-only
    with pytest.raises(StoreUnavailable, match="read-only") as away:
        commit(store, 1)
    assert not isinstance(away.value, StoreFailed)
    execute(postgresql_url, 'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    commit(store, 1)
    assert store.position("c") == 1
    store.close()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT repeat('x', 1 << 30)", ContentRefused),
        ("SELECT 1 / 0", ContentRefused),
        ("INSERT INTO positions VALUES ('c', 1), ('c', 2)", ContentRefused),
        ("INSERT INTO positions SELECT string_agg(md5(n::text), ''), 1 FROM generate_series(1, 400) n", ContentRefused),
        ("SELECT pg_terminate_backend(pg_backend_pid())", StoreUnavailable),
        ("SET LOCAL statement_timeout = 10; SELECT pg_sleep(9)", StoreFailed),
        ("SELECT * FROM nowhere", StoreUnavailable),
        ("DO $$ BEGIN RAISE internal_error; END $$", StoreFailed),
    ],
    ids=["too large", "no number", "twice", "too long for its index", "ended", "too slow", "no table", "no reason"],
)
def test_what_the_server_says_is_told_as_refused_away_or_unknown(
    postgresql_url: str, statement: str, expected: type[Exception]
) -> None:
    store = RecordStoreSql(postgresql_url)
    store.migrate()
    with (
        pytest.raises((ContentRefused, StoreUnavailable)) as told,
        Database(postgresql_url).transaction() as connection,
    ):
        connection.exec_driver_sql(statement)
    assert type(told.value) is expected
    store.close()


@pytest.mark.parametrize("parameter", ["autocommit=false", "prepare_threshold=0", "nonsense=1"])
def test_a_parameter_that_is_the_drivers_or_nobodys_is_refused_at_the_start(parameter: str) -> None:
    """With `autocommit` positions would move without their rows."""
    with pytest.raises(SettingsError, match=f"has the parameter '{parameter.partition('=')[0]}'"):
        RecordStoreSql(f"postgresql+psycopg://bellwether@127.0.0.1/name?{parameter}")
    RecordStoreSql("postgresql+psycopg://bellwether@127.0.0.1/name?connect_timeout=1&sslmode=prefer").close()


def test_what_is_no_url_of_a_store_is_told_what_one_is() -> None:
    for url in ("nonsense", "oracle-of-delphi://x"):
        with pytest.raises(SettingsError, match="expected sqlite"):
            RecordStoreSql(url)


def execute(url: str, statement: str) -> None:
    """On the database of this URL; `{name}` is its name."""
    writable = "-c default_transaction_read_only=off"
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True, options=writable) as connection:
        connection.execute(statement.format(name=connection.info.dbname))


def commit(store: RecordStoreSql, number: int) -> None:
    store.commit(Batch([prediction(number)], [], []), consumer="c", position=number)
