"""What a database server does to the store: it goes away, stands still, and has passwords."""

import signal
import threading
from collections.abc import Iterator

import pytest

from services.adapters.record_store import RecordStoreSql
from services.core.errors import SettingsError, StoreUnavailable
from services.core.records import Batch
from tests.servers.missing import skip_without
from tests.servers.postgresql import new_database, running_postgresql
from tests.servers.process import ServerProcess, Unavailable
from tests.toy import prediction

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


def test_what_is_no_url_of_a_store_is_told_what_one_is() -> None:
    for url in ("nonsense", "oracle-of-delphi://x"):
        with pytest.raises(SettingsError, match="expected sqlite"):
            RecordStoreSql(url)


def commit(store: RecordStoreSql, number: int) -> None:
    store.commit(Batch([prediction(number)], [], []), consumer="c", position=number)
